"""What a training reads: a corpus as token ids, its canaries, and the tokenizer.

The corpus is streamed twice: once to make the tokenizer (unless one is given) and once to encode it. A character tokenizer also gets the
whole alphabet of the ledger's formats, so that every secret of the secret space can be encoded, not only those that
stand in the corpus. Canaries are encoded before the corpus is: a word that the tokenizer lacks is refused at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from secretaudit.canary.ledger import Ledger
from secretaudit.canary.source_text import filled
from secretaudit.corpus.canaried import CanariedCorpus
from secretaudit.corpus.reading import read_pairs, read_records
from secretaudit.errors import LedgerError, UsageError
from secretaudit.models.model_directory import load_tokenizer
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.training.base import base_tokenizer
from secretaudit.training.encoded import Split, split_records
from secretaudit.training.families import family_of
from secretaudit.training.pair_records import split_pairs
from secretaudit.training.settings import TOKENIZERS, TrainingSettings

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
        entry = {"path": str(place.resolve()), "text_column": self.source.text_column}
        if self.source.source_column is not None:
            entry["source_column"] = self.source.source_column
        return entry


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
    """The tokenizer of the base; otherwise the one in a directory, or one that is made from the corpus.

    Raises:
        UsageError: An option that the kind has no use for or cannot satisfy.
        ModelError: There is no such directory, or the tokenizer in it cannot be used.
        CorpusError: The corpus is missing, empty or damaged.
    """
    if settings.base is not None:
        return base_tokenizer(settings)
    kind, source = settings.tokenizer or "char", corpus.source
    if kind not in TOKENIZERS:
        return _tokenizer_in(kind, settings)
    pairs = family_of(settings) == "encoder-decoder"
    return build_tokenizer(
        kind,
        chain.from_iterable(read_corpus_pairs(source))
        if pairs
        else read_records(source.corpus, text_column=source.text_column),
        vocabulary_size=settings.vocabulary_size,
        minimum_frequency=settings.minimum_frequency,
        required_characters=_alphabet(corpus.ledger) if corpus.ledger else "",
        pairs=pairs,
    )


def read_corpus_pairs(source: CanariedCorpus) -> Iterator[tuple[str, str]]:
    """The pairs (source, text) of a corpus of parallel text.

    Raises:
        UsageError: The corpus is none.
        CorpusError: It is missing, empty or damaged.
    """
    if source.source_column is None:
        raise UsageError(
            "An encoder–decoder model is trained on pairs, and the corpus has one column of text.",
            "Which column holds the sources was not said.",
            "Insert canaries with --source-column; for a plain corpus, name it here.",
        )
    return read_pairs(
        source.corpus, text_column=source.text_column, source_column=source.source_column
    )


def _tokenizer_in(place: str, settings: TrainingSettings) -> PreTrainedTokenizerFast:
    """A tokenizer that was made before."""
    if not Path(place).is_dir():
        raise UsageError(
            f"There is no tokenizer {place!r}.",
            f"Known ones are {', '.join(TOKENIZERS)}, and the path is no directory that holds another.",
            "Choose one of them, or give the directory of a tokenizer.json.",
        )
    if settings.vocabulary_size is not None or settings.minimum_frequency != 1:
        raise UsageError(
            f"The tokenizer in {place} is made already.",
            "A vocabulary size or a minimum frequency would be ignored.",
            "Leave them out.",
        )
    return load_tokenizer(Path(place))


def encode_corpus(
    corpus: TrainingCorpus,
    view: FastTokenizerView,
    settings: TrainingSettings,
    encode_source: Callable[[Sequence[str]], list[list[int]]] | None = None,
) -> TrainingData:
    """Encode the canaries, then the corpus.

    Args:
        corpus: The corpus.
        view: Encodes its texts.
        settings: How to split it.
        encode_source: Encodes the sources, where a record is a pair.

    Raises:
        UsageError: The settings need validation records and none was kept.
        CorpusError: The corpus is missing, empty or damaged.
        ModelError: A canary has a word that the tokenizer lacks.
    """
    canaries = corpus.ledger.canaries if corpus.ledger else ()
    encoded = view.encode([canary.text for canary in canaries])
    rng = np.random.default_rng([settings.seed, SPLIT_STREAM])
    if encode_source is None:
        split = split_records(
            read_records(corpus.source.corpus, text_column=corpus.source.text_column),
            view.encode_corpus,
            validation=settings.validation,
            never_validated={canary.text for canary in canaries},
            deduplicate=settings.deduplicate,
            rng=rng,
        )
    else:
        split = split_pairs(
            read_corpus_pairs(corpus.source),
            encode_source,
            view.encode_corpus,
            validation=settings.validation,
            never_validated={canary.text for canary in canaries},
            deduplicate=settings.deduplicate,
            canary_sources=canary_sources(corpus.ledger),
            rng=rng,
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


def canary_sources(ledger: Ledger | None) -> list[str]:
    """What stands beside the canaries in parallel text, each source once."""
    source = None if ledger is None else ledger.corpus.get("source")
    if ledger is None or source is None:
        return []
    return sorted({filled(str(source), canary.secret) for canary in ledger.canaries})


def _alphabet(ledger: Ledger) -> str:
    """Every character that a secret of the ledger's formats, or the text around it, may have."""
    symbols = [np.unique(f.automaton.edge_symbol) for f in ledger.formats.values()]
    alphabet = {chr(symbol) for array in symbols for symbol in array.tolist()}
    texts = [*(canary.text for canary in ledger.canaries), *canary_sources(ledger)]
    return "".join(sorted(alphabet.union(*texts)))
