"""Clipped per-record gradients, in every mode, for every family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from opacus.grad_sample import GradSampleModule
from torch import nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.training.private.checking import two_records
from tests.training import private_subjects as subjects
from tests.training.private_subjects import CAUSAL, PAIRS, build, private, records, some

FAMILIES = [*CAUSAL, *PAIRS]
#: Clips some of the records and spares others (asserted where it matters).
EXACT = 1e-5


def _batch(name: str, **fields: int) -> subjects.Batch:
    return records(pairs=name in PAIRS, **fields)


def _middle(gradients: list[dict[str, torch.Tensor]]) -> float:
    """A norm that clips about half of the records."""
    return sorted(map(subjects.norm, gradients))[len(gradients) // 2] * 0.99


@pytest.mark.parametrize("name", FAMILIES)
def test_book_keeping_equals_clipping_one_by_one(name: str) -> None:
    """One backward pass gives the sum of gradients that were made and clipped one at a time."""
    model, batch = build(name), _batch(name)
    separate = subjects.one_by_one(model, batch)
    clip = _middle(separate)
    update = private(model, gradients="book-keeping")
    sums, _ = update.mode_for(batch).clipped_sum(batch, clip)
    found = dict(zip(update.trained, sums, strict=True))
    expected = subjects.clipped_by_hand(separate, clip)
    assert subjects.relative_difference(found, expected) < EXACT


@pytest.mark.parametrize("name", ["gpt2, tied", "llama", "adapters", "lstm", "gru, tied", "marian"])
def test_hooks_equal_clipping_one_by_one(name: str) -> None:
    """Opacus' hooks, fed with positions for every record, give the same sum."""
    model, batch = build(name), _batch(name)
    separate = subjects.one_by_one(model, batch)
    clip = _middle(separate)
    update = private(model, gradients="hooks")
    sums, _ = update.mode_for(batch).clipped_sum(batch, clip)
    found = dict(zip(update.trained, sums, strict=True))
    assert subjects.relative_difference(found, subjects.clipped_by_hand(separate, clip)) < EXACT


@pytest.mark.parametrize("name", ["gpt2, untied", "llama", "lstm"])
def test_ghost_clipping_equals_clipping_one_by_one(name: str) -> None:
    """Opacus' two backward passes give the same sum."""
    model, batch = build(name), _batch(name)
    separate = subjects.one_by_one(model, batch)
    clip = _middle(separate)
    update = private(model, gradients="ghost")
    sums, _ = update.mode_for(batch).clipped_sum(batch, clip)
    found = dict(zip(update.trained, sums, strict=True))
    assert subjects.relative_difference(found, subjects.clipped_by_hand(separate, clip)) < EXACT


@pytest.mark.parametrize("places", [2, 40])
def test_both_ways_to_a_norm_are_exact(places: int) -> None:
    """Short records go by Gram matrices, long ones by the gradient itself."""
    torch.manual_seed(0)
    model = subjects.Small(nn.Linear(12, 12), tied=True).train()
    batch = records(count=4, places=places)
    separate = subjects.one_by_one(model, batch)
    clip = _middle(separate)
    update = private(model, gradients="book-keeping")
    sums, _ = update.mode_for(batch).clipped_sum(batch, clip)
    found = dict(zip(update.trained, sums, strict=True))
    assert subjects.relative_difference(found, subjects.clipped_by_hand(separate, clip)) < EXACT


@pytest.mark.parametrize("gradients", ["book-keeping", "hooks"])
@pytest.mark.parametrize("name", ["gpt2, tied", "lstm", "marian"])
def test_a_records_clipped_gradient_does_not_depend_on_its_neighbours(
    name: str, gradients: str
) -> None:
    """Other neighbours, more of them, longer ones: record 0 contributes the same."""
    model = build(name)
    mode = private(model, gradients=gradients).mode_for(_batch(name))
    few, others = _batch(name), _batch(name, seed=9)
    kept = {key: value.clone() for key, value in others.inputs.items()}
    for key, value in few.inputs.items():
        kept[key][0] = value[0]
    targets = others.targets.clone()
    targets[0] = few.targets[0]
    beside_others = replace(others, inputs=kept, targets=targets)
    clip = 0.1
    first = mode.record_gradients(few, clip)
    second = mode.record_gradients(some(beside_others, [0, 2, 4]), clip)
    one, other = ({n: g[0] for n, g in found.items()} for found in (first, second))
    assert subjects.norm(one) == pytest.approx(clip, rel=1e-4)
    assert subjects.relative_difference(one, other) < EXACT


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_the_usual_loss_of_a_batch_couples_records() -> None:
    """With the loss that transformers computes from labels, the same record weighs less beside longer neighbours."""
    model = build("gpt2, tied")
    hooked = GradSampleModule(model, loss_reduction="sum")
    batch = records(count=2)

    def norm_of_first(length: int) -> float:
        tokens = batch.inputs["input_ids"].clone()
        labels = tokens.clone()
        labels[1, length:] = -100
        positions = torch.arange(tokens.shape[1]).repeat(2, 1)
        hooked(input_ids=tokens, labels=labels, position_ids=positions).loss.backward()
        found = {n: p.grad_sample[0].clone() for n, p in model.named_parameters()}
        hooked.zero_grad(set_to_none=True)
        return subjects.norm(found)

    assert norm_of_first(2) > 1.3 * norm_of_first(9)


