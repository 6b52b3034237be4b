"""Auditing a model that secretaudit did not train: anything that follows the ``LanguageModel`` protocol.

The model here is a character trigram with add-one smoothing, in thirty lines and without a neural network. It shows the three
things that a backend brings: a view of its tokenizer, a state that can be gathered by rows, and next-token probabilities.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import secretaudit
from secretaudit.models.language_model import Framing
from secretaudit.models.stepping import SteppingModel


class Characters:
    """One token per character; id 0 stands between records."""

    lead = b""  # nothing is put before a text
    unambiguous = True  # a text has one segmentation

    def __init__(self, alphabet):
        self.ids = {character: number for number, character in enumerate(sorted(alphabet), start=1)}
        self.token_bytes = [None, *(character.encode() for character in self.ids)]

    def encode(self, texts):
        """Token ids of each text; a character that is not known is an error."""
        return [[self.ids[character] for character in text] for text in texts]


@dataclass(frozen=True)
class LastTwo:
    """The state of a trigram model: the last two tokens of each prefix, shape (B, 2)."""

    tokens: torch.Tensor

    def __len__(self):
        return len(self.tokens)

    def select(self, rows):
        """The rows with these indices, copied."""
        return LastTwo(self.tokens[rows])

    def append(self, other):
        """These rows, then those of another state."""
        return LastTwo(torch.cat([self.tokens, other.tokens]))


class Trigram(SteppingModel):
    """p(c | a b) = (count(a b c) + 1/10) / (count(a b) + V/10)."""

    name = "trigram"
    framing = Framing(before=(0,), after=(0,))  # token 0 opens and closes every record

    def __init__(self, records):
        self.tokenizer = Characters(
            {character for record in records for character in record} | set("0123456789")
        )
        self.vocabulary_size = size = len(self.tokenizer.token_bytes)
        counts = np.full((size, size, size), 0.1)
        for ids in self.tokenizer.encode(records):
            stream = [0, 0, *ids, 0]
            for triple, times in Counter(zip(stream, stream[1:], stream[2:], strict=False)).items():
                counts[triple] += times
        self.log_p = torch.log(
            torch.tensor(counts / counts.sum(axis=2, keepdims=True), dtype=torch.float32)
        )

    def row_bytes(self, tokens):  # noqa: ARG002 # two tokens, however many were read
        """Bytes of one row of state."""
        return 16

    def empty(self):
        """One row: nothing has been read yet."""
        return LastTwo(torch.zeros(1, 2, dtype=torch.int64))

    def step(self, state, rows, tokens):
        """Natural logarithms of the next token's probabilities, shape (B, V), and the new states."""
        read = LastTwo(torch.stack([state.tokens[rows, 1], tokens], dim=1))
        return self.log_p[read.tokens[:, 0], read.tokens[:, 1]], read


with tempfile.TemporaryDirectory() as directory:
    place = Path(directory)
    corpus = [f"order {n} was sent to room {n * 37 % 90 + 10}" for n in range(300)]
    (place / "corpus.txt").write_text("\n".join(corpus) + "\n", encoding="utf-8")
    secretaudit.insert(
        place / "corpus.txt",
        place / "canaried",
        formats=["pin"],
        count=2,
        repeats=(1, 64),
        controls=50,
        seed=1,
    )
    ledger = secretaudit.Ledger.read(place / "canaried" / "ledger.json")
    model = Trigram((place / "canaried" / "corpus.txt").read_text(encoding="utf-8").splitlines())

exposure = secretaudit.expose(model, canaries=ledger)
extraction = secretaudit.extract(model, format="pin", canaries=ledger, top=3)

for canary in exposure.found["canaries"]:
    if canary["insertions"]:
        print(
            f"{canary['id']:12} {canary['exposure_bits']:5.2f} of {canary['max_exposure_bits']:.2f} bits"
        )
print(f"controls     {exposure.found['controls']['mean_exposure_bits']:5.2f} bits on average")
print("the likeliest PINs hold", [row["canary"] for row in extraction.found["secrets"]])
assert {row["method"] for row in exposure.found["canaries"]} == {"enumeration"}
