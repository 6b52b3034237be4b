"""Causal transformers: all fills of a hole by the tree against padded batches of plain transformers; speed of one step by batch size.

``python -m tests.benchmarks.bench_transformers [RUNS]`` with ``SECRETAUDIT_DATA`` set, medians of RUNS runs (default 3). The plain way
is what a script would do: whole texts padded into batches, one forward pass each with logits of all places, log-softmax, gather; with
the fastest of several batch sizes, timed on some batches and scaled to all of them.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from secretaudit.canary.format import Format
from secretaudit.models.loading import load_model
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.walk import depth_first
from tests.benchmarks.timing import row, take_turns

DATA = Path(os.environ.get("SECRETAUDIT_DATA", ""))
BATCHES = (16, 64, 256, 1024)
LN2 = float(np.log(2.0))


def fills(runs: int) -> None:
    """All 10^5 fills of a five-digit hole, GPT-2's tokenizer, 4 layers × 256."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer = AutoTokenizer.from_pretrained(DATA / "tokenizers" / "gpt2")
        torch.manual_seed(0)
        config = GPT2Config(n_layer=4, n_embd=256, n_head=4, bos_token_id=50256, eos_token_id=50256)
        GPT2LMHeadModel(config).save_pretrained(name)
        tokenizer.save_pretrained(name)
        model = load_model(name)
        module = AutoModelForCausalLM.from_pretrained(name).eval()
    tree = SecretTree(Format("code", "my door code is {digits:5}"), model)
    costs: list[float] = []

    def walk() -> None:
        costs[:] = [c for v in depth_first(tree, np.inf, Budget().meter()) for c in v.leaf_costs]

    tree_seconds = take_turns({"walk": walk}, runs)["walk"]
    plain, size = _best_plain(module, tree, runs)
    row(f"10^5 fills, plain transformers (batch {size}), s", "", f"{plain:,.0f}")
    row("10^5 fills, tree, s", "", f"{tree_seconds:.2f}")
    row("ratio", ">= 50", f"{plain / tree_seconds:,.0f}")
    secrets = [f"{i:05d}" for i in range(0, 100_000, 3_333)]
    ours = np.sort(costs)[[0, -1]]
    theirs = np.array([_plain_bits(module, tree.records([s]))[0] for s in secrets])
    row("leaves", "100,000", f"{len(costs):,}")
    row(
        "scoring against plain transformers, bits",
        "<= 0.001",
        f"{_apart(tree, secrets, theirs):.1e}",
    )
    row("cheapest and dearest, bits", "", f"{ours[0]:.2f} {ours[1]:.2f}")


def _apart(tree: SecretTree, secrets: list[str], plain: np.ndarray) -> float:
    return float(np.abs(tree.score(secrets) - plain).max())


def _best_plain(module: Any, tree: SecretTree, runs: int) -> tuple[float, int]:
    """Seconds for all fills, by the fastest batch size."""
    best = (np.inf, 0)
    rng = np.random.default_rng(0)
    for size in BATCHES:
        secrets = [f"{i:05d}" for i in rng.integers(0, 100_000, size)]
        records = tree.records(secrets)
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            _plain_bits(module, records)
            seconds.append(time.perf_counter() - started)
        best = min(best, (statistics.median(seconds) * 100_000 / size, size))
    return best


@torch.inference_mode()
def _plain_bits(module: Any, records: list[list[int]]) -> np.ndarray:
    """Costs of whole texts, padded into one batch."""
    lengths = torch.tensor([len(r) for r in records])
    tokens = torch.zeros((len(records), int(lengths.max())), dtype=torch.int64)
    for i, record in enumerate(records):
        tokens[i, : len(record)] = torch.tensor(record)
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    log_p = module(tokens, attention_mask=mask).logits.log_softmax(-1)
    chosen = log_p[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
    return -(chosen * mask[:, 1:]).double().sum(1).numpy() / LN2


def candidates(runs: int) -> None:
    """All 10^6 six-digit secrets after a prefix of 14 tokens, the small published model; processor seconds."""
    model = load_model(DATA / "models" / "tiny-gpt2")
    assert isinstance(model, TransformerLanguageModel)
    tree = SecretTree(Format("pin", _prefix(model, 13) + "{digits:6}"), model)
    rates, leaves = [], 0
    for _ in range(runs):
        started = time.process_time()
        leaves = sum(len(v.leaf_costs) for v in depth_first(tree, np.inf, Budget().meter()))
        rates.append(leaves / (time.process_time() - started))
    row(
        f"{leaves:,} candidates, {len(tree.shared)} tokens before, per CPU-s",
        ">= 50,000",
        f"{statistics.median(rates):,.0f}",
    )


def _prefix(model: TransformerLanguageModel, tokens: int) -> str:
    """The beginning of a sentence that takes so many tokens."""
    words = [
        "the",
        "number",
        "that",
        "nobody",
        "but",
        "me",
        "should",
        "ever",
        "know",
        "of",
        "all",
        "the",
        "numbers",
        "is",
        "this",
        "one",
        "here",
    ]
    for count in range(1, len(words) + 1):
        text = " ".join(words[:count]) + " "
        if len(model.tokenizer.encode([text.rstrip()])[0]) >= tokens:
            return text
    raise ValueError("the sentence is too short")


def steps(runs: int) -> None:
    """Rows per second of one step after a shared prefix, by number of rows."""
    model = load_model(DATA / "models" / "tiny-gpt2")
    nobody = torch.zeros(0, dtype=torch.int64)
    for before, rows in ((14, 64), (14, 256), (14, 1024), (14, 4096), (100, 1024)):
        start = model.start(list(range(1, before + 1)))
        zeros, tokens = torch.zeros(rows, dtype=torch.int64), torch.arange(rows) % 1000
        _, state = model.price(start, zeros, tokens, nobody, nobody)
        every = torch.arange(rows)

        def read(state: Any = state, every: Any = every, tokens: Any = tokens) -> None:
            model.price(state, every, tokens, every, tokens)

        seconds = take_turns({"read": read}, runs)["read"]
        row(
            f"rows per second, {rows} rows a call, {before} tokens before",
            "",
            f"{rows / seconds:,.0f}",
        )


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    torch.set_num_threads(1)
    row("what", "wanted", "measured (median)")
    candidates(runs)
    steps(runs)
    fills(runs)


if __name__ == "__main__":
    main()
