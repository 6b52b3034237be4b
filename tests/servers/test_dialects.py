"""Whatever a server speaks, its prices are those of the same model in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secretaudit.models.model_options import ModelOptions
from secretaudit.models.server.language_model import ServedModel
from secretaudit.models.server.opening import open_server
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.models.contract import LanguageModelContract
from tests.servers.conftest import Open, Serve
from tests.servers.engine import Engine
from tests.servers.fake_server import Fake, running

TOLERANCE_BITS = 1e-3
CANARIES = ["the code is 0412", "the code is 281265017", "Lily sat on 90 and 7, 8", "numbers: 3456"]
IDS = ("vllm", "vllm-old", "vllm-all", "sglang")
TEXT = ("echo", "echo-bos", "llama-cpp-bos")


def compared(
    model: ServedModel, local: TransformerLanguageModel, dialect: str
) -> tuple[list[list[int]], list[list[int]], int]:
    """The records of some canaries as the server sees them, as the local model sees them, and how many more tokens the latter have."""
    encoded = model.tokenizer.encode(CANARIES)
    theirs = [model.framing.record(ids) for ids in encoded]
    unseen = local.framing.before if dialect == "llama-cpp-bos" else ()
    return theirs, [[*unseen, *record] for record in theirs], len(unseen)


@pytest.mark.parametrize("dialect", [*IDS, *TEXT])
def test_texts_cost_what_they_cost_in_this_process(
    dialect: str, serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """Scores equal those of the local model to 1e-3 bits, whether or not the server shows its begin-of-text token."""
    model = connect(serve(dialect))
    theirs, ours, more = compared(model, local, dialect)
    given = model.framing.given
    expected = local.score(ours, given + more)
    assert model.score(theirs, given) == pytest.approx(expected, abs=TOLERANCE_BITS)
    assert np.ptp(expected) > 1.0


@pytest.mark.parametrize("dialect", [*IDS, *TEXT])
def test_children_cost_what_they_cost_in_this_process(
    dialect: str, serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """Prices of what may follow two prefixes are differences of the local model's plain scores."""
    model = connect(serve(dialect))
    theirs, ours, _ = compared(model, local, dialect)
    first, second, parent, child, expected = *theirs[:2], [], [], []
    for row, record in enumerate(ours[:2]):
        text = CANARIES[row]
        for following in " ,.:;!?":
            (longer,) = model.tokenizer.encode([text + following])
            if [*theirs[row], longer[-1]] == model.framing.record(longer):
                parent.append(row)
                child.append(longer[-1])
                expected.append(-local.score([[*record, longer[-1]]], len(record))[0])
    state = model.start(first[:-1]).append(model.start(second[:-1]))
    prices, _ = model.price(
        state,
        torch.arange(2),
        torch.tensor([first[-1], second[-1]]),
        torch.tensor(parent),
        torch.tensor(child),
    )
    assert len(expected) > 6
    assert (prices / np.log(2.0)).tolist() == pytest.approx(expected, abs=TOLERANCE_BITS)


@pytest.mark.parametrize(("dialect", "requests"), [("vllm", 2), ("vllm-all", 2), ("sglang", 2)])
def test_all_children_of_a_node_are_asked_at_once_where_the_server_can(
    dialect: str, requests: int, serve: Serve, connect: Open
) -> None:
    """Two prefixes with ten children each take two prompts and not twenty."""
    fake = serve(dialect)
    model = connect(fake)
    digits = [d for (d,) in model.tokenizer.encode(list("0123456789"))]
    before = model.server["prompts"]
    state = model.start([*model.framing.before, digits[3]])
    model.price(
        state,
        torch.tensor([0, 0]),
        torch.tensor(digits[:2]),
        torch.tensor([0] * 10 + [1] * 10),
        torch.tensor(digits * 2),
    )
    assert model.server["prompts"] - before == requests


