"""What can go wrong, as a tree of exceptions.

    SecretauditError            what / why / way out, one line each
    ├── UsageError              exit 2: the question was wrong; nothing was measured, nothing was changed
    │   ├── FormatError         a format that cannot be parsed, is unknown, or has fewer than two secrets
    │   ├── CorpusError         a corpus that is missing, empty, binary, already written …
    │   ├── LedgerError         a ledger that is damaged, or belongs to another corpus or model
    │   ├── RecordError         a record that is truncated, of another kind or from the future
    │   └── PolicyError         a gate without a usable limit
    ├── CouldNotMeasure         exit 3: the question was right and has no answer here
    │   ├── ModelError          no weights, NaN, pickled weights, a tokenizer that does not fit
    │   └── TrainingError       training diverged, the disk is full …
    └── EndedElsewhere          another of the processes that work together has one of these, and tells it

Every error carries three short sentences. The command line prints them and exits with ``exit_code``;
"could not measure" is never shown as "passed".
"""

from __future__ import annotations


class SecretauditError(Exception):
    """Root of all errors that a user can cause.

    Args:
        what: What happened, one line.
        why: Why it happened, one line.
        way_out: What to do now, one line.
    """

    exit_code = 2

    def __init__(self, what: str, why: str, way_out: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.what} {self.why} {self.way_out}"

    def __reduce__(self) -> tuple[type[SecretauditError], tuple[str, str, str]]:
        """Keep all three lines when an error comes from another process."""
        return type(self), (self.what, self.why, self.way_out)


class UsageError(SecretauditError):
    """The question was wrong: exit 2."""


class FormatError(UsageError):
    """A format that is unknown, cannot be parsed, or describes fewer than two secrets."""


class CorpusError(UsageError):
    """A corpus that cannot be read or written as asked."""


class LedgerError(UsageError):
    """A ledger that is damaged, unsafe, or belongs to another corpus or model."""


class RecordError(UsageError):
    """A record that is truncated, of another kind, or of a version that is not known."""


class PolicyError(UsageError):
    """A gate that was given no usable limit."""


class CouldNotMeasure(SecretauditError):
    """The question was right and could not be answered: exit 3."""

    exit_code = 3


class ModelError(CouldNotMeasure):
    """A model that cannot be loaded or does not give usable probabilities."""


class TrainingError(CouldNotMeasure):
    """A training that diverged or could not be written down."""


class EndedElsewhere(SecretauditError):
    """Another process had an error that ends this one too; it is told there, and only there.

    Args:
        exit_code: With which the other process ends.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(
            "Another process of this training had an error.",
            "All of them end together.",
            "See what the other process said.",
        )
        self.exit_code = exit_code
