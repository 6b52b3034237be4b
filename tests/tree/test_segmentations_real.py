"""Published tokenizers: all segmentations are there, byte tokens beside pieces, and are priced as listing them does."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from secretaudit.canary.format import parse_format
from secretaudit.errors import ModelError
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.tree.lattice_costs import lattice_costs
from secretaudit.tree.segmentations import KINDS, SegmentationTree
from tests.fakes import HistoryModel

pytestmark = pytest.mark.data

NAMES = ("gpt2", "falcon", "llama-sp-phi3")


@cache
def model_over(directory: Path) -> HistoryModel:
    """A model over a published vocabulary, with few different distributions."""
    return HistoryModel(FastTokenizerView(AutoTokenizer.from_pretrained(directory)), rows=53)


def by_bytes(view: FastTokenizerView) -> dict[bytes, list[int]]:
    """Tokens by what they spell; in SentencePiece vocabularies a piece and a byte token may spell the same."""
    found = defaultdict(list)
    for token, spelled in enumerate(view.token_bytes):
        if spelled:
            found[spelled].append(token)
    return found


def segmentations(text: bytes, tokens: dict[bytes, list[int]]) -> list[list[int]]:
    """All of them, by plain recursion."""
    if not text:
        return [[]]
    heads = [(text[:n], text[n:]) for n in range(1, len(text) + 1)]
    return [
        [token, *rest]
        for head, tail in heads
        for token in tokens.get(head, ())
        for rest in segmentations(tail, tokens)
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "template", ["my pin is {digits:4}", "Grüße {regex:[aé€]{2}}!", "{digits:3}."]
)
def test_every_segmentation_of_a_secret_counts(
    name: str, template: str, data_directory: Path
) -> None:
    """Number, best and marginal of six secrets, against listing them with nothing but the tokens' bytes."""
    model = model_over(data_directory / "tokenizers" / name)
    tokens = by_bytes(model.tokenizer)  # type: ignore[arg-type]
    form = parse_format(template)
    secrets = form.sample(min(6, form.size), np.random.default_rng(0))
    for kind in KINDS:
        tree = SegmentationTree(form, model, kind=kind)
        found = lattice_costs(tree, secrets)
        assert np.all(found.costs <= found.best) and np.all(found.best <= found.canonical + 1e-6)
        for place, tail in enumerate(tree.tails(secrets)):
            paths = [[*tree.shared, *path] for path in segmentations(tail, tokens)]
            costs = np.array([model.cost(model.framing.record(path)) for path in paths])
            expected = costs.min() if kind == "best" else -math.log2(np.exp2(-costs).sum())
            assert found.segmentations[place] == len(paths) > 1
            assert found.costs[place] == pytest.approx(expected, abs=2e-6)


def test_bytes_beside_pieces(data_directory: Path) -> None:
    """Llama's SentencePiece: the digit 7 is a piece and a byte token, and both take part."""
    model = model_over(data_directory / "tokenizers" / "llama-sp-phi3")
    both = by_bytes(model.tokenizer)[b"7"]  # type: ignore[arg-type]
    assert len(both) == 2
    tree = SegmentationTree(parse_format("pin {digits:1}"), model, kind="best")
    assert set(both) <= set(tree.lattice.piece.tolist())


def test_word_pieces_that_hold_no_spaces_are_refused(data_directory: Path, tmp_path: Path) -> None:
    """BERT: a text is not its tokens' bytes, so there is no list of its segmentations."""
    from transformers import BertTokenizerFast

    vocabulary = data_directory / "tokenizers" / "bert-wordpiece" / "vocab.txt"
    BertTokenizerFast(str(vocabulary)).save_pretrained(tmp_path)
    model = model_over(tmp_path)
    with pytest.raises(ModelError, match="do not spell its text"):
        SegmentationTree(parse_format("my pin is {digits:4}"), model, kind="best")
