"""The baseline beside a neural model: an n-gram count over the same corpus, with the same tokenizer.

It sees the tokens that the audited model sees, framed in the same way, so that the exposures of one canary under both can be
compared. Its corpus is the one with the canaries in it.
"""

from __future__ import annotations

from pathlib import Path

from secretaudit.audited import Audited
from secretaudit.corpus.canaried import RECORD_NAME, CanariedCorpus, open_canaried
from secretaudit.corpus.reading import read_records
from secretaudit.errors import UsageError
from secretaudit.models.language_model import LanguageModel
from secretaudit.models.ngram.language_model import train_ngram
from secretaudit.tree.scored_space import SecretScorer

BASELINES = ("ngram",)


def baseline_model(name: str, audited: Audited, corpus: str | Path | None) -> LanguageModel:
    """The baseline of this name, counted over the corpus.

    Args:
        name: One of ``BASELINES``.
        audited: The model whose tokenizer is used, and which may say where its corpus lies.
        corpus: A directory made by ``insert``, or a plain corpus; ``None`` takes the audited model's own.

    Raises:
        UsageError: No corpus is known, or the model has no tokenizer.
        CorpusError: The corpus cannot be read.
    """
    model = audited.model
    if isinstance(model, SecretScorer):
        raise UsageError(
            f"The baseline {name!r} cannot be counted.",
            f"The model {model.name!r} has no tokenizer whose tokens could be counted.",
            "Leave --baseline out.",
        )
    source = _known_corpus(audited) if corpus is None else open_canaried(corpus)
    return train_ngram(
        read_records(source.corpus, text_column=source.text_column),
        model.tokenizer,
        model.framing,
        model.vocabulary_size,
    )


def _known_corpus(audited: Audited) -> CanariedCorpus:
    """The corpus of the training, or the one that the ledger lies beside."""
    trained = audited.corpus
    if trained is not None and Path(trained["path"]).exists():
        return open_canaried(trained["path"], text_column=trained["text_column"])
    if audited.ledger_path is not None:
        beside = Path(audited.ledger_path).parent
        if (beside / RECORD_NAME).is_file():
            return open_canaried(beside)
    raise UsageError(
        "There is no corpus for the baseline.",
        "Neither the model's training record nor the ledger says where the corpus with the canaries lies.",
        "Name it with --corpus PATH.",
    )
