"""Seconds to build the token tree of a 16-digit Luhn format over 150,000 tokens: ``python -m tests.benchmarks.bench_vocabulary_index``.

The vocabulary is made up on the spot: byte-level pairs with all numbers of two and three digits and 4,000 of four, and random merges of
letters up to the size asked for. What is timed is a fresh process's work after the tokenizer was read: the index over the merges and the tree of
``credit-card`` (written in groups) and of ``{credit-card}`` (sixteen digits in a row), first without a cache and then with it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from secretaudit.canary.format import parse_format
from secretaudit.models.language_model import Framing
from secretaudit.models.tokens.cache import Cache
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.tree.token_automaton import build_token_automaton
from tests.benchmarks.timing import row

FORMATS = ("credit-card", "my credit card number is {credit-card}", "random-words")


def made_up_tokenizer(size: int, seed: int = 0) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with this many tokens, GPT-2's pieces and random merges."""
    rng = np.random.default_rng(seed)
    tokens = dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()))
    merges: list[tuple[str, str]] = []

    def merge(left: str, right: str) -> None:
        if left + right not in tokens:
            tokens[left + right] = None
            merges.append((left, right))

    for number in [f"{n:02}" for n in range(100)] + [f"{n:03}" for n in range(1000)]:
        merge(number[:-1], number[-1])
    for n in rng.permutation(10_000)[:4000].tolist():
        merge(f"{n:04}"[:2], f"{n:04}"[2:])
    letters = [*"etaoinshrdlucmfwypvbgkjqxz", "Ġ"]
    while len(tokens) < size - 1:
        left, right = (letters[int(len(letters) * rng.random() ** 3)] for _ in range(2))
        if len(left + right) <= 14 and "Ġ" not in right and left + right not in tokens:
            merge(left, right)
            letters.append(left + right)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    model = {"type": "BPE", "vocab": vocabulary, "merges": [list(pair) for pair in merges]}
    document = {"version": "1.0", "added_tokens": [], "pre_tokenizer": level, "model": model}
    backend = Tokenizer.from_str(json.dumps(document))
    backend.add_special_tokens(["<|end|>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")


def seconds(tokenizer: PreTrainedTokenizerFast, spec: str, directory: Path) -> tuple[float, float]:
    """Seconds for the index over the vocabulary, and for the tree."""
    form = parse_format(spec)
    view = FastTokenizerView(tokenizer, cache=Cache(directory))
    begin = time.perf_counter()
    _ = view.scheme
    middle = time.perf_counter()
    framing = Framing(before=(view.separator,), after=(view.separator,))
    tree = build_token_automaton(form, view, framing, np.random.default_rng(0))
    if tree.size != form.size:
        raise SystemExit(f"{spec}: {tree.size} leaves for {form.size} secrets")
    return middle - begin, time.perf_counter() - middle


def main() -> None:
    """Print the table."""
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    size = numbers[0] if numbers else 150_000
    tokenizer = made_up_tokenizer(size)
    row(f"{len(tokenizer):,} tokens", "wanted", "index + tree, s")
    for spec in FORMATS:
        with tempfile.TemporaryDirectory() as directory:
            for state, wanted in (("first", "<= 10"), ("cached", "")):
                index, tree = seconds(tokenizer, spec, Path(directory))
                row(f"{spec}, {state}", wanted, f"{index:.2f} + {tree:.2f}")


if __name__ == "__main__":
    main()
