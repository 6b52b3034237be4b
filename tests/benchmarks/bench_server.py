"""Scoring over HTTP beside scoring in process: the same model, texts and code, behind the test server and without it.

``python -m tests.benchmarks.bench_server [MODEL_DIRECTORY] [TEXTS]`` (default: a random GPT-2 of 4 layers × 256 with a vocabulary of 5,000, and
1,000 texts of 16 tokens). In process: the server's own function on batches of several sizes, the best one counts. Over HTTP: ``score`` of a
model behind the server, which runs in a process of its own, with its handshake done and replies kept on disk. Both take turns; one thread each.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from secretaudit.models.model_options import ModelOptions
from secretaudit.models.server.opening import open_server
from secretaudit.models.tokens.building import build_tokenizer
from tests.benchmarks.timing import row
from tests.servers.engine import load_engine

BATCHES = (16, 32, 64, 128, 256, 512)
ROUNDS = 3
PORT = 8471
LENGTH = 16


def random_model(directory: Path) -> None:
    """A GPT-2 of 4 layers × 256 with random weights, and a tokenizer that leaves most of its ids unused."""
    config = GPT2Config(
        vocab_size=5000,
        n_embd=256,
        n_layer=4,
        n_head=4,
        n_positions=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(directory)
    texts = ["the cat sat on the mat", "Once upon a time there was a little girl named Lily"]
    build_tokenizer("bpe", texts * 9, vocabulary_size=400).save_pretrained(directory)


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The test server in a process of its own."""
    command = ["-m", "tests.servers.fake_server", "--model", str(directory), "--port", str(PORT)]
    process = subprocess.Popen([sys.executable, *command])
    try:
        url = f"http://127.0.0.1:{PORT}/v1"
        for _ in range(300):
            try:
                httpx.get(f"{url}/models")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def main(directory: Path, count: int) -> None:
    """Print the table."""
    engine = load_engine(directory)
    with served(directory) as url, tempfile.TemporaryDirectory() as temporary:
        cache = f"{temporary}/replies"
        model = open_server(url, ModelOptions(tokenizer=str(directory), reply_cache=cache))
        known = [i for i, b in enumerate(model.tokenizer.token_bytes) if b]
        rng = np.random.default_rng(0)
        inside, outside = {b: [0.0] for b in BATCHES}, []
        for number in range(ROUNDS):
            texts = [[0, *rng.choice(known, LENGTH - 1).tolist()] for _ in range(count)]
            for batch in BATCHES:
                engine.most = batch
                started = time.perf_counter()
                own = engine.own(texts)
                inside[batch].append(count / (time.perf_counter() - started))
            started = time.perf_counter()
            costs = model.score(texts)
            outside.append(count / (time.perf_counter() - started))
            expected = [-sum(values) / np.log(2.0) for values in own]
            print(
                f"round {number}: costs differ by at most {np.abs(costs - expected).max():.2g} bits"
            )
        model.close()
    best = max(BATCHES, key=lambda b: np.median(inside[b][1:]))
    there, here = float(np.median(inside[best][1:])), float(np.median(outside))
    row("what", "wanted", "measured (median)")
    row(f"in process, best batch ({best}), texts/s", "", f"{there:,.0f}")
    row("over HTTP, texts/s", "", f"{here:,.0f}")
    row("ratio", ">= 0.7", f"{here / there:.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    directories = [a for a in sys.argv[1:] if not a.isdigit()]
    texts = int(next((a for a in sys.argv[1:] if a.isdigit()), 1_000))
    with tempfile.TemporaryDirectory() as place:
        if not directories:
            random_model(Path(place))
        main(Path(directories[0] if directories else place), texts)
