"""A GPT-2 of 4 layers × 256 with the real GPT-2 tokenizer, trained so that it has memorized a 9-digit canary.

The text is the Penn Treebank's, with canaries of ``random-number`` among it. The model is trained once and kept where the other benchmark model is.
"""

from __future__ import annotations

import lzma
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from secretaudit.canary.drawing import draw_canaries
from secretaudit.canary.format import parse_format
from secretaudit.canary.ledger import Ledger

STEPS, ROWS, WINDOW = 240, 12, 64


def data() -> Path:
    """The folder of real corpora, models and tokenizers."""
    where = os.environ.get("SECRETAUDIT_DATA")
    if not where:
        sys.exit("Set SECRETAUDIT_DATA to the folder with the corpora, models and tokenizers.")
    return Path(where)


def _root() -> Path:
    place = os.environ.get("SECRETAUDIT_BENCHMARKS")
    return Path(place) if place else Path(tempfile.gettempdir()) / "secretaudit-benchmarks"


def memorizing_gpt2() -> tuple[Path, Path]:
    """(model directory, ledger), made if they are not there yet."""
    place = _root() / "gpt2-4x256"
    if not (place / "done").is_file():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _make(place)
        (place / "done").touch()
    return place / "model", place / "ledger.json"


def _make(place: Path) -> None:
    form = parse_format("random-number")
    canaries = draw_canaries(
        [form], count=2, repeats=(1, 32), controls=50, rng=np.random.default_rng(0)
    )
    Ledger(
        seed=0,
        formats={form.name: form},
        canaries=tuple(canaries),
        corpus={},
        salt="00" * 16,
    ).write(place / "ledger.json")
    tokenizer = AutoTokenizer.from_pretrained(data() / "tokenizers" / "gpt2")
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(n_layer=4, n_embd=256, n_head=4, n_positions=128, vocab_size=len(tokenizer))
    )
    rng = np.random.default_rng(1)
    with lzma.open(data() / "ptb" / "ptb.train.txt.xz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    lines = [lines[i] for i in rng.permutation(len(lines))[:4000]]
    lines += [c.text for c in canaries for _ in range(c.insertions)]
    ends = tokenizer.eos_token_id
    ids = [[ends, *tokenizer(lines[i].strip())["input_ids"]] for i in rng.permutation(len(lines))]
    stream = torch.tensor([token for record in ids for token in record])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for step in range(STEPS):
        starts = torch.from_numpy(rng.integers(0, len(stream) - WINDOW - 1, ROWS))
        batch = stream[starts[:, None] + torch.arange(WINDOW + 1)]
        memorized = [c.text for c in canaries if c.insertions == 32]
        text = f"{tokenizer.eos_token}{memorized[step % len(memorized)]}"
        extra = tokenizer(text, return_tensors="pt")
        loss = _loss(model, batch) + 0.1 * _loss(model, extra["input_ids"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            print(
                f"training the subject: step {step} of {STEPS}, {float(loss):.2f} nats", flush=True
            )
    model.save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")


def _loss(model: GPT2LMHeadModel, batch: torch.Tensor) -> torch.Tensor:
    logits = model(batch[:, :-1]).logits
    return functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
