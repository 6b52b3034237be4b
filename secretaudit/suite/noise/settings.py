"""The dials of ``suite noise``; every one of them may change a number.

The paper's (read): 100 initial weights × 1,000 examples × one epoch for easy examples; 1,000 digits of 14×14 pixels and two layers of 16 units for
sensitivity; SGD. Batch sizes and the number of updates are not given there. The defaults are ours: sizes at which scikit-learn's digits take a minute
or two.
"""

from __future__ import annotations

from dataclasses import dataclass

from secretaudit import _checks
from secretaudit.errors import UsageError

__all__ = ["PARTS", "NoiseSettings"]

#: What can be measured. "language" is of language models, all others of classifiers.
PARTS = ("ease", "sensitivity", "critical", "capacity", "regularizers", "language")


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """How a network on noise is held against one on the data.

    Attributes:
        parts: What is measured: "ease", "sensitivity", "critical", "capacity", "regularizers", "language".
        labels: Random labels: "uniform" draws each by itself, "permuted" shuffles the labels there are.
        ease_initializations: Easy examples: initial weights per kind of data; the paper has 100.
        ease_examples: Easy examples: most examples whose rate is taken, from the beginning of the training part; the paper has 1,000.
        ease_training: Easy examples: most examples that are trained on; the ones measured are among them.
        ease_epochs: Easy examples: passes over them; the paper has 1.
        ease_batch_size: Easy examples: examples per step.
        ease_learning_rate: Easy examples: of SGD.
        ease_momentum: Easy examples: of SGD.
        ease_curves: Easy examples: points of each sorted curve that are kept for the figure.
        sensitivity_initializations: Sensitivity: trainings per kind of data, each from its own initial weights.
        sensitivity_examples: Sensitivity: most training examples; the paper has 1,000.
        sensitivity_updates: Sensitivity: updates of SGD that are looked through (T).
        sensitivity_batch_size: Sensitivity: examples per update; none takes all of them.
        sensitivity_learning_rate: Sensitivity: of SGD.
        sensitivity_units: Sensitivity: hidden units of each of two layers, in place of the model; 0 takes the model itself, as text always does. The paper has 16.
        sensitivity_unroll: Sensitivity: differentiate through so many last updates only, an approximation; none goes back to the first.
        sensitivity_looks: Sensitivity: values of t that sensitivity is taken at and averaged over, evenly spaced, T the last.
        sensitivity_class_looks: Sensitivity: the same for the matrix of classes, which costs as many times more as there are classes; 0 leaves it out.
        sensitivity_class_examples: Sensitivity: most examples of the second task, where each example is a class of its own; 0 leaves it out.
        csr_radii: Critical samples: half sides of the boxes, in steps of the 0–255 scale; the paper has 0.3.
        csr_deviation_radii: Critical samples: the same where there is no such scale, in standard deviations of a table's features or of a text's embeddings.
        csr_alpha: Critical samples: step along the sign of the gradient in a box of 0.3; grows with the box. The paper has 0.25.
        csr_beta: Critical samples: noise of each step in a box of 0.3; grows with the box. The paper has 0.2.
        csr_iterations: Critical samples: most steps of a search; the authors' code has 100.
        csr_stop_below: Critical samples: ends a search when a step finds fewer new ones than this share of all; 0 never does.
        csr_clip: Critical samples: keeps the search inside the range of the training inputs.
        csr_examples: Critical samples: most held-out and most training examples that are searched around.
        csr_training: Critical samples: most examples that are trained on.
        csr_fractions: Critical samples: shares of noise mixed in, besides none and all; the paper has 0.2 to 0.8.
        csr_seeds: Critical samples: trainings per condition.
        csr_epochs: Critical samples: passes over the examples.
        csr_looks: Critical samples: epochs after which the ratio is taken, geometrically spaced.
        csr_batch_size: Critical samples: examples per step of training.
        csr_optimizer: Critical samples: "sgd" or "adam".
        csr_learning_rate: Critical samples: of training; the paper has 0.01.
        csr_momentum: Critical samples: of SGD; the paper has 0.9 on CIFAR-10.
        capacity_units: Capacity: values of the model's own dial of width, such as hidden units; only for the suite's own networks.
        capacity_examples: Capacity: numbers of training examples; larger ones than there are, are left out.
        capacity_fixed_units: Capacity: units while the number of examples is varied; 0 takes the model as it is.
        capacity_fixed_examples: Capacity: most examples while the units are varied.
        capacity_fractions: Capacity: shares of noise, besides none.
        capacity_kinds: Capacity: kinds of noise, "randX", "randY".
        capacity_target: Capacity: training accuracy that is waited for; the paper has 1.
        capacity_seeds: Capacity: trainings per condition.
        capacity_epochs: Capacity: most passes over the examples; a target that takes longer counts as not reached.
        capacity_batch_size: Capacity: examples per step.
        capacity_optimizer: Capacity: "sgd" or "adam".
        capacity_learning_rate: Capacity: of training; the paper has 0.01.
        capacity_momentum: Capacity: of SGD.
        regularizer_techniques: Regularizers: "dropout", "input-dropout", "input-noise", "hidden-noise", "weight-decay", "adversarial".
        regularizer_dropout: Regularizers: probabilities of dropping a hidden unit; the paper has 0 to 0.9.
        regularizer_input_dropout: Regularizers: probabilities of dropping an input or a token; the paper has 0 to 0.9.
        regularizer_input_noise: Regularizers: Gaussian noise on the inputs, in their standard deviations; the paper has 0 to 5 in units that it does not give.
        regularizer_hidden_noise: Regularizers: Gaussian noise on hidden units, in their own units; the paper has 0 to 0.3.
        regularizer_weight_decay: Regularizers: weight decay; the paper has 0 to 1.
        regularizer_adversarial: Regularizers: weights of the loss on adversarial samples; the paper has 0.2 to 0.7.
        regularizer_adversarial_dropout: Regularizers: dropout beside adversarial training; the paper has 0.03 to 0.5.
        regularizer_radius: Regularizers: box of adversarial samples, in steps of the 0–255 scale; the paper has 0.3.
        regularizer_deviation_radius: Regularizers: the same where there is no such scale, in standard deviations.
        regularizer_iterations: Regularizers: steps of the search for adversarial samples; two reach the side of the box, the authors' code has 100.
        regularizer_tolerance: Regularizers: held-out accuracy that may be lost "at no cost".
        regularizer_examples: Regularizers: most examples that are trained on.
        regularizer_seeds: Regularizers: trainings per value.
        regularizer_epochs: Regularizers: passes over the examples.
        regularizer_batch_size: Regularizers: examples per step.
        regularizer_optimizer: Regularizers: "sgd" or "adam".
        regularizer_learning_rate: Regularizers: of training; the paper has 0.01.
        regularizer_momentum: Regularizers: of SGD.
        language_lines: Language models: most lines to train on, drawn by chance.
        language_epochs: Language models: passes over them; none takes as many as the recipe says.
        language_unit: Language models: what noise is made of: "character", "word", or "auto": characters where tokens are characters, else words.
        language_shares: Language models: shares of the lines that are random text, besides none and all.
        language_seeds: Language models: trainings per condition, each from its own initial weights and with its own canaries.
        language_target: Language models: next-token accuracy on the training text that is waited for.
        language_dropout: Language models: values of dropout.
        language_weight_decay: Language models: values of weight decay.
        language_patience: Language models: early stopping after so many epochs without a better validation loss; keeps the best.
        language_validation: Language models: share of the lines that early stopping keeps out to judge by.
        language_noise_multipliers: Language models: differential privacy with so much noise, in units of the clipping norm.
        language_clip: Language models: the clipping norm of differential privacy.

    Raises:
        UsageError: A value out of its range.
    """

    parts: tuple[str, ...] = PARTS
    labels: str = "uniform"
    ease_initializations: int = 100
    ease_examples: int = 1_000
    ease_training: int = 2_000
    ease_epochs: int = 1
    ease_batch_size: int = 32
    ease_learning_rate: float = 0.05
    ease_momentum: float = 0.0
    ease_curves: int = 200
    sensitivity_initializations: int = 3
    sensitivity_examples: int = 300
    sensitivity_updates: int = 600
    sensitivity_batch_size: int | None = 32
    sensitivity_learning_rate: float = 0.2
    sensitivity_units: int = 16
    sensitivity_unroll: int | None = None
    sensitivity_looks: int = 10
    sensitivity_class_looks: int = 4
    sensitivity_class_examples: int = 100
    csr_radii: tuple[float, ...] = (0.3, 3.0)
    csr_deviation_radii: tuple[float, ...] = (0.02, 0.1)
    csr_alpha: float = 0.25
    csr_beta: float = 0.2
    csr_iterations: int = 100
    csr_stop_below: float = 0.0
    csr_clip: bool = False
    csr_examples: int = 100
    csr_training: int = 600
    csr_fractions: tuple[float, ...] = (0.5,)
    csr_seeds: int = 3
    csr_epochs: int = 60
    csr_looks: int = 4
    csr_batch_size: int = 64
    csr_optimizer: str = "sgd"
    csr_learning_rate: float = 0.05
    csr_momentum: float = 0.9
    capacity_units: tuple[int, ...] = (32, 64, 128)
    capacity_examples: tuple[int, ...] = (200, 400, 800)
    capacity_fixed_units: int = 32
    capacity_fixed_examples: int = 400
    capacity_fractions: tuple[float, ...] = (0.5, 1.0)
    capacity_kinds: tuple[str, ...] = ("randX", "randY")
    capacity_target: float = 1.0
    capacity_seeds: int = 3
    capacity_epochs: int = 150
    capacity_batch_size: int = 32
    capacity_optimizer: str = "sgd"
    capacity_learning_rate: float = 0.05
    capacity_momentum: float = 0.9
    regularizer_techniques: tuple[str, ...] = (
        "dropout",
        "input-dropout",
        "input-noise",
        "hidden-noise",
        "weight-decay",
        "adversarial",
    )
    regularizer_dropout: tuple[float, ...] = (0.25, 0.5, 0.75)
    regularizer_input_dropout: tuple[float, ...] = (0.25, 0.75)
    regularizer_input_noise: tuple[float, ...] = (0.5, 2.0)
    regularizer_hidden_noise: tuple[float, ...] = (0.3, 1.0)
    regularizer_weight_decay: tuple[float, ...] = (0.001, 0.01)
    regularizer_adversarial: tuple[float, ...] = (0.5,)
    regularizer_adversarial_dropout: tuple[float, ...] = (0.5, 0.75)
    regularizer_radius: float = 0.3
    regularizer_deviation_radius: float = 0.02
    regularizer_iterations: int = 2
    regularizer_tolerance: float = 0.01
    regularizer_examples: int = 250
    regularizer_seeds: int = 3
    regularizer_epochs: int = 80
    regularizer_batch_size: int = 32
    regularizer_optimizer: str = "sgd"
    regularizer_learning_rate: float = 0.05
    regularizer_momentum: float = 0.9
    language_lines: int = 160
    language_epochs: int | None = None
    language_unit: str = "auto"
    language_shares: tuple[float, ...] = (0.5,)
    language_seeds: int = 3
    language_target: float = 0.5
    language_dropout: tuple[float, ...] = (0.2, 0.5)
    language_weight_decay: tuple[float, ...] = (1e-3,)
    language_patience: tuple[int, ...] = (1,)
    language_validation: float = 0.1
    language_noise_multipliers: tuple[float, ...] = (0.5,)
    language_clip: float = 1.0

    def __post_init__(self) -> None:
        _check_parts(self)
        _check_ease(self)
        _check_sensitivity(self)
        _check_trainings(self)
        _check_csr(self)
        _check_capacity(self)
        _check_regularizers(self)
        _check_language(self)


