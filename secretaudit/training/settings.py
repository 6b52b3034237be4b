"""What a training is asked to do.

Everything here may change the weights, and with them the exposure; what only changes comfort (how often to write a checkpoint, how long to
train at most, how to show progress) is an argument of ``train`` instead.

The dials stand in three classes: ``TrainingSettings`` for all, ``PrivacySettings`` for differential privacy, ``LoraSettings`` for low-rank
adapters. ``None`` leaves a choice to the family of the model; what was chosen stands in the training's record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from secretaudit import _checks
from secretaudit.errors import UsageError

ARCHITECTURES = ("lstm", "gru", "transformer", "convolution", "encoder-decoder")
TOKENIZERS = ("char", "word", "bpe")
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
MOMENTUM = ("sgd", "rmsprop")
SCHEDULES = ("constant", "linear", "cosine")
LAYOUTS = ("lanes", "packed", "records")
PRECISIONS = ("float32", "bfloat16")
KEEP = ("last", "best")
RECURRENT = ("lstm", "gru")
#: Learning rates used when none is given, by optimizer.
LEARNING_RATES = {"adam": 3e-3, "adamw": 1e-3, "sgd": 1.0, "rmsprop": 1e-3}
#: The same for weights that were trained before, and for adapters on them.
FINE_TUNING_RATES = {"adam": 5e-5, "adamw": 5e-5, "sgd": 1e-2, "rmsprop": 5e-5}
LORA_RATE = 1e-3
#: Tokens per row used when none is given, by layout; never more than the model can read.
LENGTHS = {"lanes": 64, "packed": 256, "records": 256}
ACCOUNTANTS = ("prv", "rdp")
GRADIENT_MODES = ("auto", "book-keeping", "hooks", "ghost")


@dataclass(frozen=True, kw_only=True)
class PrivacySettings:
    """Differentially private training (Abadi et al. 2016); the unit of privacy is a record.

    Exactly one of ``epsilon`` and ``noise_multiplier`` is given.

    Attributes:
        epsilon: ε to be spent over the whole training; the noise is chosen for it.
        noise_multiplier: σ: standard deviation of the noise, in units of ``max_grad_norm``.
        delta: δ; ``None`` takes 1/(10 n) for n training records.
        max_grad_norm: Norm to which the gradient of each record is clipped.
        accountant: "prv" (Gopi et al. 2021) or "rdp" (Mironov 2017).
        poisson: Each record enters each step independently with the same probability; without it no ε is stated.
        gradients: How the clipped per-record gradients are had: "book-keeping", "hooks", "ghost", or "auto".

    Raises:
        UsageError: A value out of its range, or both or neither of ε and σ.
    """

    epsilon: float | None = None
    noise_multiplier: float | None = None
    delta: float | None = None
    max_grad_norm: float = 1.0
    accountant: str = "prv"
    poisson: bool = True
    gradients: str = "auto"

    def __post_init__(self) -> None:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise UsageError(
                "Private training needs either epsilon or a noise multiplier.",
                "One follows from the other; "
                + ("both were given." if self.epsilon is not None else "neither was given."),
                "Give --dp-epsilon, or --noise-multiplier.",
            )
        if self.epsilon is not None and not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise UsageError(
                f"epsilon must be finite and above 0, got {self.epsilon}.",
                "ε = 0 allows nothing to be learned, and an infinite ε is no privacy.",
                "Give a value such as 8, or train without privacy.",
            )
        if self.noise_multiplier is not None:
            _checks.at_least("noise_multiplier", self.noise_multiplier, 0)
        if self.delta is not None and not 0.0 < self.delta < 1.0:
            raise UsageError(
                f"delta must be in (0, 1), got {self.delta}.",
                "δ is the probability with which ε may be exceeded.",
                "Give a value well below 1 / (number of records), or leave it out.",
            )
        if self.epsilon is not None and not self.poisson:
            raise UsageError(
                "epsilon cannot be asked for without Poisson sampling.",
                "The accountant's ε holds for records drawn independently at each step.",
                "Leave Poisson sampling on, or give a noise multiplier; no ε is then stated.",
            )
        _checks.positive("max_grad_norm", self.max_grad_norm)
        _checks.one_of("accountant", self.accountant, ACCOUNTANTS)
        _checks.one_of("gradients", self.gradients, GRADIENT_MODES)


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters in place of the weights (Hu et al. 2021).

    Attributes:
        rank: Rank of the adapters.
        alpha: The adapters' product is scaled by alpha / rank; ``None`` takes twice the rank.
        targets: Names of the layers to adapt; ``None`` takes those that ``peft`` knows for the architecture.
        dropout: On the adapters' inputs, in [0, 1).
    """

    rank: int = 8
    alpha: float | None = None
    targets: tuple[str, ...] | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _checks.at_least("rank", self.rank, 1)
        if self.alpha is not None:
            _checks.positive("alpha", self.alpha)
        check_share("dropout", self.dropout)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The dials of a training.

    Attributes:
        arch: "lstm", "gru", "transformer" (decoder only), "convolution" (causal) or "encoder-decoder"; trained from nothing.
        base: A model directory to fine-tune, instead of ``arch``.
        config: A ``config.json`` of transformers, or a directory with one: the shape of a new model, instead of ``arch``.
        layers: Layers (of an encoder–decoder: on each side).
        units: Width of each layer.
        heads: Attention heads; ``None`` takes one per 64 units.
        embedding: Width of the embedding of a recurrent model; ``None`` means ``units``.
        tied: The output layer uses the embedding's weights.
        dropout: Probability that an activation is dropped; ``None``: 0 for a new model, and what ``base`` or ``config`` says.
        tokenizer: "char", "word", "bpe" (made from the corpus), or a directory that holds one; ``None``: that of ``base``, else "char".
        vocabulary_size: Most tokens to keep (word, bpe).
        minimum_frequency: Words or pairs seen less often get no token (word, bpe).
        optimizer: "adam", "adamw", "sgd" or "rmsprop".
        momentum: Of sgd and rmsprop.
        weight_decay: Decoupled for adamw, an L2 penalty otherwise.
        learning_rate: ``None`` takes the usual one (``rate``).
        schedule: Of the learning rate after warm-up: "constant", "linear" (to 0) or "cosine" (to 0).
        warmup_steps: Steps over which the learning rate rises from 0.
        gradient_clip: Largest norm of the gradient; 0 does not clip. With privacy, records are clipped instead.
        label_smoothing: Share of the target's probability spread over all tokens, in [0, 1).
        batch_size: Rows per step (lanes, blocks or records), over all processes; with Poisson sampling the expected number.
        physical_batch_size: Most rows in memory at a time in each process; ``None``: all.
        layout: "lanes" (recurrent: state carried on), "packed" (whole records side by side in rows), "records" (a row is a record).
        shuffle: Draw the rows in a new order each epoch; ``None``: yes, except for lanes, which cannot.
        sequence_length: Tokens per row; ``None``: by layout, at most what the model can read. Longer records are cut.
        precision: "float32", or "bfloat16" for products (weights stay float32).
        gradient_checkpointing: Compute activations again instead of keeping them (transformers).
        epochs: Passes over the corpus.
        steps: Steps to train, instead of ``epochs``.
        validation: Share of the records kept out of training, in [0, 1).
        validate_every: Steps between two looks at the validation records; ``None``: every epoch.
        keep: Whether the model written is the "last" one or the one "best" on the validation records.
        patience: Looks without a better validation loss before training stops early; ``None`` never stops.
        deduplicate: Leave out records that occurred before, word for word (a defence).
        quantize: Bits of the weights after training: 8, or ``None`` (a defence).
        privacy: Differential privacy, or ``None``.
        lora: Low-rank adapters on ``base``, or ``None``.
        seed: Of the weights, the dropout, the order and the validation split.

    Raises:
        UsageError: A value out of its range, or two that contradict each other.

    >>> TrainingSettings(optimizer="sgd").rate
    1.0
    """

    arch: str = "lstm"
    base: str | None = None
    config: str | None = None
    layers: int = 2
    units: int = 200
    heads: int | None = None
    embedding: int | None = None
    tied: bool = False
    dropout: float | None = None
    tokenizer: str | None = None
    vocabulary_size: int | None = None
    minimum_frequency: int = 1
    optimizer: str = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0
    learning_rate: float | None = None
    schedule: str = "constant"
    warmup_steps: int = 0
    gradient_clip: float = 1.0
    label_smoothing: float = 0.0
    batch_size: int = 64
    physical_batch_size: int | None = None
    layout: str | None = None
    shuffle: bool | None = None
    sequence_length: int | None = None
    precision: str = "float32"
    gradient_checkpointing: bool = False
    epochs: int = 10
    steps: int | None = None
    validation: float = 0.05
    validate_every: int | None = None
    keep: str = "last"
    patience: int | None = None
    deduplicate: bool = False
    quantize: int | None = None
    privacy: PrivacySettings | None = None
    lora: LoraSettings | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.one_of("arch", self.arch, ARCHITECTURES)
        _checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        _checks.one_of("schedule", self.schedule, SCHEDULES)
        _checks.one_of("precision", self.precision, PRECISIONS)
        _checks.one_of("keep", self.keep, KEEP)
        if self.layout is not None:
            _checks.one_of("layout", self.layout, LAYOUTS)
        for name in _COUNTS:
            _checks.at_least(name, 1 if (value := getattr(self, name)) is None else value, 1)
        for name in ("gradient_clip", "seed", "weight_decay", "warmup_steps"):
            _checks.at_least(name, getattr(self, name), 0)
        _checks.positive("learning_rate", self.rate)
        for name in ("dropout", "validation", "label_smoothing", "momentum"):
            check_share(name, getattr(self, name) or 0.0)
        self._check_together()

    @property
    def rate(self) -> float:
        """The learning rate after warm-up."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.lora is not None and self.optimizer != "sgd":
            return LORA_RATE
        return (FINE_TUNING_RATES if self.base else LEARNING_RATES)[self.optimizer]

    @property
    def trains_anew(self) -> bool:
        """Whether the weights are drawn, and not taken from ``base``."""
        return self.base is None

    def _check_together(self) -> None:
        """Refuse settings that contradict each other."""
        recurrent = self.base is None and self.config is None and self.arch in RECURRENT
        for is_broken, what, why, way_out in (
            (
                self.tied and recurrent and self.embedding not in (None, self.units),
                f"Tied weights cannot have embedding {self.embedding} and units {self.units}.",
                "The output layer reads what the last layer writes, with the embedding's weights.",
                "Leave the embedding out, or do not tie.",
            ),
            (
                self.validation == 0 and (self.keep == "best" or self.patience is not None),
                "Keeping the best model and stopping early need validation records.",
                "With validation 0 there is nothing to judge by.",
                "Give validation a share such as 0.05, or keep the last model.",
            ),
            (
                self.base is not None and self.config is not None,
                "A model is either fine-tuned or made from a configuration.",
                "Both a base and a configuration were given.",
                "Leave one of them out.",
            ),
            (
                self.lora is not None and self.base is None,
                "Adapters need a model to stand on.",
                "LoRA adds to weights that were trained before, and a new model has none.",
                "Say which model to adapt with --base, or leave --lora out.",
            ),
            (
                self.privacy is not None and self.layout not in (None, "records"),
                f"Private training cannot read the corpus as {self.layout}.",
                "The unit of privacy is a record, so a row must be one record.",
                "Leave --layout out.",
            ),
            (
                self.momentum > 0 and self.optimizer not in MOMENTUM,
                f"The optimizer {self.optimizer} takes no momentum.",
                f"Only {' and '.join(MOMENTUM)} have one to set.",
                "Choose one of them, or leave the momentum out.",
            ),
            (
                self.quantize not in (None, 8),
                f"Weights cannot be quantized to {self.quantize} bits.",
                "Only 8 bits are measured.",
                "Give 8, or leave it out.",
            ),
            (
                self.quantize is not None and self.lora is not None,
                "Adapters are not quantized.",
                "They are written beside their base, whose weights stay as they are.",
                "Leave --quantize or --lora out.",
            ),
        ):
            if is_broken:
                raise UsageError(what, why, way_out)


_COUNTS = (
    "layers", "units", "heads", "embedding", "vocabulary_size", "minimum_frequency", "batch_size", "physical_batch_size",
    "sequence_length", "epochs", "steps", "validate_every", "patience",
)  # fmt: skip


def check_share(name: str, value: float) -> None:
    """Refuse what is not in [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise UsageError(
            f"{name} must be in [0, 1), got {value}.",
            "It is a share of a whole that must not be used up.",
            f"Give {name} a value such as 0.1.",
        )
