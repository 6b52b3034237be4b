"""What is read off single records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from secretaudit.errors import CorpusError, UsageError
from secretaudit.models.loading import load_model
from secretaudit.suite.language.record_slopes import gradients_of_rows, gradients_one_by_one
from secretaudit.suite.language.records import (
    Records,
    hidden_states,
    open_records,
    record_gradients,
    record_nats,
)
from tests.suite.language_models import small_model, small_task

FAMILIES: dict[str, dict[str, Any]] = {
    "lstm": {"arch": "lstm", "dropout": 0.3},
    "tied gru of two layers": {"arch": "gru", "layers": 2, "tied": True, "dropout": 0.3},
    "tied transformer": {"arch": "transformer", "tied": True, "sequence_length": 48},
    "transformer": {"arch": "transformer", "dropout": 0.3, "sequence_length": 48},
    "convolution": {"arch": "convolution"},
}
LINES = small_task().held_out[:6]


@pytest.fixture(scope="module", params=list(FAMILIES))
def records(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Six held-out lines under a model of each family."""
    place = tmp_path_factory.mktemp("family")
    return open_records(small_model(place, **FAMILIES[request.param]).directory, LINES)


def test_losses_are_those_of_the_audit(
    records: Records, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The model that ``expose`` asks gives the same bits, record by record."""
    assert len(records) == 6
    found = record_nats(records)
    direct = _naive_nats(records)
    np.testing.assert_allclose(found.totals, direct, rtol=1e-5)
    assert found.nats_per_token == pytest.approx(
        direct.sum() / sum(len(line) + 1 for line in LINES), rel=1e-5
    )
    assert found.counted.sum(1).tolist() == [len(line) + 1 for line in LINES]


def test_padding_changes_nothing(records: Records) -> None:
    """A record alone gives what it gives beside longer ones: losses, states and gradients."""
    shortest = int(records.lengths.argmin())
    alone = records.rows([shortest])
    width = int(alone.lengths[0])
    together, single = record_nats(records), record_nats(alone)
    np.testing.assert_allclose(together.nats[shortest], single.nats[0], atol=1e-5)
    states, one = hidden_states(records), hidden_states(alone)
    np.testing.assert_allclose(states.states[states.record == shortest], one.states, atol=1e-5)
    torch.testing.assert_close(
        record_gradients(records)[shortest], record_gradients(alone)[0], atol=1e-5, rtol=1e-4
    )
    assert width < records.tokens.shape[1]


def test_gradients_are_those_of_a_loop(records: Records) -> None:
    """One backward pass for each record gives the same, to 1e-5."""
    expected = []
    for row in range(len(records)):
        records.module.zero_grad()
        tokens = records.tokens[row : row + 1, : int(records.lengths[row])]
        logits = records.module(input_ids=tokens[:, :-1], use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, tokens[0, 1:])
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        expected.append(
            torch.cat([p.grad.flatten() for p in records.module.parameters() if p.grad is not None])
        )
    found = record_gradients(records)
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-4)
    records.module.zero_grad()
    assert float(found.abs().max()) > 0.01


def test_chunks_and_reductions_change_no_number(records: Records) -> None:
    """A projection chunk by chunk is the projection of the whole."""
    whole = record_gradients(records)
    matrix = torch.randn(whole.shape[1], 3, generator=torch.Generator().manual_seed(0))
    found = record_gradients(records, lambda part: part @ matrix, chunk=4)
    torch.testing.assert_close(found, whole @ matrix, atol=1e-4, rtol=1e-3)


def test_gradients_of_named_parameters_are_columns_of_the_whole(records: Records) -> None:
    """The embedding stands first in each of these models."""
    first, parameter = next(iter(records.module.named_parameters()))
    found = record_gradients(records, names=[first])
    torch.testing.assert_close(
        found, record_gradients(records)[:, : parameter.numel()], atol=1e-6, rtol=1e-4
    )


def test_hidden_states_are_what_the_output_layer_reads(records: Records) -> None:
    """The output layer makes of them the logits of the model, hence its losses."""
    found = hidden_states(records)
    logits = records.module.get_output_embeddings()(torch.from_numpy(found.states))
    nats = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(found.next_tokens), reduction="none"
    )
    losses = record_nats(records)
    np.testing.assert_allclose(nats.detach().numpy(), losses.nats[losses.counted], atol=1e-5)
    assert found.states.dtype == np.float32
    assert (found.predicted == found.next_tokens).mean() == pytest.approx(losses.accuracy)
    np.testing.assert_array_equal(
        losses.nats[found.record, found.place], losses.nats[losses.counted]
    )


def test_a_layer_by_name(records: Records) -> None:
    """The output layer's own output is the logits; a missing layer is refused with the names that there are."""
    head = next(
        name
        for name, part in records.module.named_modules()
        if part is records.module.get_output_embeddings()
    )
    assert hidden_states(records, head).states.shape[1] == records.vocabulary_size
    first = next(name for name, _ in records.module.named_modules() if name)
    with pytest.raises(UsageError, match=rf"no layer 'nothing'.*{first}"):
        hidden_states(records, "nothing")


def test_the_mode_and_the_gradients_of_the_model_stay(records: Records) -> None:
    """Looking leaves no trace."""
    record_gradients(records)
    assert not records.module.training
    assert all(p.grad is None for p in records.module.parameters())


def test_models_that_cannot_be_mapped_are_differentiated_one_by_one(records: Records) -> None:
    """The way out gives the same."""
    names = [name for name, _ in records.module.named_parameters()]
    torch.testing.assert_close(
        gradients_one_by_one(records.module, records.tokens, records.counted, names),
        gradients_of_rows(records.module, records.tokens, records.counted, names),
        atol=1e-5,
        rtol=1e-4,
    )


def test_totals_are_the_bits_of_the_audited_model(tmp_path: Path) -> None:
    """By way of ``load_model(…).score``, which shares no code with the above."""
    directory = small_model(tmp_path, arch="transformer").directory
    records, model = open_records(directory, LINES), load_model(directory)
    sequences = [
        records.tokens[i, : int(n)].tolist() for i, n in enumerate(records.lengths.tolist())
    ]
    bits = model.score(sequences, records.framing.given)  # type: ignore[union-attr]  # a causal model
    np.testing.assert_allclose(record_nats(records).totals / np.log(2), bits, rtol=1e-5)


def test_lines_longer_than_the_context_are_cut_and_counted(tmp_path: Path) -> None:
    """The model reads 21 tokens at most."""
    trained = small_model(tmp_path, arch="transformer", sequence_length=20)
    records = open_records(trained.directory, [LINES[0], "a" * 50])
    assert records.cut == 1 + (len(LINES[0]) + 2 > 21)
    assert int(records.lengths[1]) == 21


def test_no_lines_and_empty_lines_are_refused(tmp_path: Path) -> None:
    """A record needs a token to predict; one that closes itself has that one."""
    directory = small_model(tmp_path).directory
    with pytest.raises(CorpusError, match="There are no lines"):
        open_records(directory, [])
    assert record_nats(open_records(directory, ["a", ""])).counted.sum(1).tolist() == [2, 1]


def _naive_nats(records: Records) -> NDArray[np.float64]:
    """Each record by itself, token by token."""
    totals = []
    for tokens, length in zip(records.tokens, records.lengths.tolist(), strict=True):
        total = 0.0
        for end in range(records.framing.given, length):
            with torch.no_grad():
                logits = records.module(input_ids=tokens[None, :end], use_cache=False).logits
            total -= float(torch.log_softmax(logits[0, -1].double(), 0)[tokens[end]])
        totals.append(total)
    return np.array(totals)
