"""What privacy costs a transformer: a private step in each gradient mode beside a plain step of the same model.

``python -m tests.benchmarks.bench_private_transformer [ROUNDS]``: a GPT-2 of 4 layers × 256 units from nothing, 32 records of 64 tokens, Adam. All take
turns in one process, and the ratio of the medians is what counts. "tied" is GPT-2 as it is; ghost clipping needs its weights untied.
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from secretaudit.training.batch import Batch
from secretaudit.training.optimizer import make_optimizer
from secretaudit.training.private.update import PrivateUpdate
from secretaudit.training.processes import Processes
from secretaudit.training.settings import PrivacySettings, TrainingSettings
from secretaudit.training.update import Forward, PlainUpdate, Update
from tests.benchmarks.timing import row, take_turns

VOCABULARY, RECORDS, LENGTH, UNITS, LAYERS = 2000, 32, 64, 256, 4


def model(tied: bool) -> GPT2LMHeadModel:
    """The GPT-2 that is trained."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=LENGTH,
        n_embd=UNITS,
        n_layer=LAYERS,
        n_head=UNITS // 64,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config).train()


def plain(tied: bool) -> Update:
    """A step without privacy."""
    settings = TrainingSettings()
    forward = Forward(model(tied))
    optimizer = make_optimizer(settings, forward.model.parameters())
    return PlainUpdate(forward, optimizer, processes=Processes(), clip=1.0)


def private(tied: bool, gradients: str) -> Update:
    """A private step in one mode."""
    privacy = PrivacySettings(noise_multiplier=1.0, gradients=gradients)
    settings = TrainingSettings(privacy=privacy)
    return PrivateUpdate(
        Forward(model(tied)),
        partial(make_optimizer, settings),
        settings=settings,
        processes=Processes(),
        sample_rate=0.01,
        expected_batch_size=RECORDS,
        steps=1000,
        delta=1e-5,
    )


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    tokens = torch.randint(0, VOCABULARY, (RECORDS, LENGTH + 1))
    batch = Batch(
        inputs={"input_ids": tokens[:, :-1].contiguous()},
        targets=tokens[:, 1:].contiguous(),
        tokens=RECORDS * LENGTH,
    )
    row("what", "wanted", "measured (median)")
    for tied, modes in (
        (True, ("book-keeping", "hooks")),
        (False, ("book-keeping", "hooks", "ghost")),
    ):
        updates: dict[str, Update] = {"plain": plain(tied)}
        updates |= {mode: private(tied, mode) for mode in modes}
        contenders = {name: partial(update.step, [batch]) for name, update in updates.items()}
        seconds = take_turns(contenders, rounds)
        kind = "tied" if tied else "untied"
        row(f"{kind}: plain step, ms", "", f"{seconds['plain'] * 1e3:.0f}")
        for mode in modes:
            ratio = seconds[mode] / seconds["plain"]
            wanted = "<= 2.5" if mode == "book-keeping" else ""
            row(f"{kind}: private step, {mode} / plain", wanted, f"{ratio:.2f}")


if __name__ == "__main__":
    main()
