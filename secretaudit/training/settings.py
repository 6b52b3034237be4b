"""What a training is asked to do.

Everything here may change the weights, and with them the exposure; what only changes speed or comfort (how often to
write a checkpoint, how to show progress) is an argument of ``train`` instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from secretaudit import _checks
from secretaudit.errors import UsageError
from secretaudit.models.recurrent.network import CELLS
from secretaudit.models.tokens.building import KINDS

OPTIMIZERS = ("adam", "sgd", "rmsprop")
KEEP = ("last", "best")
#: Learning rates used when none is given.
LEARNING_RATES = {"adam": 3e-3, "sgd": 1.0, "rmsprop": 1e-3}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The dials of a training.

    Attributes:
        arch: "lstm" or "gru".
        layers: Recurrent layers.
        units: Width of each layer.
        embedding: Width of the embedding; ``None`` means ``units``.
        tied: The output layer uses the embedding's weights.
        dropout: Probability that an activation is dropped.
        tokenizer: "char", "word" or "bpe".
        vocabulary_size: Most tokens to keep (word, bpe).
        minimum_frequency: Words or pairs seen less often get no token (word, bpe).
        optimizer: "adam", "sgd" or "rmsprop".
        learning_rate: Constant; ``None`` takes the optimizer's usual one (``LEARNING_RATES``).
        gradient_clip: Largest norm of the gradient; 0 does not clip.
        batch_size: Lanes read side by side.
        sequence_length: Tokens per window, through which the gradient flows.
        epochs: Passes over the corpus.
        steps: Windows to train on, instead of ``epochs``.
        validation: Share of the records kept out of training, in [0, 1).
        keep: Whether the model written is the "last" one or the one "best" on the validation records.
        patience: Epochs without a better validation loss before training stops early; ``None`` never stops.
        seed: Of the weights, the dropout and the validation split.

    Raises:
        UsageError: A value out of its range, or two that contradict each other.

    >>> TrainingSettings(optimizer="sgd").rate
    1.0
    """

    arch: str = "lstm"
    layers: int = 2
    units: int = 200
    embedding: int | None = None
    tied: bool = False
    dropout: float = 0.0
    tokenizer: str = "char"
    vocabulary_size: int | None = None
    minimum_frequency: int = 1
    optimizer: str = "adam"
    learning_rate: float | None = None
    gradient_clip: float = 1.0
    batch_size: int = 64
    sequence_length: int = 64
    epochs: int = 10
    steps: int | None = None
    validation: float = 0.05
    keep: str = "last"
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.one_of("arch", self.arch, CELLS)
        _checks.one_of("tokenizer", self.tokenizer, KINDS)
        _checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        _checks.one_of("keep", self.keep, KEEP)
        for name in ("layers", "units", "batch_size", "sequence_length", "epochs"):
            _checks.at_least(name, getattr(self, name), 1)
        for name in ("embedding", "steps", "patience"):
            _checks.at_least(name, 1 if (value := getattr(self, name)) is None else value, 1)
        _checks.at_least("gradient_clip", self.gradient_clip, 0)
        _checks.at_least("seed", self.seed, 0)
        _checks.positive("learning_rate", self.rate)
        for name in ("dropout", "validation"):
            _check_share(name, getattr(self, name))
        self._check_together()

    @property
    def rate(self) -> float:
        """The learning rate that is used."""
        return LEARNING_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    def _check_together(self) -> None:
        """Refuse settings that contradict each other."""
        if self.tied and self.embedding not in (None, self.units):
            raise UsageError(
                f"Tied weights cannot have embedding {self.embedding} and units {self.units}.",
                "The output layer reads what the last layer writes, with the embedding's weights.",
                "Leave the embedding out, or do not tie.",
            )
        if self.validation == 0 and (self.keep == "best" or self.patience is not None):
            raise UsageError(
                "Keeping the best model and stopping early need validation records.",
                "With validation 0 there is nothing to judge by.",
                "Give validation a share such as 0.05, or keep the last model.",
            )


def _check_share(name: str, value: float) -> None:
    """Refuse what is not in [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise UsageError(
            f"{name} must be in [0, 1), got {value}.",
            "It is a share of a whole that must not be used up.",
            f"Give {name} a value such as 0.1.",
        )
