"""The token automaton holds exactly the tokenizer's own sequences, one per secret."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from secretaudit.canary.format import library, parse_format
from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.tree.token_automaton import TokenAutomaton, build_token_automaton
from tests.fakes import CharacterView

RECORDS = [
    "the random number is 281265017 and the total is 1999",
    "invoice 2024 of 12 march, 100 items at 25 each, order 4711 and 4712",
    "call 555-0199 or 2025-11-30, my pin is 0007",
] * 40
#: Token 0 before and after every text.
CLOSED = Framing(before=(0,), after=(0,))


def closed(view: FastTokenizerView) -> Framing:
    return Framing(before=(view.separator,), after=(view.separator,))


def paths_of(automaton: TokenAutomaton) -> list[tuple[int, ...]]:
    """All token sequences, by plain recursion."""

    def below(state: int) -> list[tuple[int, ...]]:
        if state == automaton.terminal:
            return [()]
        _, edges = automaton.edges(np.array([state]))
        return [
            (int(automaton.token[e]), *rest)
            for e in edges
            for rest in below(int(automaton.target[e]))
        ]

    return below(0)


@pytest.mark.parametrize("kind", ["char", "bpe"])
@pytest.mark.parametrize(
    "template", ["my pin is {digits:4}.", "{digits:1-3} total", "{digits:3}-{digits:1}"]
)
def test_paths_are_the_tokenizers_own_sequences(kind: str, template: str) -> None:
    """Merges across the edge of the hole and between digits included, every secret has its one path."""
    size = 400 if kind == "bpe" else None
    tokenizer = build_tokenizer(kind, RECORDS, vocabulary_size=size, required_characters=".")
    view = FastTokenizerView(tokenizer)
    form = parse_format(template)
    automaton = build_token_automaton(form, view, closed(view), np.random.default_rng(0))
    secrets = form.automaton.unrank_many(np.arange(form.size))
    expected = {(*ids, view.separator) for ids in view.encode([form.render(s) for s in secrets])}
    found = paths_of(automaton)
    assert len(found) == form.size == automaton.size
    assert set(found) == expected


def test_words_have_one_path_per_combination() -> None:
    """A word tokenizer puts a space before the text; the tree starts with it."""
    words = ["alpha", "beta", "gamma", "delta"]
    view = FastTokenizerView(build_tokenizer("word", ["the code is " + " ".join(words)]))
    form = parse_format("the code is {regex:(alpha|beta|gamma|delta) (alpha|beta|gamma|delta)}")
    automaton = build_token_automaton(form, view, closed(view), np.random.default_rng(0))
    expected = {
        (*ids, view.separator)
        for ids in view.encode([f"the code is {a} {b}" for a, b in itertools.product(words, words)])
    }
    assert set(paths_of(automaton)) == expected


@pytest.mark.parametrize("name", sorted(library()))
def test_every_format_of_the_library_is_exact_under_characters(name: str) -> None:
    """The number of paths is |R|, and random secrets are among them."""
    form = library()[name]
    alphabet = "".join(map(chr, range(32, 127)))
    automaton = build_token_automaton(
        form, CharacterView(alphabet), CLOSED, np.random.default_rng(0)
    )
    assert automaton.size == form.size


@pytest.mark.parametrize(
    "name", [n for n in sorted(library()) if n not in ("email", "random-words", "passphrase")]
)
def test_every_format_of_the_library_is_exact_under_byte_pairs(name: str) -> None:
    """Byte-pair encoding admits one of many segmentations, and the tree holds that one."""
    form = library()[name]
    view = FastTokenizerView(build_tokenizer("bpe", RECORDS, vocabulary_size=500))
    automaton = build_token_automaton(form, view, closed(view), np.random.default_rng(0))
    assert automaton.size == form.size


def test_counts_of_leaves_add_up_on_every_level() -> None:
    """Leaves below a state are the leaves below its children; their logarithms agree."""
    form = parse_format("card {luhn:8}")
    automaton = build_token_automaton(
        form, CharacterView("card 0123456789"), CLOSED, np.random.default_rng(0)
    )
    for state in range(len(automaton.leaves)):
        targets = automaton.target[automaton.edges(np.array([state]))[1]]
        if state != automaton.terminal:
            assert automaton.leaves[state] == sum(automaton.leaves[t] for t in targets)
    assert np.allclose(np.exp2(automaton.log2_leaves), [float(n) for n in automaton.leaves])


def test_a_missing_character_is_refused() -> None:
    """A tokenizer without the digit 9 cannot write all secrets, and the tree says so instead of shrinking."""
    with pytest.raises(ModelError):
        build_token_automaton(
            parse_format("pin {digits:9}"),
            CharacterView("pin 012345678"),
            CLOSED,
            np.random.default_rng(0),
        )


class _Lossy(CharacterView):
    """Writes 1 and 2 alike, as a normalizing tokenizer might."""

    unambiguous = False

    def encode(self, texts):  # type: ignore[no-untyped-def]
        return super().encode([t.replace("2", "1") for t in texts])


def test_a_tokenizer_that_writes_two_secrets_alike_is_refused() -> None:
    """Two secrets with one token sequence cannot be told apart by any cost."""
    view = _Lossy("pin 0123456789")
    view.unambiguous = False
    with pytest.raises(ModelError, match="alike"):
        build_token_automaton(
            parse_format("pin {digits:3}"), view, CLOSED, np.random.default_rng(0)
        )
