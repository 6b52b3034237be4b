"""The LanguageModel protocol over recurrent models: step and score agree with torch's own layers."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.errors import ModelError
from secretaudit.models.recurrent import language_model as recurrent_language_model
from secretaudit.models.recurrent import step as recurrent_step
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel, RecurrentState
from secretaudit.models.recurrent.network import RecurrentForCausalLM

from .conftest import make_model

CELLS = ("lstm", "gru")


def wrap(model: RecurrentForCausalLM) -> RecurrentLanguageModel:
    return RecurrentLanguageModel(model, None, separator=0)


def naive_bits(model: RecurrentForCausalLM, sequence: list[int]) -> float:
    """One token at a time with torch's layers, from a zero state, summed in Python floats."""
    state, bits = None, 0.0
    with torch.inference_mode():
        for token, following in pairwise(sequence):
            output = model(torch.tensor([[token]]), past_key_values=state)
            state = output.past_key_values
            bits -= float(output.logits[0, 0].log_softmax(-1)[following]) / math.log(2.0)
    return bits


def random_state(model: RecurrentForCausalLM, rows: int) -> RecurrentState:
    generator = torch.Generator().manual_seed(7)
    count = 2 if model.config.cell == "lstm" else 1
    shape = (model.config.layers, rows, model.config.units)
    return RecurrentState(
        tensors=tuple(torch.randn(shape, generator=generator) for _ in range(count))
    )


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("tied", [False, True])
@given(rows=st.lists(st.integers(0, 4), min_size=1, max_size=12), seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_a_step_equals_torchs_layers(
    cell: str, layers: int, tied: bool, rows: list[int], seed: int
) -> None:
    """Whatever rows repeat, log-probabilities and states are those of nn.LSTM and nn.GRU."""
    model = make_model(cell=cell, layers=layers, tie_word_embeddings=tied)
    state = random_state(model, 5)
    index = torch.tensor(rows)
    tokens = torch.randint(0, 23, (len(rows),), generator=torch.Generator().manual_seed(seed))
    logs, after = wrap(model).step(state, index, tokens)
    expected = model(tokens[:, None], past_key_values=state.select(index).tensors)
    assert torch.allclose(logs, expected.logits[:, 0].log_softmax(-1), atol=1e-5)
    for ours, theirs in zip(after.tensors, expected.past_key_values, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_large_batches_are_cut_without_a_seam(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three rows, which cut families of siblings, give what one chunk gives."""
    language_model = wrap(make_model(cell=cell))
    state = random_state(make_model(cell=cell), 4)
    rows = torch.tensor([0, 0, 0, 0, 2, 2, 1, 3, 3, 3])
    tokens = torch.arange(10)
    whole = language_model.step(state, rows, tokens)
    monkeypatch.setattr(recurrent_language_model, "CHUNK_ROWS", 3)
    cut = language_model.step(state, rows, tokens)
    assert torch.allclose(whole[0], cut[0], atol=1e-6)
    assert torch.allclose(whole[1].tensors[0], cut[1].tensors[0], atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_a_vocabulary_too_large_for_a_table_is_projected_on_demand(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the table of input projections the numbers stay."""
    model = make_model(cell=cell)
    state = random_state(model, 4)
    rows, tokens = torch.tensor([0, 0, 1, 3]), torch.tensor([5, 6, 7, 8])
    with_table = wrap(model).step(state, rows, tokens)[0]
    monkeypatch.setattr(recurrent_step, "TABLE_LIMIT_BYTES", 0)
    assert torch.allclose(wrap(model).step(state, rows, tokens)[0], with_table, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_walking_a_path_costs_its_score(cell: str) -> None:
    """Steps from start along a sequence add up to score, the capability computed the plain way."""
    language_model = wrap(make_model(cell=cell))
    sequence = [0, 4, 9, 9, 1, 0]
    state, nats = language_model.start(), 0.0
    assert len(state) == 1
    for token, following in pairwise(sequence):
        logs, state = language_model.step(state, torch.tensor([0]), torch.tensor([token]))
        nats += float(logs[0, following])
    assert -nats / math.log(2.0) == pytest.approx(language_model.score([sequence])[0], abs=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_scores_are_sums_over_tokens_in_bits(cell: str) -> None:
    """Sequences of any lengths, the order kept: each costs what it costs alone, token by token."""
    model = make_model(cell=cell)
    sequences = [[0, 3, 0], [0, *range(1, 20), 0], [0, 0], [0, 1, 2, 3, 4, 0], [0]]
    scores = wrap(model).score(sequences)
    assert scores.dtype == np.float64
    assert scores == pytest.approx([naive_bits(model, s) for s in sequences], abs=1e-3)
    assert scores[4] == 0.0


def test_no_state_is_carried_from_one_sequence_to_the_next() -> None:
    """A sequence's score does not depend on what is scored before it or with it."""
    language_model = wrap(make_model())
    alone = language_model.score([[0, 5, 6, 0]])[0]
    together = language_model.score([[0, 9, 9, 9, 9, 9, 0], [0, 5, 6, 0], [0, 5, 6, 0]])
    assert together[1:] == pytest.approx([alone, alone], abs=1e-5)


def test_padding_is_known_by_length_and_not_by_token() -> None:
    """Separators inside a sequence, which equal the padding, are scored like any token."""
    model = make_model()
    short, long = [0, 0, 0, 0], [0, 7, 7, 7, 7, 7, 7, 7]
    scores = wrap(model).score([short, long])
    assert scores[0] == pytest.approx(naive_bits(model, short), abs=1e-4)


def test_a_memory_limit_on_logits_changes_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sequence per batch gives the scores of all in one batch."""
    language_model = wrap(make_model())
    sequences = [[0, *([k] * (k + 1)), 0] for k in range(1, 7)]
    together = language_model.score(sequences)
    monkeypatch.setattr(recurrent_language_model, "SCORE_LIMIT_BYTES", 1)
    assert language_model.score(sequences) == pytest.approx(together, abs=1e-5)


def test_log_probabilities_are_normalized() -> None:
    """The probabilities of what may follow sum to one."""
    language_model = wrap(make_model())
    logs, _ = language_model.step(language_model.start(), torch.tensor([0]), torch.tensor([0]))
    assert float(logs.double().exp().sum()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("cell", "tensors"), [("lstm", 2), ("gru", 1)])
def test_states_are_selected_and_appended_by_row(cell: str, tensors: int) -> None:
    """Rows come out in the order asked, copied; appended rows follow; their size is as stated."""
    model = make_model(cell=cell)
    state = random_state(model, 3)
    chosen = state.select(torch.tensor([2, 0, 2]))
    assert len(chosen) == 3
    assert torch.equal(chosen.tensors[0][:, 0], state.tensors[0][:, 2])
    both = chosen.append(state)
    assert len(both) == 6
    assert torch.equal(both.tensors[0][:, 3:], state.tensors[0])
    chosen.tensors[0].zero_()
    assert float(state.tensors[0].abs().min()) > 0
    size = sum(t.element_size() * t.numel() for t in state.tensors) // 3
    assert wrap(model).row_bytes(3) == size == tensors * 2 * 8 * 4


def test_the_parents_states_survive_a_step() -> None:
    """Steps write new rows and leave the old ones alone."""
    model = make_model()
    state = random_state(model, 2)
    before = state.tensors[0].clone()
    wrap(model).step(state, torch.tensor([0, 0, 1]), torch.tensor([1, 2, 3]))
    assert torch.equal(state.tensors[0], before)


@pytest.mark.parametrize("token", [-1, 23])
def test_a_token_that_the_model_lacks_is_refused(token: int) -> None:
    """An id outside the vocabulary is named."""
    with pytest.raises(ModelError, match=f"Token id {token} cannot be scored"):
        wrap(make_model()).score([[0, token, 0]])


def test_log_probabilities_that_are_not_finite_are_refused() -> None:
    """NaN weights give an error from both capabilities, never a number."""
    model = make_model()
    with torch.no_grad():
        model.head.weight[3, 3] = math.nan
    language_model = wrap(model)
    with pytest.raises(ModelError, match="not finite"):
        language_model.score([[0, 1, 0]])
    with pytest.raises(ModelError, match="not finite"):
        language_model.step(language_model.start(), torch.tensor([0]), torch.tensor([1]))


def test_a_separator_outside_the_vocabulary_is_refused() -> None:
    """The separator must be a token of the model."""
    with pytest.raises(ModelError, match="separator 23 is no token"):
        RecurrentLanguageModel(make_model(), None, separator=23)
