"""Dials of the dissection; every one of them may change a number."""

from __future__ import annotations

from dataclasses import dataclass

from secretaudit import _checks
from secretaudit.errors import UsageError
from secretaudit.suite.fitting import FitSettings

__all__ = ["PARTS", "DissectionSettings"]

#: What can be measured. "language" is of language models, all others of classifiers.
PARTS = (
    "agreement",
    "representation",
    "input gradients",
    "coherence",
    "patterns",
    "language",
)


@dataclass(frozen=True, kw_only=True)
class DissectionSettings:
    """How networks that learned are held against networks that memorized.

    Attributes:
        parts: What is measured: "agreement", "representation", "input gradients", "coherence", "patterns", "language".
        models: Networks per condition (true labels, the same random labels, independent random labels); with 5 the smallest p-value is 1/252.
        target: Training accuracy at which every network stops.
        epochs: Most passes over the training examples; a network that has not reached the target by then is left out and named.
        examples: Most training examples.
        held_out: Most held-out examples on which networks are compared.
        batch_size: Examples per step.
        optimizer: "adam" or "sgd".
        learning_rate: Of each step.
        layers: Layers whose representations are compared, by name; none takes linear and convolutional layers, evenly spread.
        most_layers: Most layers where none are named.
        svcca_variance: Share of the variance that SVCCA keeps of each layer.
        gradient_examples: Examples whose gradients are taken, by input and by parameters.
        wrong_labels: Share of labels made wrong where coherence is to tell them from right ones.
        pattern_models: Networks per cue.
        pattern_epochs: Passes over the cued examples.
        cue_pixels: Images, clips, tables: pixels (features) of a cue; more are simpler.
        cue_tokens: Text: tokens of a cue that must be read together; fewer are simpler.
        splits: Most divisions of the networks over two conditions that a permutation test goes through one by one; of more, so many are drawn.
        language_noise: Random text of language models: "tokens" (drawn from the text's frequencies) or "shuffled" (within lines).
        language_lines: Lines that language models are trained on until they fit them, for the comparison of pairs; all lines are used for the canaries.
        language_nats: Mean loss per training token, in nats, at which such a language model stops.
        language_epochs: Most passes over these lines; a model that has not come to that loss by then is left out and named.
        language_batch: Lines per step of these trainings.
        language_looks: Epochs after which the coherence of their lines' gradients is measured as well, each in a training of so many epochs.
        language_positions: Held-out tokens on which language models are compared.
        language_records: Training lines whose gradients are taken beside those of the canaries.

    Raises:
        UsageError: A value out of its range.
    """

    parts: tuple[str, ...] = PARTS
    models: int = 5
    target: float = 0.99
    epochs: int = 300
    examples: int = 600
    held_out: int = 300
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 0.001
    layers: tuple[str, ...] = ()
    most_layers: int = 6
    svcca_variance: float = 0.99
    gradient_examples: int = 128
    wrong_labels: float = 0.2
    pattern_models: int = 5
    pattern_epochs: int = 10
    cue_pixels: tuple[int, ...] = (1, 2, 4, 8)
    cue_tokens: tuple[int, ...] = (1, 2, 3)
    splits: int = 20_000
    language_noise: str = "tokens"
    language_lines: int = 60
    language_nats: float = 0.5
    language_epochs: int = 300
    language_batch: int = 8
    language_looks: tuple[int, ...] = (1, 4, 16)
    language_positions: int = 1_000
    language_records: int = 100

    def __post_init__(self) -> None:
        if not self.parts:
            raise UsageError(
                "No part is chosen.",
                "Without a part there is nothing to measure.",
                f"Choose among: {', '.join(PARTS)}.",
            )
        for part in self.parts:
            _checks.one_of("parts", part, PARTS)
        for name in ("models", "pattern_models", "gradient_examples"):
            _checks.at_least(name, getattr(self, name), 2)
        for name, least in (("examples", 4), ("held_out", 4), ("most_layers", 1), ("splits", 1)):
            _checks.at_least(name, getattr(self, name), least)
        for name in ("pattern_epochs", "language_epochs", "language_batch"):
            _checks.at_least(name, getattr(self, name), 1)
        for name in ("language_positions", "language_records", "language_lines"):
            _checks.at_least(name, getattr(self, name), 4)
        _checks.positive("language_nats", self.language_nats)
        for epoch in self.language_looks:
            _checks.at_least("language_looks", epoch, 1)
        _checks.fraction("svcca_variance", self.svcca_variance)
        _checks.fraction("wrong_labels", self.wrong_labels)
        _checks.one_of("language_noise", self.language_noise, ("tokens", "shuffled"))
        for name in ("cue_pixels", "cue_tokens"):
            grades = getattr(self, name)
            _checks.at_least(f"the number of {name}", len(set(grades)), 2)
            _checks.at_least(name, min(grades), 1)
        self.fit_settings()

    def fit_settings(self) -> FitSettings:
        """How a network of a condition is trained."""
        return FitSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            target=self.target,
        )