def _check_parts(settings: NoiseSettings) -> None:
    if not settings.parts:
        raise UsageError(
            "No part is chosen.",
            "Without a part there is nothing to measure.",
            f"Choose among: {', '.join(PARTS)}.",
        )
    for part in settings.parts:
        _checks.one_of("parts", part, PARTS)
    _checks.one_of("labels", settings.labels, ("uniform", "permuted"))


def _check_ease(settings: NoiseSettings) -> None:
    _checks.at_least("ease_initializations", settings.ease_initializations, 4)
    for name in ("ease_examples", "ease_training"):
        _checks.at_least(name, getattr(settings, name), 4)
    for name in ("ease_epochs", "ease_batch_size", "ease_curves"):
        _checks.at_least(name, getattr(settings, name), 1)
    _checks.positive("ease_learning_rate", settings.ease_learning_rate)
    _checks.at_least("ease_momentum", settings.ease_momentum, 0)


def _check_sensitivity(settings: NoiseSettings) -> None:
    _checks.at_least("sensitivity_initializations", settings.sensitivity_initializations, 2)
    _checks.at_least("sensitivity_examples", settings.sensitivity_examples, 4)
    for name in ("sensitivity_updates", "sensitivity_looks"):
        _checks.at_least(name, getattr(settings, name), 1)
    for name in ("sensitivity_batch_size", "sensitivity_unroll"):
        value = getattr(settings, name)
        _checks.at_least(name, 1 if value is None else value, 1)
    for name in ("sensitivity_units", "sensitivity_class_looks", "sensitivity_class_examples"):
        _checks.at_least(name, getattr(settings, name), 0)
    _checks.positive("sensitivity_learning_rate", settings.sensitivity_learning_rate)


