"""What a training reads: a corpus as token ids, its canaries, and the tokenizer.

The corpus is streamed twice: once to make the tokenizer (unless one is given) and once to encode it. A character tokenizer also gets the
whole alphabet of the ledger's formats, so that every secret of the secret space can be encoded, not only those that
stand in the corpus. Canaries are encoded before the corpus is: a word that the tokenizer lacks is refused at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from secretaudit.canary.ledger import Ledger
from secretaudit.corpus.canaried import CanariedCorpus
from secretaudit.corpus.reading import read_records
from secretaudit.errors import LedgerError, UsageError
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.training.encoded import Split, split_records
from secretaudit.training.settings import TrainingSettings

#: Which stream of randomness the seed of a training gives to the validation split.
SPLIT_STREAM = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingCorpus:
    """A corpus and its canaries.

    Attributes:
        source: Where it lies.
        ledger: Its canaries, if it has any.
    """

    source: CanariedCorpus
    ledger: Ledger | None

    @property
    def ledger_entry(self) -> dict[str, str] | None:
        """Which ledger the corpus was made with, for the record."""
        if self.ledger is None or self.source.ledger is None:
            return None
        return {"path": str(self.source.ledger.resolve()), "identity": self.ledger.identity}

    @property
    def corpus_entry(self) -> dict[str, str]:
        """Where the corpus lies, for the record: the directory that ``insert`` made, or the plain corpus."""
        place = self.source.corpus if self.source.ledger is None else self.source.ledger.parent
        return {"path": str(place.resolve()), "text_column": self.source.text_column}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """A corpus as tokens.

    Attributes:
        corpus: Where it came from.
        canary_ids: Token ids of each canary's text, by the canary's id.
        split: Its records.
    """

    corpus: TrainingCorpus
    canary_ids: dict[str, list[int]]
    split: Split


def open_corpus(source: CanariedCorpus) -> TrainingCorpus:
    """The corpus with its ledger, held against the identity that the corpus remembers.

    Raises:
        LedgerError: The ledger is damaged or not the one of this corpus.
    """
    if source.ledger is None:
        return TrainingCorpus(source=source, ledger=None)
    ledger = Ledger.read(source.ledger)
    if source.ledger_identity not in (None, ledger.identity):
        raise LedgerError(
            f"{source.ledger} is not the ledger of this corpus.",
            "Its canaries are others than those that were inserted.",
            "Put the ledger of that insertion back, or insert again.",
        )
    return TrainingCorpus(source=source, ledger=ledger)


def make_tokenizer(corpus: TrainingCorpus, settings: TrainingSettings) -> PreTrainedTokenizerFast:
    """A tokenizer made from the corpus.

    Raises:
        UsageError: An option that the kind has no use for or cannot satisfy.
        CorpusError: The corpus is missing, empty or damaged.
    """
    source = corpus.source
    return build_tokenizer(
        settings.tokenizer or "char",
        read_records(source.corpus, text_column=source.text_column),
        vocabulary_size=settings.vocabulary_size,
        minimum_frequency=settings.minimum_frequency,
        required_characters=_alphabet(corpus.ledger) if corpus.ledger else "",
    )


def encode_corpus(
    corpus: TrainingCorpus, view: FastTokenizerView, settings: TrainingSettings
) -> TrainingData:
    """Encode the canaries, then the corpus.

    Raises:
        UsageError: The settings need validation records and none was kept.
        CorpusError: The corpus is missing, empty or damaged.
        ModelError: A canary has a word that the tokenizer lacks.
    """
    canaries = corpus.ledger.canaries if corpus.ledger else ()
    encoded = view.encode([canary.text for canary in canaries])
    split = split_records(
        read_records(corpus.source.corpus, text_column=corpus.source.text_column),
        view.encode_corpus,
        validation=settings.validation,
        never_validated={canary.text for canary in canaries},
        deduplicate=settings.deduplicate,
        rng=np.random.default_rng([settings.seed, SPLIT_STREAM]),
    )
    check_validation(split, settings)
    return TrainingData(
        corpus=corpus,
        canary_ids={c.id: ids for c, ids in zip(canaries, encoded, strict=True)},
        split=split,
    )


def check_validation(split: Split, settings: TrainingSettings) -> None:
    """Refuse to judge by records that there are not."""
    if split.validation is None and (settings.keep == "best" or settings.patience is not None):
        raise UsageError(
            "No record was kept for validation.",
            f"The corpus has {len(split.training)} records, too few for a share of {settings.validation}.",
            "Raise the validation share, or keep the last model and do not stop early.",
        )


def _alphabet(ledger: Ledger) -> str:
    """Every character that a secret of the ledger's formats, or the text around it, may have."""
    symbols = [np.unique(f.automaton.edge_symbol) for f in ledger.formats.values()]
    alphabet = {chr(symbol) for array in symbols for symbol in array.tolist()}
    return "".join(sorted(alphabet.union(*(canary.text for canary in ledger.canaries))))
