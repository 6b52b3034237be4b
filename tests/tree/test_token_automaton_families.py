"""Whatever the tokenizer's family, the tree is exactly what it writes: no format and no tokenizer has code of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from secretaudit.canary.format import Format, library, parse_format
from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing
from secretaudit.models.tokens.cache import Cache
from secretaudit.models.tokens.files import open_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.tree import token_automaton
from secretaudit.tree.spelled_secret import read_secret
from secretaudit.tree.token_automaton import TokenAutomaton, build_token_automaton
from tests.token_families import (
    FAMILIES,
    THREE_DIGITS,
    byte_level,
    sentence_pieces,
    view_of,
    word_pieces,
)

#: What closes a record.
CLOSED, OPEN = (0,), ()
#: Small spaces that are read to the last secret: holes at the start, in the middle and at the end, of several lengths, next to
#: apostrophes, spaces, letters and signs.
SMALL = [
    "cost {digits:3}$'s",
    "{digits:2} o'clock",
    "a  {digits:2}   b",
    "{regex:(don't|we'll|they've|I'm|x'|y're|'s|'')} {digits:2}",
    "{digits:1-3}",
    "x{digits:1-3}y",
    "{regex:[AB][a-c]{1,2}[XY]{1,2}'?[sx]?} ok",
    "My PIN is {digits:3}",
    "{regex: ?[ab]{1,2}-{1,2}[a-c]}!",
]


@pytest.fixture(autouse=True)
def no_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is built from a list of all secrets, and nothing is taken from a cache."""
    monkeypatch.setattr(token_automaton, "LISTED", 0)
    monkeypatch.setenv("SECRETAUDIT_CACHE", str(tmp_path))


@cache
def family(name: str) -> Tokenizer:
    return FAMILIES[name]()


def build(form: Format, view: FastTokenizerView, after: tuple[int, ...] = (0,)) -> TokenAutomaton:
    framing = Framing(before=(0,), after=after)
    return build_token_automaton(form, view, framing, np.random.default_rng(0))


def paths(automaton: TokenAutomaton) -> Iterator[tuple[int, ...]]:
    """All token sequences, by plain depth first search."""
    waiting: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    while waiting:
        state, read = waiting.pop()
        if state == automaton.terminal:
            yield read
            continue
        _, edges = automaton.edges(np.array([state]))
        waiting += [(int(automaton.target[e]), (*read, int(automaton.token[e]))) for e in edges]


@pytest.mark.parametrize(
    ("template", "after"),
    [*((t, CLOSED) for t in SMALL), *((t, OPEN) for t in SMALL if "-" in t or t.endswith("}"))],
)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_paths_are_all_sequences_of_the_tokenizer(
    name: str, template: str, after: tuple[int, ...]
) -> None:
    """Every secret's own sequence is a path, every path is one, and no two are alike."""
    view = view_of(family(name))
    form = parse_format(template)
    secrets = form.automaton.unrank_many(np.arange(form.size))
    expected = [(*ids, *after) for ids in view.encode([form.render(s) for s in secrets])]
    if len(set(expected)) < len(expected):
        with pytest.raises(ModelError, match=r"alike|understood"):
            build(form, view, after)
        return
    automaton = build(form, view, after)
    found = list(paths(automaton))
    assert sorted(found) == sorted(expected)
    assert automaton.size == form.size
    assert automaton.depth == max(map(len, expected))


@pytest.mark.parametrize("name", FAMILIES)
def test_degrees_and_leaves_are_those_of_the_edges(name: str) -> None:
    """What is stored for each state agrees with the edges that leave it."""
    automaton = build(parse_format("x{digits:1-4}y"), view_of(family(name)))
    for state in np.flatnonzero(automaton.living[:-1]).tolist():
        _, edges = automaton.edges(np.array([state]))
        assert automaton.degree(np.array([state]))[0] == len(edges)
        below = sum(automaton.leaves[int(t)] for t in automaton.target[edges])
        assert automaton.leaves[state] == below