def _check_language(settings: NoiseSettings) -> None:
    _checks.at_least("language_lines", settings.language_lines, 10)
    _checks.at_least("language_epochs", settings.language_epochs or 1, 1)
    _checks.one_of("language_unit", settings.language_unit, ("auto", "character", "word"))
    _checks.at_least("language_seeds", settings.language_seeds, 1)
    _checks.fraction("language_target", settings.language_target)
    _checks.fraction("language_validation", settings.language_validation)
    _checks.positive("language_clip", settings.language_clip)
    for share in settings.language_shares:
        _checks.fraction("language_shares", share)
    for dropout in settings.language_dropout:
        _checks.fraction("language_dropout", dropout)
    for decay in settings.language_weight_decay:
        _checks.positive("language_weight_decay", decay)
    for patience in settings.language_patience:
        _checks.at_least("language_patience", patience, 1)
    for noise in settings.language_noise_multipliers:
        _checks.positive("language_noise_multipliers", noise)


def _check_trainings(settings: NoiseSettings) -> None:
    """What critical samples, capacity and regularizers share."""
    for part in ("csr", "capacity", "regularizer"):
        for name in ("seeds", "epochs", "batch_size"):
            _checks.at_least(f"{part}_{name}", getattr(settings, f"{part}_{name}"), 1)
        _checks.one_of(f"{part}_optimizer", getattr(settings, f"{part}_optimizer"), ("sgd", "adam"))
        _checks.positive(f"{part}_learning_rate", getattr(settings, f"{part}_learning_rate"))
        _checks.at_least(f"{part}_momentum", getattr(settings, f"{part}_momentum"), 0)