@pytest.mark.parametrize("name", ["gpt2, tied", "gru, tied"])
def test_no_record_exceeds_the_norm(name: str) -> None:
    """And those below it are left as they are."""
    model, batch = build(name), _batch(name)
    separate = [subjects.norm(gradient) for gradient in subjects.one_by_one(model, batch)]
    clip = sorted(separate)[2] * 0.99
    found = private(model, gradients="book-keeping").mode_for(batch).record_gradients(batch, clip)
    for row, before in enumerate(separate):
        after = subjects.norm({name: gradient[row] for name, gradient in found.items()})
        assert after == pytest.approx(min(before, clip), rel=1e-4)
    assert min(separate) < clip < max(separate)


def test_products_in_bfloat16_are_clipped_as_exactly() -> None:
    """The norm is that of the very gradient that is summed, so no record exceeds it, and the sum is near float32's."""
    model, batch, clip = build("gpt2, tied"), records(), 0.1
    exact = private(model, gradients="book-keeping").mode_for(batch).record_gradients(batch, clip)
    update = private(model, gradients="auto", precision="bfloat16")
    found = update.mode_for(batch).record_gradients(batch, clip)
    assert subjects.relative_difference(found, exact) < 0.1
    assert subjects.relative_difference(found, exact) > 1e-4
    for row in range(len(batch.targets)):
        assert subjects.norm({n: g[row] for n, g in found.items()}) <= clip * (1 + 1e-4)


def test_label_smoothing_belongs_to_the_record() -> None:
    """The smoothed loss is clipped; the nats reported are those without smoothing."""
    model, batch = build("gpt2, tied"), records()
    plain = private(model).mode_for(batch).clipped_sum(batch, 1e9)
    smooth = private(model, label_smoothing=0.3).mode_for(batch).clipped_sum(batch, 1e9)
    assert float(plain[1]) == pytest.approx(float(smooth[1]))
    assert not torch.allclose(plain[0][0], smooth[0][0])


def test_frozen_weights_are_left_alone() -> None:
    """Adapters are trained, and nothing else has a gradient or a hook."""
    model, batch = build("adapters"), records()
    update = private(model)
    update.step([batch])
    assert set(update.trained) and all("lora" in name for name in update.trained)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_what_has_no_rule_is_left_to_hooks_and_said() -> None:
    """A layer of the user's own goes through Opacus, and the record says which and why."""
    torch.manual_seed(0)
    model, batch = subjects.Small(subjects.Scale()).train(), records()
    separate = subjects.one_by_one(model, batch)
    update = private(model)
    sums, _ = update.mode_for(batch).clipped_sum(batch, 0.5)
    expected = subjects.clipped_by_hand(separate, 0.5)
    assert (
        subjects.relative_difference(dict(zip(update.trained, sums, strict=True)), expected) < EXACT
    )
    found = update.found()
    assert found["gradients"] == "hooks"
    assert "between (Scale: there is no rule for exp on it)" in found["gradients_why"]


def test_book_keeping_that_does_not_cover_a_layer_is_refused_by_name() -> None:
    """No other mode is taken behind the user's back."""
    update = private(subjects.Small(subjects.Scale()).train(), gradients="book-keeping")
    with pytest.raises(ModelError, match=r"between \(Scale\) cannot be trained privately"):
        update.step([records()])