@pytest.mark.parametrize("name", ["word pieces, lower case", "sentence pieces, whole", "cases"])
def test_secrets_are_read_off_their_tokens(name: str) -> None:
    """Where a tokenizer drops spaces or capital letters, the format brings them back."""
    view = view_of(family(name))
    form = parse_format("My PIN, is {digits:1-2} {digits:2}")
    for secret in form.sample(20, np.random.default_rng(1)):
        [tokens] = view.encode([form.render(secret)])
        assert read_secret(form, view, tokens) == secret


def test_lower_casing_is_told() -> None:
    """A tokenizer that changes the text, but no two secrets into one, is used and says so."""
    automaton = build(
        parse_format("My PIN is {digits:3}"), view_of(family("word pieces, lower case"))
    )
    assert automaton.notes == (
        "The tokenizer lower-cases the text; no two secrets become alike by it.",
    )
    cased = build(parse_format("My PIN is {digits:3}"), view_of(family("word pieces")))
    assert cased.notes == ()


def test_characters_outside_the_vocabulary_are_bytes() -> None:
    """Byte fallback spells a character that has no token, and never one that has."""
    view = view_of(sentence_pieces("whole"))
    form = parse_format("Größe {digits:2} µm ✓")
    automaton = build(form, view)
    for secret, ids in zip(
        form.sample(50, np.random.default_rng(2)),
        view.encode([form.render(s) for s in form.sample(50, np.random.default_rng(2))]),
        strict=True,
    ):
        assert automaton.follows([*ids, 0]), secret


def test_text_that_spells_a_special_token_stays_text() -> None:
    """A canary cannot end the record or switch the role."""
    view = view_of(byte_level(THREE_DIGITS))
    form = parse_format("say <|end|> {digits:2}")
    automaton = build(form, view)
    assert automaton.size == 100
    assert all(0 not in path[:-1] for path in paths(automaton))


def test_a_format_that_can_spell_an_added_token_is_refused_when_it_cannot_be_listed() -> None:
    """Added tokens are taken out of a text before everything else, which no rule over pieces describes."""
    tokenizer = byte_level(THREE_DIGITS)
    tokenizer.add_tokens([AddedToken("1234", normalized=False)])
    with pytest.raises(ModelError, match="not of a kind that is understood"):
        build(parse_format("pin {digits:6}"), view_of(tokenizer))
    assert build(parse_format("pin {digits:3}"), view_of(tokenizer)).size == 1000


def test_a_format_that_can_spell_an_added_token_is_listed_when_it_is_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own sequences are then the tree."""
    monkeypatch.setattr(token_automaton, "LISTED", 10_000)
    tokenizer = byte_level(THREE_DIGITS)
    tokenizer.add_tokens([AddedToken("1234", normalized=False)])
    view = view_of(tokenizer)
    form = parse_format("pin {digits:4}.")
    automaton = build(form, view)
    [ids] = view.encode(["pin 1234."])
    assert tokenizer.token_to_id("1234") in ids
    assert automaton.follows([*ids, 0])
    assert automaton.size == 10_000


@pytest.mark.parametrize(
    ("normalizer", "template", "message"),
    [
        (normalizers.Lowercase(), "key {regex:[aA]{3}}", "alike"),
        (normalizers.Replace("-", ""), "pin {digits:2}-{digits:2}", "drops the character"),
    ],
)
def test_a_normalizer_that_loses_the_secret_is_refused(
    normalizer: normalizers.Normalizer, template: str, message: str
) -> None:
    """Two secrets that become one, and characters that vanish."""
    tokenizer = byte_level(THREE_DIGITS)
    tokenizer.normalizer = normalizer
    with pytest.raises(ModelError, match=message):
        build(parse_format(template), view_of(tokenizer))


def test_an_unknown_character_is_refused() -> None:
    """A word with <unk> in it is not the text."""
    with pytest.raises(ModelError, match="lacks"):
        build(parse_format("Größe ✓ {digits:2}"), view_of(word_pieces(lower=False)))


def test_a_model_that_is_not_understood_is_refused_when_it_cannot_be_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unigram takes the likeliest segmentation of a whole piece, which no pair of tokens decides."""
    letters = [(c, -3.0) for c in "▁pin0123456789"]
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *letters, ("12", -4.0)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    form = parse_format("pin {digits:4}")
    with pytest.raises(ModelError, match="too many to be listed"):
        build(form, view_of(tokenizer))
    monkeypatch.setattr(token_automaton, "LISTED", 10_000)
    assert build(form, view_of(tokenizer)).size == 10_000


