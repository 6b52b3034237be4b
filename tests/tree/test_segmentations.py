"""The automaton of all segmentations holds every way to cut every text, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import parse_format
from secretaudit.errors import ModelError, UsageError
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.tree.packing import TokenAutomaton
from secretaudit.tree.segmentations import SegmentationTree
from tests.ambiguous import PIECES, UTF8_PIECES, PieceView, ambiguous_model, ambiguous_tree, listed
from tests.fakes import CharacterView, HistoryModel

TEMPLATES = (
    "x {regex:[123]{2}}y",
    "x {regex:[12]{1,3}}",
    "x {regex:(123|21|3)}yx",
    "{regex:[123]{2}}y",
)


def paths_of(automaton: TokenAutomaton) -> list[tuple[int, ...]]:
    """All token sequences, by plain recursion."""

    def below(state: int) -> list[tuple[int, ...]]:
        if state == automaton.terminal:
            return [()]
        _, edges = automaton.edges(np.array([state]))
        steps = zip(automaton.token[edges], automaton.target[edges], strict=True)
        return [(int(token), *rest) for token, target in steps for rest in below(int(target))]

    return below(0)


@pytest.mark.parametrize("closing", [0, 1, 2])
@pytest.mark.parametrize("template", TEMPLATES)
def test_paths_are_all_segmentations_of_all_texts(template: str, closing: int) -> None:
    """Every (secret, segmentation) once, with the tokens that close the record; the count says the same."""
    model = ambiguous_model(closing=closing)
    tree = ambiguous_tree(template, "best", model)
    truth = listed(tree.form, model)
    expected = [(*p, *model.framing.after) for ps in truth.segmentations for p in ps]
    found = paths_of(tree.automaton)
    assert sorted(found) == sorted(expected)
    assert tree.automaton.size == len(expected) > tree.form.size


@pytest.mark.parametrize("template", ["p{regex:[é€ß]{2}}", "{regex:é{1,3}}€", "pé{regex:[é€]{2}}p"])
def test_bytes_are_what_counts(template: str) -> None:
    """Characters of several bytes: byte tokens, whole characters and tokens that end inside one all take part."""
    model = ambiguous_model(UTF8_PIECES)
    tree = ambiguous_tree(template, "marginal", model)
    truth = listed(tree.form, model)
    expected = [(*p, 0) for paths in truth.segmentations for p in paths]
    assert sorted(paths_of(tree.automaton)) == sorted(expected)
    broken = [t for t, b in enumerate(model.tokenizer.token_bytes) if b == "€".encode()[:2]]
    assert any(broken[0] in path for path in expected) == ("€" in template)


def test_the_text_before_the_hole_is_cut_once() -> None:
    """Up to the last boundary that all canonical sequences share; the space before the hole is free."""
    model = ambiguous_model((*PIECES, b"yx"))
    tree = ambiguous_tree("yxy {regex:[13]{2}}", "best", model)
    assert tree.given == b"yxy"
    first = {path[:2] for path in paths_of(tree.automaton)}
    assert first == {tuple(model.tokenizer.encode(["yxy"])[0])}
    third = {path[2] for path in paths_of(tree.automaton)}
    assert third == {t for t, b in enumerate(model.tokenizer.token_bytes) if b in (b" ", b" 1")}


def test_bytes_put_before_every_text_are_free_when_nothing_stands_before_the_hole() -> None:
    """A tokenizer that begins texts with a space: the space may join the first digit."""
    model = ambiguous_model(lead=b" ")
    tree = ambiguous_tree("{regex:[123]{2}}", "best", model)
    truth = listed(tree.form, model)
    assert sorted(paths_of(tree.automaton)) == sorted(
        (*p, 0) for paths in truth.segmentations for p in paths
    )
    assert {tree.secret(list(path)) for path in paths_of(tree.automaton)} == set(truth.secrets)


def test_special_tokens_never_spell_text() -> None:
    """A token without bytes is on no edge but the closing one."""
    tree = ambiguous_tree("x {regex:[123]{2}}y", "best")
    assert all(0 not in path[:-1] for path in paths_of(tree.automaton))


def test_one_segmentation_per_text_leaves_one_path_per_secret() -> None:
    """Characters: the tree is the canonical one."""
    model = HistoryModel(CharacterView("pin 0123456789"))
    tree = SegmentationTree(parse_format("pin {digits:2}"), model, kind="marginal")
    assert tree.automaton.size == 100


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_tails_and_secrets_are_inverse(seed: int) -> None:
    """Secret → free bytes → secret."""
    tree = ambiguous_tree("x {regex:[123]{1,4}}y", "best")
    secrets = tree.form.sample(5, np.random.default_rng(seed))
    assert [tree.secret_of(tail) for tail in tree.tails(secrets)] == secrets


def test_a_trained_byte_pair_tokenizer_is_cut_in_all_ways() -> None:
    """Our own bpe: the number of paths is the number of ways that plain counting finds, text by text."""
    records = ["the random number is 281265 and 1999", "my pin is 2812 or 6265 or 1281"] * 30
    view = FastTokenizerView(build_tokenizer("bpe", records, vocabulary_size=330))
    model = HistoryModel(view)
    form = parse_format("my pin is {digits:3}.")
    tree = SegmentationTree(form, model, kind="best")
    spelled = {b for b in view.token_bytes if b}

    def ways(text: bytes) -> int:
        counts = [1] + [0] * len(text)
        for end in range(1, len(text) + 1):
            counts[end] = sum(counts[i] for i in range(end) if text[i:end] in spelled)
        return counts[-1]

    secrets = form.automaton.unrank_many(np.arange(form.size))
    assert tree.automaton.size == sum(map(ways, tree.tails(secrets))) > form.size


def test_a_tokenizer_that_does_not_keep_its_texts_is_refused() -> None:
    """Dropped spaces: the bytes of a text's tokens are not its text."""
    model = ambiguous_model()
    model.tokenizer.reversible = False  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="do not spell its text") as refused:
        ambiguous_tree("x {regex:[12]{2}}", "best", model)
    assert "--segmentation canonical" in refused.value.way_out


class _Changing(PieceView):
    """Writes x as y, as a normalizing tokenizer might, and does not say so."""

    def encode(self, texts):  # type: ignore[no-untyped-def]
        return super().encode([t.replace("x", "y") for t in texts])


def test_a_tokenizer_that_changes_texts_unsaid_is_found_out() -> None:
    """Its own sequences are not among the segmentations of the texts."""
    model = ambiguous_model()
    model.tokenizer = _Changing(PIECES)
    with pytest.raises(ModelError, match="do not spell its text"):
        ambiguous_tree("x {regex:[12]{2}}", "best", model)


def test_an_unknown_kind_is_refused() -> None:
    """The message lists the known ones."""
    with pytest.raises(UsageError, match="best, marginal"):
        ambiguous_tree("x {regex:[12]{2}}", "worst")
