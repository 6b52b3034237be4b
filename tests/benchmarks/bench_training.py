"""Training speed: our loop beside a bare PyTorch loop over the same model, data and optimizer.

``python -m tests.benchmarks.bench_training [ROUNDS]``: both loops take turns of some steps in one process; the ratio of the medians is what
counts. Two models: an LSTM of 2 × 200 units on lanes (64 lanes, 64 characters a step), and a GPT-2-like transformer of 4 × 256 units on packed rows
(16 rows of 128 tokens). The bare loops have no more than the model needs: no progress, no checkpoints, no counting, no data that is laid out step by step.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from secretaudit.models.language_model import Framing
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.progress import SilentProgress
from secretaudit.training.encoded import EncodedRecords
from secretaudit.training.lanes import LaneBatches, Lanes
from secretaudit.training.layout import Laid
from secretaudit.training.loop import Pace, Training
from secretaudit.training.optimizer import make_optimizer
from secretaudit.training.processes import Processes
from secretaudit.training.rows import RowBatches, lay_out_rows
from secretaudit.training.samplers import ShuffledSampler
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.update import Forward, PlainUpdate
from tests.benchmarks.timing import row, take_turns

CPU = torch.device("cpu")
#: The LSTM: vocabulary, lanes, columns a step, units, steps an epoch.
SYMBOLS, LANES, COLUMNS, UNITS, WINDOWS = 60, 64, 64, 200, 100
#: The transformer: vocabulary, rows a step, tokens a row, width, rows in all.
PIECES, ROWS, LENGTH, WIDTH, BLOCKS = 1000, 16, 128, 256, 320


class BareLanguageModel(nn.Module):
    """Embedding, LSTM, output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, UNITS)
        self.lstm = nn.LSTM(UNITS, UNITS, 2, batch_first=True)
        self.head = nn.Linear(UNITS, SYMBOLS)

    def forward(self, tokens: torch.Tensor, state: tuple[torch.Tensor, ...] | None):  # type: ignore[no-untyped-def]
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.head(hidden), state


class BareLoop:
    """A loop as short as it can be written; with a state, truncated backpropagation through time."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.train()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        self.at = 0

    def step(self) -> None:
        """One update."""
        logits, targets = self.predict(self.at)
        self.at += 1
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def predict(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and targets of a step."""
        raise NotImplementedError


class BareRecurrentLoop(BareLoop):
    """Windows of lanes."""

    def __init__(self, tokens: np.ndarray) -> None:
        super().__init__(BareLanguageModel())
        self.data = torch.from_numpy(tokens).long()
        self.state: tuple[torch.Tensor, ...] | None = None

    def predict(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = at % WINDOWS * COLUMNS
        logits, state = self.model(self.data[:, first : first + COLUMNS], self.state)
        self.state = tuple(s.detach() for s in state)
        return logits, self.data[:, first + 1 : first + COLUMNS + 1]


class BareTransformerLoop(BareLoop):
    """Blocks of tokens, in an order drawn once."""

    def __init__(self, blocks: np.ndarray) -> None:
        super().__init__(transformer())
        order = np.random.default_rng(0).permutation(len(blocks))
        self.data = torch.from_numpy(blocks[order]).long().split(ROWS)

    def predict(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.data[at % len(self.data)]
        return self.model(input_ids=rows[:, :-1], use_cache=False).logits, rows[:, 1:]


def transformer() -> GPT2LMHeadModel:
    """Four layers of 256 units, without dropout."""
    config = GPT2Config(
        vocab_size=PIECES,
        n_positions=LENGTH,
        n_embd=WIDTH,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def our_loop(model: Any, batches: Any, records: int, directory: Path) -> Training:
    """The training loop of the package."""
    settings, processes = TrainingSettings(), Processes()
    subject = Subject(
        model=model.train(),
        family="recurrent",
        tokenizer=None,  # type: ignore[arg-type]  # nothing is encoded here
        view=None,  # type: ignore[arg-type]  # the same
        framing=Framing(before=(0,), after=(0,)),
        context=None,
        make_language_model=lambda: None,  # type: ignore[arg-type,return-value]  # nothing is audited
    )
    forward = Forward(model)
    optimizer = make_optimizer(settings, model.parameters())
    return Training(
        settings=settings,
        asked={},
        subject=subject,
        forward=forward,
        update=PlainUpdate(forward, optimizer, processes=processes, clip=1.0),
        laid=Laid(training=batches, validation=None, longest=None, cut=0, rows=records),
        processes=processes,
        checkpoint=directory / "checkpoint.safetensors",
        pace=Pace(checkpoint_seconds=60.0),
        progress=SilentProgress(),
        watcher=None,
        read=np.zeros(records, np.bool_),
    )


def recurrent(directory: Path) -> tuple[Training, BareLoop]:
    """Both loops on lanes without a padded place."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, SYMBOLS, (LANES, COLUMNS * WINDOWS + 1)).astype(np.int32)
    lanes = Lanes(
        tokens=tokens,
        lengths=np.full(LANES, tokens.shape[1]),
        last_columns=rng.integers(1, tokens.shape[1], 20_000),
    )
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=SYMBOLS, units=UNITS))
    batches = LaneBatches(lanes, COLUMNS, CPU)
    return our_loop(model, batches, 20_000, directory), BareRecurrentLoop(tokens)


def packed(directory: Path) -> tuple[Training, BareLoop]:
    """Both loops on full rows; ours packs records of 31 tokens and a separator, four to a row."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, PIECES, 4 * BLOCKS * 31).astype(np.int32)
    records = EncodedRecords(tokens=tokens, offsets=np.arange(4 * BLOCKS + 1) * 31)
    rows = lay_out_rows(records, Framing(before=(0,), after=(0,)), LENGTH, packed=True)
    blocks = np.stack([rows.tokens[b:e] for b, e in zip(rows.begins, rows.ends, strict=True)])
    batches = RowBatches(rows, ShuffledSampler(len(rows), ROWS, 0), CPU)
    return our_loop(transformer(), batches, len(records), directory), BareTransformerLoop(blocks)


def compare(
    name: str, ours: Training, bare: BareLoop, *, steps: int, tokens: int, rounds: int
) -> None:
    """Print three lines."""

    def our_steps() -> None:
        for _ in range(steps):
            ours._step()
            ours._report_and_save(at_look=False)

    def bare_steps() -> None:
        for _ in range(steps):
            bare.step()

    seconds = take_turns({"ours": our_steps, "bare": bare_steps}, rounds)
    row(f"{name}: training, tokens/s", "", f"{steps * tokens / seconds['ours']:,.0f}")
    row(f"{name}: bare PyTorch loop, tokens/s", "", f"{steps * tokens / seconds['bare']:,.0f}")
    row(f"{name}: ratio", ">= 0.9", f"{seconds['bare'] / seconds['ours']:.2f}")


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    makers: dict[str, tuple[Callable[[Path], tuple[Training, BareLoop]], int, int]] = {
        "LSTM 2 x 200": (recurrent, 5, LANES * COLUMNS),
        "transformer 4 x 256": (packed, 3, ROWS * LENGTH),
    }
    row("what", "wanted", "measured (median)")
    with tempfile.TemporaryDirectory() as directory:
        for name, (make, steps, tokens) in makers.items():
            ours, bare = make(Path(directory))
            compare(name, ours, bare, steps=steps, tokens=tokens, rounds=rounds)


if __name__ == "__main__":
    main()