def test_a_table_read_once_for_all_records_is_not_mistaken_for_records() -> None:
    """T5's position biases, in a batch with as many records as the source has tokens."""
    model, batch = build("t5"), _batch("t5", count=7)
    assert batch.inputs["input_ids"].shape == (7, 7)
    separate = subjects.one_by_one(model, batch)
    update = private(model, gradients="book-keeping")
    sums, _ = update.mode_for(batch).clipped_sum(batch, clip := _middle(separate))
    found = dict(zip(update.trained, sums, strict=True))
    expected = subjects.clipped_by_hand(separate, clip)
    assert subjects.relative_difference(found, expected) < EXACT
    name = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-6)
    assert bool(expected[name].any())


@pytest.mark.parametrize("between", [subjects.Positions, subjects.ShiftedScale])
def test_uses_that_no_module_of_torch_makes_are_seen(between: type[nn.Module]) -> None:
    """Positions without a dimension for records, and a scale of 1 + weight, are exact."""
    torch.manual_seed(0)
    model, batch = subjects.Small(between(), tied=True).train(), records()
    separate = subjects.one_by_one(model, batch)
    update = private(model, gradients="book-keeping")
    sums, _ = update.mode_for(batch).clipped_sum(batch, clip := _middle(separate))
    found = dict(zip(update.trained, sums, strict=True))
    assert subjects.relative_difference(found, subjects.clipped_by_hand(separate, clip)) < EXACT


def test_what_is_made_of_a_weight_is_watched_like_the_weight() -> None:
    """exp(1 + weight) has no rule, though 1 + weight has."""
    update = private(subjects.Small(subjects.ShiftedExponent()).train(), gradients="book-keeping")
    with pytest.raises(ModelError, match="no rule for exp"):
        update.step([records()])


def test_weights_used_behind_torchs_back_are_refused() -> None:
    """A function of the user's own that hands its gradient to autograd itself."""
    update = private(subjects.Small(subjects.Hidden()).train(), gradients="book-keeping")
    with pytest.raises(ModelError, match=r"between \(Hidden\)"):
        update.step([records()])


@pytest.mark.parametrize("gradients", ["auto", "hooks", "book-keeping", "ghost"])
def test_batch_normalization_is_refused(gradients: str) -> None:
    """It makes every record depend on all others."""
    update = private(subjects.Small(subjects.Norm()).train(), gradients=gradients)
    with pytest.raises(ModelError, match="BatchNorm1d"):
        update.step([records()])


@pytest.mark.parametrize("gradients", ["auto", "hooks", "book-keeping", "ghost"])
def test_records_that_are_coupled_without_any_parameter_are_refused(gradients: str) -> None:
    """The check against gradients computed alone sees what no list of layers can."""
    update = private(subjects.Small(subjects.Centred()).train(), gradients=gradients)
    with pytest.raises(ModelError, match="do not have the gradients that they have alone"):
        update.step([records()])


def test_a_refused_model_is_left_without_hooks() -> None:
    """It can be trained without privacy afterwards."""
    model = subjects.Small(subjects.Centred()).train()
    with pytest.raises(ModelError):
        private(model, gradients="hooks").step([records()])
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_ghost_clipping_refuses_tied_weights() -> None:
    """And says which mode does not."""
    update = private(build("gpt2, tied"), gradients="ghost")
    with pytest.raises(UsageError, match=r"lm_head\.weight, which is tied to .*book-keeping"):
        update.step([records()])


def test_gradient_checkpointing_is_refused() -> None:
    """It throws away what per-record gradients are made of."""
    with pytest.raises(UsageError, match="cannot checkpoint gradients"):
        private(build("gpt2, tied"), gradient_checkpointing=True)


@pytest.mark.parametrize("gradients", ["hooks", "ghost"])
def test_bfloat16_is_refused_where_opacus_would_mix_precisions(gradients: str) -> None:
    """Book-keeping is the way out."""
    with pytest.raises(UsageError, match="cannot use bfloat16"):
        private(build("gpt2, tied"), gradients=gradients, precision="bfloat16")


def test_a_record_alone_is_checked_beside_a_turned_copy_of_itself() -> None:
    """Two records are needed to see whether they are coupled."""
    pair = two_records(records(count=1))
    assert pair.targets.shape[0] == pair.inputs["input_ids"].shape[0] == 2
    assert not torch.equal(pair.targets[0], pair.targets[1])


def test_the_check_does_not_move_torchs_generator() -> None:
    """A resumed training checks again, and must go on with the same dropout."""
    torch.manual_seed(1)
    model = subjects.gpt2(dropout=0.3).train()
    before = torch.get_rng_state()
    private(model).mode_for(records())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in model.modules())