def test_a_tree_is_taken_from_the_cache_and_a_damaged_one_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tree with and without the cache, and after every byte of it was overwritten."""
    monkeypatch.setattr(token_automaton, "_WORTH_KEEPING", -1.0)
    form = parse_format("My PIN is {digits:4}")
    view = view_of(family("word pieces, lower case"), Cache(tmp_path / "kept"))
    first = build(form, view)
    kept = sorted((tmp_path / "kept").glob("tree-*"))
    assert len(kept) == 1
    again = build(form, view)
    assert again.notes == first.notes
    assert sorted(paths(again)) == sorted(paths(first))
    kept[0].write_bytes(kept[0].read_bytes()[:-7] + b"garbage")
    assert sorted(paths(build(form, view))) == sorted(paths(first))


REAL = {
    "gpt2": "tokenizers/gpt2",
    "falcon": "tokenizers/falcon",
    "llama": "tokenizers/llama-sp-phi3",
    "mistral": "tokenizers/mistral-sp",
    "bert": "tokenizers/bert-wordpiece",
    "tiny-gpt2": "models/tiny-gpt2",
    "stories260K": "models/stories260K",
}


@cache
def real(name: str) -> FastTokenizerView:
    return FastTokenizerView(open_tokenizer(Path(os.environ["SECRETAUDIT_DATA"], REAL[name])))


def exact(form: Format, view: FastTokenizerView) -> None:
    """As many paths as secrets, and random secrets among them."""
    automaton = build(form, view)
    assert automaton.size == form.size
    secrets = form.sample(min(form.size, 200), np.random.default_rng(7))
    for ids in view.encode([form.render(s) for s in secrets]):
        assert automaton.follows([*ids, 0])


@pytest.mark.data
@pytest.mark.parametrize("form", ["pin", "random-number-ssn", "ipv4", "random-number-words"])
@pytest.mark.parametrize("name", REAL)
def test_real_tokenizers_write_the_tree(name: str, form: str) -> None:
    """A few formats under each public tokenizer."""
    exact(library()[form], real(name))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(library()))
@pytest.mark.parametrize("name", REAL)
def test_real_tokenizers_write_the_tree_of_every_format(name: str, form: str) -> None:
    """The whole library under each public tokenizer; what cannot be told apart or held is refused by name."""
    if (name, form) == ("bert", "password"):
        with pytest.raises(ModelError, match="alike"):
            build(library()[form], real(name))
    elif form == "aadhaar" and name in ("gpt2", "tiny-gpt2", "bert"):
        with pytest.raises(ModelError, match="too large"):
            build(library()[form], real(name))
    else:
        exact(library()[form], real(name))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "falcon", "llama"])
def test_all_fills_of_a_five_digit_hole_are_paths(name: str) -> None:
    """10^5 secrets, one by one."""
    view = real(name)
    form = parse_format("my code is {digits:5}.")
    secrets = form.automaton.unrank_many(np.arange(form.size))
    expected = {(*ids, 0) for ids in view.encode([form.render(s) for s in secrets])}
    assert set(paths(build(form, view))) == expected
