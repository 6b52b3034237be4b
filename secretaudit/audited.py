"""What is audited: a model, the ledger of its canaries, and what its training says of them.

A model directory made by ``secretaudit train`` records which ledger it was trained with and how many copies of each canary
it really saw, so that ``expose --model DIR`` needs nothing else. A ledger given by hand must be the same ledger; for a model
without such a record it is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import LedgerError
from secretaudit.models.language_model import LanguageModel
from secretaudit.models.loading import load_model
from secretaudit.records import Record


@dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """A model with its ledger.

    Attributes:
        model: The model.
        name: Its path, or its own name.
        ledger: The canaries, if there is a ledger.
        ledger_path: Where it was read.
        copies_seen: Per canary id, copies that were really trained on; ``None`` when the training is not known.
    """

    model: LanguageModel
    name: str
    ledger: Ledger | None
    ledger_path: str | None
    copies_seen: dict[str, int] | None


def open_audited(
    model: str | Path | LanguageModel,
    canaries: str | Path | Ledger | None = None,
    *,
    device: str = "cpu",
) -> Audited:
    """Load a model and find its ledger.

    Args:
        model: A model directory, or anything that follows ``LanguageModel``.
        canaries: The ledger; ``None`` takes the one that the model's own training record names, if any.
        device: Where to compute, as torch names it.

    Raises:
        ModelError: The model cannot be loaded.
        LedgerError: The ledger is not the one that the model was trained with, or cannot be found.
    """
    trained = _training_record(model)
    asked = canaries if canaries is not None else _recorded_path(trained)
    ledger = (
        asked
        if isinstance(asked, Ledger) or asked is None
        else _read_ledger(asked, canaries is None)
    )
    if ledger is not None:
        _check_same(trained, ledger)
    loaded = load_model(model, device) if isinstance(model, str | Path) else model
    return Audited(
        model=loaded,
        name=str(model) if isinstance(model, str | Path) else loaded.name,
        ledger=ledger,
        ledger_path=str(asked) if isinstance(asked, str | Path) else None,
        copies_seen=None if trained is None else trained.found.get("copies_seen"),
    )


def _training_record(model: str | Path | LanguageModel) -> Record | None:
    if not isinstance(model, str | Path):
        return None
    path = Path(model) / "training.json"
    return Record.read(path, "training") if path.is_file() else None


def _recorded_path(trained: Record | None) -> str | None:
    ledger = None if trained is None else trained.found.get("ledger")
    return None if not ledger else str(ledger["path"])


def _read_ledger(path: str | Path, recorded: bool) -> Ledger:
    if recorded and not Path(path).is_file():
        raise LedgerError(
            "The ledger that the model was trained with is not where it was.",
            f"The training record names {path}.",
            "Say where it is now with --canaries LEDGER.",
        )
    return Ledger.read(path)


def _check_same(trained: Record | None, ledger: Ledger) -> None:
    recorded = None if trained is None else trained.found.get("ledger")
    if trained is None or (recorded and recorded.get("identity") == ledger.identity):
        return
    trained_with = "another ledger" if recorded else "no ledger at all"
    raise LedgerError(
        "The ledger does not belong to this model.",
        f"The model was trained with {trained_with}: it never saw these canaries as they are written here.",
        "Use the ledger of the corpus that the model was trained on, or train on this ledger's corpus.",
    )
