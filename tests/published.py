"""Published models as their users would write them: a forward pass, a vocabulary, and the public door for callables.

Nothing here is part of the package, and nothing in the package knows these models. The forward passes follow the descriptions that
lie beside the weights.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from secretaudit.canary.format import Format
from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.models.callable.language_model import CallableLanguageModel
from secretaudit.models.callable.recurrent import RecurrentCallableLanguageModel
from secretaudit.models.language_model import Framing
from secretaudit.models.tokens.vocabulary_view import VocabularyView

WINDOW = 40
SALT = "00112233445566778899aabbccddeeff"


class TextGenRNN(nn.Module):
    """The character model of textgenrnn: two LSTM layers, and attention over the last 40 places."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with np.load(path) as arrays:
            w = {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
        self.embed = nn.Embedding.from_pretrained(w["emb"])
        self.first = lstm(w["k1"], w["r1"], w["b1"])
        self.second = lstm(w["k2"], w["r2"], w["b2"])
        self.attend, self.out, self.bias = w["att"], w["ow"], w["ob"]

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the character that follows each prefix of at most 40: (B, T) → (B, 465)."""
        embedded = self.embed(functional.pad(tokens, (WINDOW - tokens.shape[1], 0)))
        first, _ = self.first(embedded)
        second, _ = self.second(first)
        seen = torch.cat([embedded, first, second], dim=2)
        weight = torch.softmax(seen @ self.attend, dim=1)
        return (weight * seen).sum(dim=1) @ self.out + self.bias


def lstm(k: torch.Tensor, r: torch.Tensor, b: torch.Tensor) -> nn.LSTM:
    """A layer of torch with these input weights, recurrent weights and bias; blocks i, f, g, o."""
    layer = nn.LSTM(len(k), len(r), batch_first=True)
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), (k.T, r.T, b, 0 * b), strict=True):
            parameter.copy_(value)
    return layer


def textgenrnn(data: Path, name: str) -> CallableLanguageModel:
    """``base``, ``hacker_news`` or ``reddit_apple_android`` behind the callable door."""
    directory = data / "models" / "textgenrnn"
    ids: dict[str, int] = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    mark = ids["<s>"]
    characters: list[str | None] = [None] * 465
    for character, number in ids.items():
        if len(character) == 1:
            characters[number] = character
    return CallableLanguageModel.from_module(
        TextGenRNN(directory / f"{name}.npz"),
        VocabularyView(characters),
        places="last",
        framing=Framing(before=(mark,), after=(mark,)),
        window=WINDOW,
        batch=256,
        name=name,
    )


def titles(data: Path, name: str) -> list[str]:
    """The 2,000 titles that a model was fine-tuned on, less the characters that it cannot read."""
    directory = data / "models" / "textgenrnn"
    known = set(json.loads((directory / "vocab.json").read_text(encoding="utf-8")))
    packed = (directory / f"{name}_2000.titles.txt.xz").read_bytes()
    lines = lzma.decompress(packed).decode("utf-8").splitlines()
    return ["".join(c for c in line if c in known) for line in lines]


def number_canary(title: str, number: int, digits: range) -> tuple[Format, Canary] | None:
    """The space of all titles that differ from this one in its first number only, and the true title in it.

    ``None`` when the title has no number with so many digits, or characters that a canary may not have (some were decoded wrongly).
    """
    if not title.isprintable():
        return None
    found = next((m for m in re.finditer(r"[0-9]+", title) if len(m[0]) in digits), None)
    if found is None:
        return None
    before, after = (
        text.replace("{", "{{").replace("}", "}}")
        for text in (title[: found.start()], title[found.end() :])
    )
    form = Format(f"title-{number}", f"{before}{{digits:{len(found[0])}}}{after}")
    canary = Canary(
        id=form.name, format=form.name, secret=found[0], text=form.render(found[0]), insertions=1
    )
    return form, canary


def ledger(pairs: Sequence[tuple[Format, Canary]]) -> Ledger:
    """A ledger made in memory."""
    return Ledger(
        seed=0,
        formats={form.name: form for form, _ in pairs},
        canaries=tuple(canary for _, canary in pairs),
        corpus={},
        salt=SALT,
    )


class WordLSTM:
    """A published one-layer word LSTM of Penn Treebank, 100 units: reads one word after each of many prefixes."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.w = {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}

    def __call__(
        self, state: tuple[torch.Tensor, ...], tokens: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Logits of the next word (B, 10000), and the new (h, c)."""
        h, c = state
        gates = (
            self.w["embed"][tokens] @ self.w["lstm_wx"] + h @ self.w["lstm_wh"] + self.w["lstm_b"]
        )
        f, g, i, o = gates.split(100, dim=1)
        c = torch.sigmoid(f) * c + torch.tanh(g) * torch.sigmoid(i)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h @ self.w["out_w"] + self.w["out_b"], (h, c)


def word_model(data: Path) -> RecurrentCallableLanguageModel:
    """The word LSTM behind the door for callables with a state."""
    directory = data / "models"
    words = lzma.decompress((directory / "rnnlm_ptb.vocab.txt.xz").read_bytes()).decode().split()
    end, unknown = words.index("<eos>"), words.index("<unk>")
    readable = [None if word in ("<eos>", "<unk>") else word for word in words]
    return RecurrentCallableLanguageModel(
        WordLSTM(directory / "rnnlm_ptb.npz"),
        [torch.zeros(1, 100), torch.zeros(1, 100)],
        VocabularyView(readable, kind="words", unknown=unknown),
        framing=Framing(before=(end,), after=(end,)),
        gives="logits",
        batch=2048,
        name="rnnlm_ptb",
    )


def words_of(data: Path, part: str) -> list[str]:
    """Penn Treebank as the published model was trained on it: one word after the other, each line closed by <eos>."""
    packed = (data / "ptb" / f"ptb.{part}.txt.xz").read_bytes()
    return lzma.decompress(packed).decode().replace("\n", " <eos> ").split()


def word_ids(data: Path, part: str) -> list[int]:
    """The same as ids."""
    words = lzma.decompress((data / "models" / "rnnlm_ptb.vocab.txt.xz").read_bytes()).decode()
    number = {word: place for place, word in enumerate(words.split())}
    return [number[word] for word in words_of(data, part)]


def sentences_of(data: Path, part: str) -> list[str]:
    """Sentences of 8 to 20 words without an unknown one."""
    lines = " ".join(words_of(data, part)).split("<eos>")
    stripped = [" ".join(line.split()) for line in lines]
    return [s for s in stripped if "<unk>" not in s.split() and 8 <= len(s.split()) <= 20]


def perplexity(
    model: RecurrentCallableLanguageModel,
    ids: Sequence[int],
    streams: int = 10,
    steps: int | None = None,
) -> float:
    """Per word, with the state carried along parallel streams of a text, as the published figure was measured."""
    length = len(ids) // streams
    table = torch.tensor(ids[: streams * length]).view(streams, length)[:, : steps and steps + 1]
    state, rows, nats = model.start(), torch.zeros(streams, dtype=torch.int64), 0.0
    for place in range(table.shape[1] - 1):
        log_p, state = model.step(state, rows, table[:, place])
        rows = torch.arange(streams)
        nats -= float(log_p.gather(1, table[:, place + 1, None]).double().sum())
    return float(np.exp(nats / (streams * (table.shape[1] - 1))))


def word_canaries(
    sentences: Sequence[str], words: Sequence[str], rng: np.random.Generator
) -> list[tuple[Format, Canary]]:
    """For each sentence the space of all sentences that differ from it in one word, drawn among the list's words that it has."""
    known = set(words)
    pairs = []
    for number, sentence in enumerate(sentences):
        parts = sentence.split()
        places = [place for place, word in enumerate(parts) if place and word in known]
        if not places:
            continue
        place = int(rng.choice(places))
        before, after = " ".join(parts[:place]), " ".join(parts[place + 1 :])
        template = f"{before} {{words:1,list=near}} {after}".strip()
        form = Format(f"sentence-{number}", template, lists={"near": tuple(words)})
        text = form.render(parts[place])
        pairs.append(
            (
                form,
                Canary(
                    id=form.name, format=form.name, secret=parts[place], text=text, insertions=1
                ),
            )
        )
    return pairs
