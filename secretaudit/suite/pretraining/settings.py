"""The dials of ``suite pretraining``; what the paper does not say is a dial here.

The paper's text (read in part only) fixes the order of things: random labels, memorization, ordinary training. Target, epochs, rounds, number of random classes,
learning rates, seeds and controls are our choices, and the defaults fit small data.
"""

from __future__ import annotations

from dataclasses import dataclass

from secretaudit import _checks
from secretaudit.errors import UsageError
from secretaudit.suite.fitting import FitSettings
from secretaudit.suite.pretraining.random_labels import SCHEMES

__all__ = ["PARTS", "PretrainingSettings"]

#: Rounds and transfer are measured on classifiers, continuations on language models.
PARTS = ("rounds", "transfer", "continuations")
_NOISE = ("tokens", "shuffled")
_UNITS = ("character", "word")


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """How networks memorize random labels and what is done with them afterwards.

    Attributes:
        parts: Which measures run: "rounds" and "transfer" (classifiers), "continuations" (language models); those that do not apply say so.
        labels: Random labels: "permute" (the true labels in another order, as the authors' script does) or "uniform" (drawn over the classes).
        random_classes: Classes of uniform labels; by default as many as there are true ones.
        examples: Training examples that are memorized, from the beginning; 0: all. Memorizing takes longer than learning, and the more so the more there are.
        labelled: Training examples that the fine-tuning sees with their true labels; by default as many as are memorized, 0: all.
        seeds: Networks per condition; intervals need two, and a claim five or more.
        target: Training accuracy at which a labelling counts as memorized.
        memorize_epochs: Most epochs of each memorization.
        rounds: Labellings that one network memorizes in a row.
        transfer_round: The round after which the network is taken for fine-tuning.
        epochs: Epochs of fine-tuning, and of every control.
        accuracy: Held-out accuracy whose epoch is compared; by default 95 % of the control's mean final accuracy.
        reinitialize: Last layers before the head that are given new weights before fine-tuning; one more condition for each number.
        rescale: Whether a network from scratch with the pre-trained weights' norms is trained as well.
        batch_size: Examples per step.
        optimizer: "sgd" or "adam".
        learning_rate: Of the memorization.
        fine_tune_rate: Learning rate on the true labels; by default the same.
        momentum: Of SGD.
        weight_decay: L2 penalty of the fine-tuning; the memorization has none.
        noise: Random text of language models: "tokens" (drawn one by one from the text's frequencies) or "shuffled" (each line's in another order).
        unit: What is drawn or shuffled: "character" or "word".
        noise_epochs: Passes over the random text; by default as many as the training on real text makes.

    Raises:
        UsageError: A value out of its range, or two that contradict each other.
    """

    parts: tuple[str, ...] = PARTS
    labels: str = "permute"
    random_classes: int | None = None
    examples: int = 300
    labelled: int | None = None
    seeds: int = 5
    target: float = 0.99
    memorize_epochs: int = 200
    rounds: int = 4
    transfer_round: int = 1
    epochs: int = 20
    accuracy: float | None = None
    reinitialize: tuple[int, ...] = (1,)
    rescale: bool = True
    batch_size: int = 32
    optimizer: str = "sgd"
    learning_rate: float = 0.02
    fine_tune_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 0.0
    noise: str = "tokens"
    unit: str = "character"
    noise_epochs: int | None = None

    def __post_init__(self) -> None:
        for part in self.parts:
            _checks.one_of("parts", part, PARTS)
        _checks.one_of("labels", self.labels, SCHEMES)
        _checks.one_of("noise", self.noise, _NOISE)
        _checks.one_of("unit", self.unit, _UNITS)
        _checks.fraction("target", self.target)
        if self.accuracy is not None:
            _checks.fraction("accuracy", self.accuracy)
        self._check_counts()
        self._check_together()
        self.memorizing, self.fine_tuning  # noqa: B018  (their own checks)

    def _check_counts(self) -> None:
        """Refuse what is too small to count."""
        for name, least in (
            ("random_classes", 2),
            ("examples", 0),
            ("labelled", 0),
            ("seeds", 1),
            ("rounds", 1),
            ("transfer_round", 1),
            ("noise_epochs", 1),
        ):
            value = getattr(self, name)
            if value is not None:
                _checks.at_least(name, value, least)
        for layers in self.reinitialize:
            _checks.at_least("reinitialize", layers, 1)

    def _check_together(self) -> None:
        """Refuse settings that contradict each other."""
        if self.labels == "permute" and self.random_classes is not None:
            raise UsageError(
                "Permuted labels have no number of random classes.",
                "They are the true labels in another order, so the classes stay as they are.",
                "Leave random_classes out, or choose uniform labels.",
            )
        if self.transfer_round > self.rounds:
            raise UsageError(
                f"The network cannot be taken after round {self.transfer_round} of {self.rounds}.",
                "There is no such round.",
                "Give more rounds, or an earlier transfer_round.",
            )

    @property
    def labelled_examples(self) -> int:
        """How many examples the fine-tuning sees; 0: all."""
        return self.examples if self.labelled is None else self.labelled

    @property
    def memorizing(self) -> FitSettings:
        """How random labels are trained on: until the target, without a penalty."""
        return FitSettings(
            epochs=self.memorize_epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            target=self.target,
        )

    @property
    def fine_tuning(self) -> FitSettings:
        """How true labels are trained on: a fixed number of epochs."""
        rate = self.learning_rate if self.fine_tune_rate is None else self.fine_tune_rate
        return FitSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