def test_an_older_server_is_asked_for_the_likeliest_tokens_and_the_rest_one_by_one(
    serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """Without chosen next tokens, a node takes one list and one prompt for each child outside it."""
    model = connect(serve("vllm-old"))
    children = list(range(10, 50))
    state = model.start(model.framing.before)
    row = torch.zeros(1, dtype=torch.int64)
    asked = (row, torch.tensor([60]), torch.zeros(40, dtype=torch.int64), torch.tensor(children))
    before = model.server["prompts"]
    prices, _ = model.price(state, *asked)
    log_p, _ = local.step(local.start(local.framing.before), row, torch.tensor([60]))
    unlisted = set(children) - set(log_p[0].topk(20).indices.tolist())
    assert len(unlisted) > 10
    assert model.server["prompts"] - before == 1 + len(unlisted)
    assert prices.tolist() == pytest.approx(log_p[0, children].tolist(), abs=1e-4)


def test_identical_prompts_are_asked_once(serve: Serve, connect: Open) -> None:
    """Ten copies of a text in one call are one prompt."""
    model = connect(serve())
    (record,) = model.tokenizer.encode(["the code is 0412"])
    before = model.server["prompts"]
    costs = model.score([model.framing.record(record)] * 10)
    assert model.server["prompts"] - before == 1
    assert len(set(costs.tolist())) == 1


def test_a_server_with_the_whole_vocabulary_gives_distributions(
    serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """``step`` lists all tokens where the server does, and refuses where it does not."""
    model = connect(serve("vllm-all"))
    row, token = torch.zeros(1, dtype=torch.int64), torch.tensor([60])
    log_p, state = model.step(model.start(model.framing.before), row, token)
    expected, _ = local.step(local.start(local.framing.before), row, token)
    assert log_p[0].tolist() == pytest.approx(expected[0].tolist(), abs=1e-4)
    assert len(state) == 1


def test_the_handshake_says_what_was_checked(serve: Serve, connect: Open) -> None:
    """Each check has a name, passed, and says in numbers how."""
    report = connect(serve()).handshake
    assert [check["name"] for check in report] == [
        "entries",
        "tokens",
        "next = prompt",
        "repeated",
        "temperature",
        "order",
        "parts = whole",
        "likely < random",
    ]
    assert all(check["passed"] and check["detail"] for check in report)


def test_requests_and_seconds_are_estimated_from_what_was_measured(
    serve: Serve, connect: Open
) -> None:
    """Ten times the prompts take ten times the time, and whole requests."""
    model = connect(serve())
    requests, seconds = model.estimate(6400)
    assert requests == 100
    assert seconds > 0
    assert model.estimate(64000)[1] == pytest.approx(10 * seconds)


def test_a_record_of_the_server_names_it(serve: Serve, connect: Open) -> None:
    """Address, model, software and dialect; nothing of a key."""
    fake = serve("vllm")
    server = connect(fake).server
    assert (server["url"], server["model"]) == (fake.url, "tiny")
    assert (server["software"], server["dialect"], server["context"]) == ("vLLM", "vllm", 48)


class ServedContract(LanguageModelContract):
    """The contract over a server of one dialect."""

    dialect: str
    distributions = False

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, module: Any, tokenizer: Any, directory: Path) -> Iterator[ServedModel]:
        with running(Fake(Engine(module, tokenizer, str(directory)), cls.dialect)) as fake:
            model = open_server(fake.url, ModelOptions(reply_cache=":memory:"))
            yield model
            model.close()


class TestVllm(ServedContract):
    """Chosen next tokens, and no whole distributions."""

    dialect = "vllm"


class TestOlderVllm(ServedContract):
    """Lists of the likeliest next tokens, and prompts for the others."""

    dialect = "vllm-old"


class TestWholeVocabulary(ServedContract):
    """Whole distributions."""

    dialect = "vllm-all"
    distributions = True


class TestSglang(ServedContract):
    """SGLang's own way."""

    dialect = "sglang"
