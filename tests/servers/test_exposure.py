"""From a ledger to exposures through a server: the same numbers as in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from secretaudit.canary.format import parse_format
from secretaudit.canary.ledger import Ledger
from secretaudit.errors import CouldNotMeasure
from secretaudit.exposure.audit import expose
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.naive import ledger_of
from tests.servers.conftest import Open, Serve

FORM = parse_format("the code is {digits:2}")
LEDGER: Ledger = ledger_of([FORM], [(FORM.name, s, 1) for s in ("04", "28", "99", "70")])
MEMORY = "64MiB"


def rows(record: Any) -> list[dict[str, Any]]:
    """What was found of each canary."""
    found: list[dict[str, Any]] = record.found["canaries"]
    return found


@pytest.mark.parametrize(
    ("dialect", "method"),
    [
        ("vllm", "exact"),
        ("vllm-old", "exact"),
        ("sglang", "enumeration"),
        ("echo", "enumeration"),
        ("echo-bos", "exact"),
    ],
)
def test_exposure_through_a_server_is_that_of_the_model(
    dialect: str, method: str, serve: Serve, connect: Open, module: Any, tokenizer: Any
) -> None:
    """Ranks and costs are those of the local model that reads the same tokens before a text."""
    model = connect(serve(dialect))
    same = TransformerLanguageModel(module, tokenizer, framing=model.framing)
    expected = rows(expose(same, canaries=LEDGER, method="enumeration", memory=MEMORY))
    found = rows(expose(model, canaries=LEDGER, method=method, memory=MEMORY))
    assert [r["rank"] for r in found] == [r["rank"] for r in expected]
    assert [r["status"] for r in found] == ["measured"] * 4
    costs = [r["log_perplexity_bits"] for r in found]
    assert costs == pytest.approx([r["log_perplexity_bits"] for r in expected], abs=1e-3)


def test_a_server_is_named_by_its_address(
    serve: Serve, local: TransformerLanguageModel, tmp_path: Path
) -> None:
    """``expose`` with a URL opens the server, finds its tokenizer, and puts the handshake into the record."""
    record = expose(
        serve().url,
        canaries=LEDGER,
        method="enumeration",
        memory=MEMORY,
        options=ModelOptions(reply_cache=str(tmp_path / "c"), server_model="tiny"),
    )
    expected = rows(expose(local, canaries=LEDGER, method="enumeration", memory=MEMORY))
    assert [r["rank"] for r in rows(record)] == [r["rank"] for r in expected]
    assert "next = prompt" in str(record.found)


def test_faults_on_the_way_change_no_number(
    serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """A server that fails now and then gives the same exposures."""
    fake = serve()
    model = connect(fake)
    fake.faults = ["500", "ok", "429", "cut", "ok", "garbage", "503"]
    expected = rows(expose(local, canaries=LEDGER, method="enumeration", memory=MEMORY))
    found = rows(expose(model, canaries=LEDGER, method="enumeration", memory=MEMORY))
    assert [r["rank"] for r in found] == [r["rank"] for r in expected]
    assert fake.faults == []


def test_a_server_that_drifts_gives_no_exposure(serve: Serve, connect: Open) -> None:
    """Weights that change after the handshake: exit 3 and no record."""
    fake = serve()
    model = connect(fake)
    fake.later, fake.bend_after = {"drift"}, len(fake.posts) + 5
    with pytest.raises(CouldNotMeasure, match=r"drift|differ"):
        expose(model, canaries=LEDGER, method="enumeration", memory=MEMORY)
