"""How a transformer is read: what is kept once, what is never built, which way is taken, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.models.language_model import Framing
from secretaudit.models.transformer import plain_scoring, state_readers
from secretaudit.models.transformer.key_value_state import KeyValueState
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.fakes import CharacterView

from .contract import extend, prices
from .tiny_transformers import tiny

VIEW = CharacterView("0123456789abcdefghij")
BIG = "llama/tied-vocabulary-of-1000"
Change = Callable[[dict[str, Any]], None]


def wrap(module: Any) -> TransformerLanguageModel:
    return TransformerLanguageModel(module, VIEW, framing=Framing(before=(0,)))


def naive_bits(module: Any, sequence: list[int]) -> float:
    """The plain forward pass of transformers, summed in Python floats."""
    with torch.inference_mode():
        log_p = module(torch.tensor([sequence])).logits[0].log_softmax(-1)
    steps = enumerate(pairwise(sequence))
    return -sum(float(log_p[i, b]) for i, (_, b) in steps) / math.log(2.0)


@pytest.mark.parametrize("make", ["gpt2", "llama", "gemma2", "falcon/alibi", "mamba"])
def test_scores_are_those_of_transformers(make: str) -> None:
    """Texts of all lengths, padded or not, cost what one plain pass over each says."""
    module = tiny(make)
    rng = np.random.default_rng(1)
    sequences = [rng.integers(0, 37, n).tolist() for n in (2, 9, 5, 3, 17, 9)]
    expected = [naive_bits(module, s) for s in sequences]
    assert wrap(module).score(sequences) == pytest.approx(expected, abs=1e-3)


def test_a_small_working_memory_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row and one place at a time give the numbers of all at once."""
    model = wrap(tiny(BIG))
    sequences = [[1, 2, 3, 4], [5, 6], [7, 8, 9]]
    whole = model.score(sequences)
    state = extend(model, model.start([1, 2]), [0, 0, 0], [3, 4, 5])
    rows, tokens = torch.tensor([0, 1, 2]), torch.tensor([6, 7, 8])
    asked = (torch.tensor([0, 0, 2]), torch.tensor([900, 4, 5]))
    prices_of_whole, after = model.price(state, rows, tokens, *asked)
    for module in (plain_scoring, state_readers):
        monkeypatch.setattr(module, "WORKING_BYTES", 1)
    assert model.score(sequences) == pytest.approx(whole, abs=1e-4)
    in_pieces, after_pieces = model.price(state, rows, tokens, *asked)
    assert torch.allclose(in_pieces, prices_of_whole, atol=1e-5)
    assert isinstance(after, KeyValueState)
    assert isinstance(after_pieces, KeyValueState)
    for one, other in zip(after.keys, after_pieces.keys, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_prices_of_many_rows_never_need_the_logits_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A table of all rows and all tokens is not built; rows that nobody asks about get no logits."""
    model = wrap(tiny(BIG))
    monkeypatch.setattr(state_readers, "WORKING_BYTES", 20 * 12 * 1000)
    built: list[int] = []
    logits = model.network.logits
    monkeypatch.setattr(model.network, "logits", lambda f: (built.append(len(f)), logits(f))[1])
    count = 200
    rows, tokens = torch.zeros(count, dtype=torch.int64), torch.arange(count)
    asked = torch.arange(0, count, 2)
    model.price(model.start([1, 2, 3]), rows, tokens, asked, asked)
    assert max(built) <= 20
    assert sum(built) == len(asked)


def test_the_prefix_is_kept_once() -> None:
    """However many rows grow from it, its keys and values are the same tensors; rows hold their own tokens only."""
    model = wrap(tiny("gpt2"))
    start = model.start([1, 2, 3, 4, 5, 6])
    assert isinstance(start, KeyValueState)
    state = extend(model, start, [0] * 50, list(range(20)) * 2 + list(range(10)))
    deeper = extend(model, state, [3, 3, 7], [1, 2, 3])
    assert isinstance(deeper, KeyValueState)
    assert deeper.prefix is start.prefix
    assert [tuple(k.shape) for k in deeper.keys] == [(3, 4, 2, 8)] * 2
    own = sum(t.numel() * t.element_size() for t in (*deeper.keys, *deeper.values))
    assert model.row_bytes(2) == pytest.approx(own / 3, abs=8)


def test_short_rows_that_are_selected_give_up_their_padding() -> None:
    """A state is as wide as the longest of its rows."""
    model = wrap(tiny("llama"))
    start = model.start([1])
    short = extend(model, start, [0], [2])
    long = extend(model, extend(model, short, [0], [3]), [0], [4])
    assert isinstance(short, KeyValueState)
    assert isinstance(long, KeyValueState)
    both = short.append(long)
    assert (both.width, both.lengths.tolist()) == (3, [1, 3])
    assert both.select(torch.tensor([0, 0])).width == 1


def test_states_of_different_starts_are_not_joined() -> None:
    """Their common prefix could not be kept once."""
    model = wrap(tiny("gpt2"))
    one, other = model.start([1, 2]), model.start([1, 2])
    with pytest.raises(ValueError, match="same start"):
        one.append(other)


def test_the_same_question_has_the_same_answer() -> None:
    """Bit by bit, on a CPU."""
    module = tiny("llama")
    answers = []
    for _ in range(2):
        model = wrap(module)
        state = extend(model, model.start([1, 2]), [0, 0], [3, 4])
        answers.append((model.score([[1, 2, 3], [4, 5]]).tolist(), prices(model, state, 5, [6, 7])))
    assert answers[0] == answers[1]


def changed(module: Any, change: Change) -> Any:
    """The module with a body that treats what it is given otherwise."""
    body = module.base_model
    forward = body.forward

    def other(input_ids: Any = None, **asked: Any) -> Any:
        change(asked)
        return forward(input_ids=input_ids, **asked)

    body.forward = other
    return module


def test_a_model_that_places_rows_by_the_longest_reads_one_length_at_a_time() -> None:
    """Positions that are counted from the slots are right only where all rows are of one length."""
    model = wrap(changed(tiny("gpt2"), lambda asked: asked.pop("position_ids", None)))
    assert model.state_way.startswith("keys and values, one length at a time")


def test_a_model_with_an_attention_of_its_own_has_the_prefix_copied() -> None:
    """GPT-J does not look into the registry of attentions; its numbers with a common prefix are found wrong, and not taken."""
    ways = [wrap(tiny(make)).state_way for make in ("gpt2", "gptj")]
    assert [way.split(", ")[-1] for way in ways] == ["one prefix for all", "prefix copied"]


def test_reading_leaves_the_models_own_attention_in_place() -> None:
    """The module that was given can be used as before."""
    module = tiny("llama")
    before = module.config._attn_implementation
    model = wrap(module)
    extend(model, model.start([1, 2]), [0], [3])
    assert module.config._attn_implementation == before


def test_a_long_prefix_costs_no_memory_per_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention over a common prefix reads its keys as they are; no tensor of rows × prefix × heads × size is made."""
    module = tiny("gpt2", n_positions=400)
    model = wrap(module)
    start = model.start([1] * 300)
    made: list[int] = []
    cat = torch.cat

    def watch(tensors: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        result = cat(tensors, *args, **kwargs)
        made.append(result.numel())
        return result

    monkeypatch.setattr(torch, "cat", watch)
    extend(model, start, [0] * 50, [1] * 50)
    assert max(made) <= 50 * 4 * 301  # scores: rows × heads × places


def test_a_model_that_is_wrong_beyond_its_window_is_read_again() -> None:
    """The trial fills the window: a mask that forgets it would show nothing on short texts."""

    def see_everything(asked: dict[str, Any]) -> None:
        if asked.get("past_key_values") is not None:
            asked["attention_mask"] = torch.zeros(1, 1, 1, 1)  # added to all scores

    model = wrap(changed(tiny("mistral/window-of-4"), see_everything))
    assert model.state_way.startswith("read again")
    assert wrap(tiny("mistral/window-of-4")).state_way.startswith("keys and values")


def test_a_model_that_ignores_its_memory_is_read_again() -> None:
    """Numbers that are not those of plain passes are never taken."""

    def forget(asked: dict[str, Any]) -> None:
        if asked.get("past_key_values") is not None:
            for layer in asked["past_key_values"].layers:
                if getattr(layer, "prefix", None) is not None:
                    layer.prefix = tuple(torch.zeros_like(t) for t in layer.prefix)

    model = wrap(changed(tiny("gpt2"), forget))
    assert model.state_way.startswith("read again from the first token")
    assert "did not give the numbers of plain passes" in model.state_way


def test_a_tiny_context_is_read_again() -> None:
    """There is no room to try anything."""
    model = wrap(tiny("llama", max_position_embeddings=4))
    assert model.state_way == "read again from the first token, since it reads 4 tokens at most"
    assert model.score([[1, 2, 3, 4]])[0] > 0


def test_running_out_of_memory_halves_the_rows_and_changes_no_number() -> None:
    """Score, step and price go on with what fits; later calls begin there."""
    module = tiny("gpt2")
    expected = wrap(module)
    start = expected.start([1, 2])
    rows, tokens = torch.zeros(20, dtype=torch.int64), torch.arange(20)
    log_p, _ = expected.step(start, rows, tokens)
    costs = expected.score([[i, i + 1, 3] for i in range(20)])
    model = wrap(module)
    body, widest = module.base_model.forward, []

    def narrow(input_ids: Any = None, **asked: Any) -> Any:
        if len(input_ids) > 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        widest.append(len(input_ids))
        return body(input_ids=input_ids, **asked)

    module.base_model.forward = narrow
    got, after = model.step(model.start([1, 2]), rows, tokens)
    assert torch.allclose(got, log_p, atol=1e-5)
    assert len(after) == 20
    assert model.score([[i, i + 1, 3] for i in range(20)]) == pytest.approx(costs, abs=1e-4)
    assert max(widest) <= 4
    count = len(widest)
    model.step(model.start([1, 2]), rows, tokens)
    assert len(widest) - count == 1 + 10  # the prefix, and two rows at a time


def test_a_single_text_that_does_not_fit_cannot_be_measured() -> None:
    """Exit 3, and no number."""
    module = tiny("gpt2")
    model = wrap(module)

    def fail(input_ids: Any = None, **asked: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    module.base_model.forward = fail
    with pytest.raises(CouldNotMeasure, match="out of memory with a single text"):
        model.score([[1, 2, 3]])


def test_log_probabilities_that_are_not_finite_are_refused() -> None:
    """NaN gives an error from every capability and already from wrapping, never a number."""
    module = tiny("gpt2")
    model = wrap(module)
    start = model.start([1, 2])
    with torch.no_grad():
        module.transformer.ln_f.weight[3] = math.nan
    one = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ModelError, match="not finite"):
        model.score([[0, 1, 0]])
    with pytest.raises(ModelError, match="not finite"):
        model.step(start, one, one)
    with pytest.raises(ModelError, match="not finite"):
        model.price(start, one, one, one, one)
    with pytest.raises(ModelError, match="not finite"):
        wrap(module)


def test_a_module_without_an_output_layer_is_refused() -> None:
    """The body alone predicts nothing."""
    with pytest.raises(ModelError, match="does not predict tokens"):
        wrap(tiny("gpt2").base_model)


def test_pad_tokens_in_a_text_print_no_warning(capfd: pytest.CaptureFixture[str]) -> None:
    """GPT-2 is often trained with one token for padding and for the end of a text; transformers suspects padding."""
    module = tiny("gpt2", pad_token_id=0)
    cost = wrap(module).score([[0, 1, 0]])[0]
    assert "attention_mask" not in capfd.readouterr().err
    assert cost == pytest.approx(naive_bits(module, [0, 1, 0]), abs=1e-3)
