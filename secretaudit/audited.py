"""What is audited: a model, the ledger of its canaries, and what its training says of them.

A model directory made by ``secretaudit train`` records which ledger it was trained with and how many copies of each canary
it really saw, so that ``expose --model DIR`` needs nothing else. A ledger given by hand must be the same ledger; for a model
without such a record it is taken as it is. The ledger of parallel text names the source that its canaries stood beside, and an
encoder–decoder model is asked for them given that source, unless it is given another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import LedgerError
from secretaudit.models.language_model import LanguageModel
from secretaudit.models.loading import load_model
from secretaudit.models.model_options import ModelOptions
from secretaudit.progress import Progress
from secretaudit.records import Record
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.scored_space import SecretScorer

#: What stands for a model: a directory, a file, a name on the hub, an address, or a model.
ModelLike = str | Path | LanguageModel | SecretScorer


@dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """A model with its ledger.

    Attributes:
        model: The model.
        name: Its path, or its own name.
        ledger: The canaries, if there is a ledger.
        ledger_path: Where it was read.
        copies_seen: Per canary id, copies that were really trained on; ``None`` when the training is not known.
        copies_expected: Per canary id, copies that should have been: the insertions, or one where the training left out duplicates.
        corpus: Path and text column of the corpus that it was trained on, where the training's record names them.
        source_from: Who named the source of an encoder–decoder model: "options", "ledger", or "model" for one that was bound by its owner.
    """

    model: LanguageModel | SecretScorer
    name: str
    ledger: Ledger | None
    ledger_path: str | None
    copies_seen: dict[str, int] | None
    copies_expected: dict[str, int] | None = None
    corpus: dict[str, str] | None = None
    source_from: str = "model"

    def described(self) -> dict[str, Any]:
        """What a record says of the model: how texts are framed, in which precision it computes, what a server promised."""
        framing = getattr(self.model, "framing", None)
        source = getattr(self.model, "source", None)
        return {
            "name": self.name,
            "kind": type(self.model).__name__,
            "dtype": str(getattr(self.model, "dtype", "float32")).removeprefix("torch."),
            "tokens_before": None if framing is None else list(framing.before),
            "tokens_after": None if framing is None else list(framing.after),
            "source": source,
            "source_from": None if source is None else self.source_from,
            "server": getattr(self.model, "server", None),
            "handshake": getattr(self.model, "handshake", None),
        }


def open_audited(
    model: ModelLike,
    canaries: str | Path | Ledger | None = None,
    *,
    options: ModelOptions | None = None,
) -> Audited:
    """Load a model and find its ledger.

    Args:
        model: A model directory, a name on the hub, an address of a server, or anything that follows ``LanguageModel`` or
            ``SecretScorer``.
        canaries: The ledger; ``None`` takes the one that the model's own training record names, if any.
        options: How the model is to be opened.

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
    return Audited(
        model=opened(model, options, ledger),
        name=str(model) if isinstance(model, str | Path) else model.name,
        ledger=ledger,
        ledger_path=str(asked) if isinstance(asked, str | Path) else None,
        copies_seen=None if trained is None else trained.found.get("copies_seen"),
        copies_expected=None if trained is None else trained.found.get("copies_expected"),
        corpus=None if trained is None else trained.found.get("corpus"),
        source_from=source_from(model, options),
    )


def source_from(model: ModelLike, options: ModelOptions | None) -> str:
    """Who names the source, if there is one."""
    if not isinstance(model, str | Path):
        return "model"
    return "ledger" if options is None or options.source is None else "options"


def opened(
    model: ModelLike, options: ModelOptions | None = None, ledger: Ledger | None = None
) -> LanguageModel | SecretScorer:
    """The model, loaded unless it is one already; an encoder–decoder takes the source that the ledger names, unless given another."""
    if not isinstance(model, str | Path):
        return model
    source = None if ledger is None else ledger.corpus.get("source")
    recorded = None if source is None else str(source)
    return load_model(model, options or ModelOptions(), recorded_source=recorded)


def announce_cost(tree: SecretTree, budget: Budget, progress: Progress) -> None:
    """Say before the start what asking a server will cost at most; nothing for models that are here."""
    estimate = getattr(tree.model, "estimate", None)
    if not callable(estimate):
        return
    levels = tree.automaton.depth - len(tree.shared)
    most = min(tree.form.size * levels, budget.nodes or 2**62)
    requests, seconds = estimate(min(most, 10**12))
    until = f", or until {budget.seconds:g} s are over" if budget.seconds is not None else ""
    progress.announce(
        f"{tree.form.name}: up to about {requests:,} requests to the server, {_duration(seconds)}{until}, and more where it "
        "lists too few next tokens; what an earlier run asked is not asked again."
    )


def _duration(seconds: float) -> str:
    """Roughly how long.

    >>> _duration(42.3), _duration(4000.0), _duration(1e9)
    ('about 42 s', 'about 67 min', 'more than a day')
    """
    if seconds < 120:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 86_400 else "more than a day"


def _training_record(model: ModelLike) -> Record | None:
    if not isinstance(model, str | Path) or "://" in str(model):
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
