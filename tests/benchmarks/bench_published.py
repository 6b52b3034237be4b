"""Published models through the public doors: the tables of ``docs/reproductions.md``.

``python -m tests.benchmarks.bench_published [TITLES]`` (default 20), with SECRETAUDIT_DATA. For each fine-tuned textgenrnn model, titles of its training set
with a number are drawn with a seed; the candidate space of a title is the title with every number of as many digits. For the word model,
sentences of its training and of its validation text, and one word of each among 300.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

import secretaudit
from secretaudit.canary.format import Format
from secretaudit.canary.ledger import Canary
from secretaudit.models.language_model import LanguageModel
from tests.benchmarks.timing import row
from tests.published import (
    ledger,
    number_canary,
    perplexity,
    sentences_of,
    textgenrnn,
    titles,
    word_canaries,
    word_ids,
    word_model,
    words_of,
)

#: Characters after the number, by its digits: every candidate's ending has to be read too.
LONGEST_ENDING = {2: 60, 3: 20, 4: 8}
Pairs = list[tuple[Format, Canary]]


def drawn_titles(data: Path, name: str, digits: int, count: int) -> Pairs:
    """Distinct training titles with a number of so many digits, drawn with seed 0."""
    every = list(dict.fromkeys(titles(data, name)))
    found = [number_canary(title, n, range(digits, digits + 1)) for n, title in enumerate(every)]
    fitting = [p for p in found if p and len(p[0].suffix) <= LONGEST_ENDING[digits]]
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(fitting), min(count, len(fitting)), replace=False)
    return [fitting[i] for i in chosen.tolist()]


def exposures(model: LanguageModel, pairs: Pairs, method: str = "auto") -> list[dict[str, float]]:
    """The rows of the record."""
    rows: list[dict[str, float]] = secretaudit.expose(
        model, canaries=ledger(pairs), method=method
    ).found["canaries"]
    return rows


def report(name: str, model: LanguageModel, pairs: Pairs, method: str) -> None:
    """One line: how many true texts come first, and exposures against the ceiling."""
    started = time.perf_counter()
    rows = exposures(model, pairs, method)
    bits = np.array([r["exposure_bits"] for r in rows])
    ceiling = np.array([r["max_exposure_bits"] for r in rows])
    error = bits.std(ddof=1) / len(bits) ** 0.5
    first = int((bits > ceiling - 0.01).sum())
    print(
        f"{name:<46} {len(rows):>7} {first:>7} {bits.mean():>7.2f} {error:>7.2f} {np.median(bits):>7.2f} {bits.min():>7.2f} "
        f"{ceiling.mean():>7.2f} {time.perf_counter() - started:>7.0f} s",
        flush=True,
    )


def characters(data: Path, count: int) -> None:
    """The textgenrnn models."""
    for trained_on in ("hacker_news", "reddit_apple_android"):
        other = ({"hacker_news", "reddit_apple_android"} - {trained_on}).pop()
        for digits in (2, 3, 4):
            pairs = drawn_titles(data, trained_on, digits, count if digits < 4 else count // 4)
            for scored_by in (trained_on, "base", other)[: 3 if digits == 2 else 2]:
                method = "exact" if scored_by == trained_on else "auto"
                name = f"{trained_on}, {digits} digits / {scored_by}"
                report(name, textgenrnn(data, scored_by), pairs, method)


def words(data: Path, count: int) -> None:
    """The word model of Penn Treebank: its perplexity, and single words among 300."""
    model = word_model(data)
    measured = perplexity(model, word_ids(data, "valid"))
    row("rnnlm_ptb, perplexity of the validation text", "140.23", f"{measured:.2f}")
    rng = np.random.default_rng(0)
    known = [w for w in dict.fromkeys(words_of(data, "train")) if w not in ("<unk>", "<eos>", "N")]
    near = [known[i] for i in rng.choice(len(known), 300, replace=False).tolist()]
    for part in ("train", "valid"):
        every = sentences_of(data, part)
        shuffled = [every[i] for i in rng.permutation(len(every)).tolist()]
        pairs = word_canaries(shuffled[: 30 * count], near, rng)[: 3 * count]
        report(f"one word of {part} sentences / rnnlm_ptb", model, pairs, "auto")


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    data = Path(os.environ["SECRETAUDIT_DATA"])
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    head = ("texts", "first", "mean", "± s.e.", "median", "lowest", "ceiling", "time")
    print(f"{'texts of / scored by':<46}" + "".join(f"{h:>8}" for h in head))
    words(data, count)
    characters(data, count)


if __name__ == "__main__":
    main()
