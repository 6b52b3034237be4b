"""Servers whose numbers are wrong, in ways that real servers have been wrong, are refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import CouldNotMeasure
from secretaudit.models.tokens.building import build_tokenizer
from tests.servers.conftest import Open, Serve

#: What a fault changes, and the check that must see it.
CAUGHT = [
    ("vllm", "temperature", "temperature"),
    ("vllm", "noise", "next = prompt|repeated"),
    ("vllm", "order", "next = prompt|order"),
    ("vllm", "constant", "likely < random"),
    ("vllm-old", "temperature", "temperature"),
    ("vllm-old", "order", "next = prompt|order"),
    ("sglang", "noise", "next = prompt|repeated"),
    ("sglang", "constant", "likely < random"),
    ("echo", "temperature", "temperature"),
    ("echo", "constant", "next = prompt|likely < random"),
    ("llama-cpp-bos", "temperature", "temperature"),
    ("top-k", "temperature", "temperature"),
    ("top-k", "noise", "repeated"),
    ("top-k", "constant", "lists differ"),
    ("llama-server", "temperature", "temperature"),
    ("llama-server", "noise", "repeated"),
]


@pytest.mark.parametrize(("dialect", "bend", "check"), CAUGHT)
def test_wrong_numbers_are_caught(
    dialect: str, bend: str, check: str, serve: Serve, connect: Open
) -> None:
    """Exit 3 with the server's name and the check that failed; never a number."""
    fake = serve(dialect, bends=(bend,))
    with pytest.raises(CouldNotMeasure, match=rf"fails the handshake \(({check})\)") as caught:
        connect(fake)
    assert fake.url in caught.value.what
    assert caught.value.exit_code == 3


def test_prices_that_are_shifted_by_one_are_caught(serve: Serve, connect: Open) -> None:
    """llama-cpp-python without a begin-of-text token prices each token as if it followed itself; status 200, right shape."""
    with pytest.raises(CouldNotMeasure, match="next = prompt") as caught:
        connect(serve("llama-cpp"))
    assert "llama-cpp-python" in caught.value.what
    assert "shifts them by one" in caught.value.way_out
    assert "--model FILE.gguf" in caught.value.way_out


def test_numbers_that_are_no_logarithms_of_probabilities_are_caught(
    serve: Serve, connect: Open
) -> None:
    """Raw scores, some above zero, in place of log-probabilities: no dialect is found in them."""
    with pytest.raises(CouldNotMeasure, match="cannot be audited"):
        connect(serve("vllm", bends=("unnormalized",)))
    with pytest.raises(CouldNotMeasure, match="cannot be audited"):
        connect(serve("vllm", bends=("unnormalized",)), api="vllm")


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llama-server"])
def test_another_tokenizer_than_the_servers_is_caught_by_its_ids(
    dialect: str, serve: Serve, connect: Open, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Servers that read ids show how they cut a text; a tokenizer with other merges is refused."""
    build_tokenizer("bpe", ["aa bb cc"] * 3, vocabulary_size=len(tokenizer)).save_pretrained(
        tmp_path
    )
    with pytest.raises(CouldNotMeasure, match=r"fails the handshake \(tokens\)") as caught:
        connect(serve(dialect), tokenizer=str(tmp_path))
    assert "--tokenizer" in caught.value.way_out


@pytest.mark.parametrize("dialect", ["echo", "llama-cpp-bos", "top-k"])
def test_another_tokenizer_than_the_servers_is_caught_by_its_texts(
    dialect: str, serve: Serve, connect: Open, tmp_path: Path
) -> None:
    """Servers that read texts send tokens back as texts, or at least their number."""
    build_tokenizer("bpe", ["aa bb cc"] * 3).save_pretrained(tmp_path)
    with pytest.raises(CouldNotMeasure, match="reads other tokens than the local tokenizer"):
        connect(serve(dialect), tokenizer=str(tmp_path))


def test_drifting_answers_are_caught_at_the_end(serve: Serve, connect: Open) -> None:
    """A server that changes its weights after the handshake is found out by asking a probe again."""
    fake = serve()
    model = connect(fake)
    model.verify()
    fake.engine.bends.add("drift")
    with pytest.raises(CouldNotMeasure, match="drift") as caught:
        model.verify()
    assert "were discarded" in caught.value.way_out


def test_drifting_answers_are_caught_on_the_way(
    serve: Serve, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many prompts a probe is asked again, so that a long audit ends early."""
    monkeypatch.setattr("secretaudit.models.server.asking.WATCH_PROMPTS", 5)
    fake = serve()
    model = connect(fake)
    record = [*model.framing.before, *model.tokenizer.encode(["the code is"])[0]]
    model.score([[*record, t] for t in range(5)])
    fake.engine.bends.add("drift")
    with pytest.raises(CouldNotMeasure, match="drift"):
        model.score([[*record, t] for t in range(5, 10)])


def test_drift_within_the_handshake_is_caught(serve: Serve, connect: Open) -> None:
    """Weights that change while the probes are asked are no answers either."""
    seen = serve("vllm")
    connect(seen)
    fake = serve("vllm", later={"drift"}, bend_after=len(seen.posts) - 30)
    with pytest.raises(CouldNotMeasure, match="fails the handshake"):
        connect(fake)