def _check_csr(settings: NoiseSettings) -> None:
    for name in ("csr_radii", "csr_deviation_radii"):
        _some(name, getattr(settings, name))
        for radius in getattr(settings, name):
            _checks.positive(name, radius)
    _checks.positive("csr_alpha", settings.csr_alpha)
    _checks.at_least("csr_beta", settings.csr_beta, 0)
    _checks.at_least("csr_stop_below", settings.csr_stop_below, 0)
    for name in ("csr_iterations", "csr_examples", "csr_looks"):
        _checks.at_least(name, getattr(settings, name), 1)
    _checks.at_least("csr_training", settings.csr_training, 4)
    for share in settings.csr_fractions:
        _checks.fraction("csr_fractions", share)


def _check_capacity(settings: NoiseSettings) -> None:
    for name in ("capacity_units", "capacity_examples", "capacity_fractions", "capacity_kinds"):
        _some(name, getattr(settings, name))
    for units in settings.capacity_units:
        _checks.at_least("capacity_units", units, 1)
    for count in settings.capacity_examples:
        _checks.at_least("capacity_examples", count, 4)
    for share in settings.capacity_fractions:
        _checks.fraction("capacity_fractions", share)
    for kind in settings.capacity_kinds:
        _checks.one_of("capacity_kinds", kind, ("randX", "randY"))
    _checks.at_least("capacity_fixed_units", settings.capacity_fixed_units, 0)
    _checks.at_least("capacity_fixed_examples", settings.capacity_fixed_examples, 4)
    _checks.fraction("capacity_target", settings.capacity_target)


def _check_regularizers(settings: NoiseSettings) -> None:
    known = (
        "dropout",
        "input-dropout",
        "input-noise",
        "hidden-noise",
        "weight-decay",
        "adversarial",
    )
    _some("regularizer_techniques", settings.regularizer_techniques)
    for technique in settings.regularizer_techniques:
        _checks.one_of("regularizer_techniques", technique, known)
        name = f"regularizer_{technique.replace('-', '_')}"
        _some(name, getattr(settings, name))
        for value in getattr(settings, name):
            _checks.positive(name, value)
            if technique in ("dropout", "input-dropout", "adversarial"):
                _checks.fraction(name, value)
    _some("regularizer_adversarial_dropout", settings.regularizer_adversarial_dropout)
    for name in ("regularizer_radius", "regularizer_deviation_radius", "regularizer_tolerance"):
        _checks.positive(name, getattr(settings, name))
    _checks.at_least("regularizer_iterations", settings.regularizer_iterations, 1)
    _checks.at_least("regularizer_examples", settings.regularizer_examples, 4)


def _some(name: str, values: tuple[object, ...]) -> None:
    """Refuse an empty list, and one with a value twice."""
    if not values or len(set(values)) < len(values):
        raise UsageError(
            f"{name} must have at least one value and none twice, got {values}.",
            "Each value is a condition of its own.",
            f"Give a {name} of different values, or leave the part out with parts.",
        )
