"""Training speed: our loop beside a bare PyTorch loop over the same LSTM, data and optimizer.

``python -m tests.benchmarks.bench_training [ROUNDS]``: both loops take turns of some steps in one process; the ratio of the medians is what
counts. The bare loop has no state handling beyond what truncated backpropagation needs, no progress, no checkpoints.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.progress import SilentProgress
from secretaudit.training.loop import Training
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.stream import Lanes, Windows
from tests.benchmarks.timing import row, take_turns

VOCABULARY, BATCH, LENGTH, UNITS, WINDOWS, STEPS = 60, 64, 64, 200, 100, 5


class BareLanguageModel(nn.Module):
    """Embedding, LSTM, output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, UNITS)
        self.lstm = nn.LSTM(UNITS, UNITS, 2, batch_first=True)
        self.head = nn.Linear(UNITS, VOCABULARY)

    def forward(self, tokens: torch.Tensor, state: tuple[torch.Tensor, ...] | None):  # type: ignore[no-untyped-def]
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.head(hidden), state


class BareLoop:
    """Truncated backpropagation through time, as short as it can be written."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.data = torch.from_numpy(tokens).long()
        self.model = BareLanguageModel()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-3)
        self.state: tuple[torch.Tensor, ...] | None = None
        self.at = 0

    def run(self) -> None:
        for _ in range(STEPS):
            first = self.at * LENGTH
            self.at = (self.at + 1) % WINDOWS
            inputs = self.data[:, first : first + LENGTH]
            targets = self.data[:, first + 1 : first + LENGTH + 1]
            logits, state = self.model(inputs, self.state)
            self.state = tuple(s.detach() for s in state)
            loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()


def our_loop(tokens: np.ndarray, directory: Path) -> Training:
    """The training loop of the package on the same tokens."""
    lengths = np.full(BATCH, tokens.shape[1])
    return Training(
        settings=TrainingSettings(),
        asked={},
        model=RecurrentForCausalLM(RecurrentConfig(vocab_size=VOCABULARY)).train(),
        training=Windows(Lanes(tokens=tokens, lengths=lengths), LENGTH, torch.device("cpu")),
        validation=None,
        checkpoint=directory / "checkpoint.safetensors",
        checkpoint_seconds=60.0,
        progress=SilentProgress(),
    )


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, VOCABULARY, (BATCH, LENGTH * WINDOWS + 1)).astype(np.int32)
    with tempfile.TemporaryDirectory() as directory:
        ours, bare = our_loop(tokens, Path(directory)), BareLoop(tokens)

        def steps() -> None:
            for _ in range(STEPS):
                ours._step()
                ours._report_and_save()

        seconds = take_turns({"ours": steps, "bare": bare.run}, rounds)
    per_turn = STEPS * BATCH * LENGTH
    row("what", "wanted", "measured (median)")
    row("training, tokens/s", "", f"{per_turn / seconds['ours']:,.0f}")
    row("bare PyTorch loop, tokens/s", "", f"{per_turn / seconds['bare']:,.0f}")
    row("ratio", ">= 0.9", f"{seconds['bare'] / seconds['ours']:.2f}")


if __name__ == "__main__":
    main()
