"""A leaf of the tree costs what plain scoring of the whole canary text says, whatever the tokenizer and the format."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from secretaudit.canary.format import library
from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing
from secretaudit.models.tokens.files import open_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.draws import draw_leaves, path_costs
from secretaudit.tree.secret_tree import TOLERANCE_BITS
from tests.fakes import HistoryModel

TOKENIZERS = {
    "gpt2": "tokenizers/gpt2",
    "falcon": "tokenizers/falcon",
    "llama": "tokenizers/llama-sp-phi3",
    "mistral": "tokenizers/mistral-sp/tokenizer.model",
    "bert": "tokenizers/bert-wordpiece",
}
#: Pairs that are refused: two passwords that differ in case only are one text to BERT, and the trees of aadhaar are too large.
REFUSED = {("bert", "password"), ("bert", "aadhaar"), ("gpt2", "aadhaar")}
SECRETS = 30


@cache
def model_of(name: str) -> HistoryModel:
    """Probabilities that depend on the whole history of tokens: one wrong token changes the cost."""
    view = FastTokenizerView(
        open_tokenizer(Path(os.environ["SECRETAUDIT_DATA"]) / TOKENIZERS[name])
    )
    model = HistoryModel(view, rows=31)
    model.framing = Framing(before=(0,))
    return model


def check(name: str, form_name: str) -> None:
    """Random secrets by their paths, and drawn leaves by the secrets that they spell."""
    form, model = library()[form_name], model_of(name)
    tree = SecretTree(form, model)
    assert tree.automaton.size == form.size
    rng = np.random.default_rng(7)
    secrets = form.sample(SECRETS, rng)
    texts = [form.render(secret) for secret in secrets]
    records = [model.framing.record(ids) for ids in model.tokenizer.encode(texts)]  # type: ignore[attr-defined]
    plain = model.score(records)
    assert np.abs(path_costs(tree, secrets, Budget().meter()) - plain).max() < TOLERANCE_BITS
    draws = draw_leaves(tree, tree.root(), (1.0, np.inf), SECRETS, rng, Budget().meter())
    spelled = [
        tree.secret([*tree.shared, *(t for t in path if t >= 0)])
        for path in draws.path_token.tolist()
    ]
    assert np.abs(tree.score(spelled) - draws.cost).max() < TOLERANCE_BITS


@pytest.mark.data
@pytest.mark.parametrize("form", ["pin", "random-number", "credit-card", "ipv4"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_leaves_cost_what_their_texts_cost(name: str, form: str) -> None:
    """To 1e-3 bits, for secrets by their paths and for leaves by what they spell."""
    check(name, form)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(library()))
@pytest.mark.parametrize("name", TOKENIZERS)
def test_leaves_of_every_format_cost_what_their_texts_cost(name: str, form: str) -> None:
    """Every format of the library under every real tokenizer; what cannot be exact is refused."""
    if (name, form) in REFUSED:
        with pytest.raises(ModelError):
            SecretTree(library()[form], model_of(name))
        return
    check(name, form)
