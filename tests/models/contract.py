"""What every ``LanguageModel`` must do: one class of tests, inherited by the tests of each backend.

A subclass brings a ``model`` fixture. Everything else is derived from it: sequences are drawn from ``ids``, which a
subclass narrows where a backend cannot be asked about every id. Backends that tell no full distributions set ``distributions = False``.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from secretaudit.errors import ModelError, SecretauditError
from secretaudit.models.language_model import LanguageModel, State

LN2 = math.log(2.0)
NOBODY = torch.zeros(0, dtype=torch.int64)


class LanguageModelContract:
    """Inherit, and define the fixture ``model``."""

    #: Nats by which two ways to one log-probability may differ.
    tolerance = 2e-4
    #: Whether ``step`` gives the log-probabilities of all tokens.
    distributions = True
    #: Most tokens of the sequences that are drawn.
    longest = 9

    @pytest.fixture
    def model(self) -> LanguageModel:
        raise NotImplementedError("bring a fixture `model`")

    def ids(self, model: LanguageModel) -> list[int]:
        """Token ids that sequences may be made of."""
        return list(range(model.vocabulary_size))

    def draw(self, model: LanguageModel, length: int, seed: int = 0) -> list[int]:
        """A sequence of ids that is the same in each run."""
        rng = np.random.default_rng([seed, length])
        return [int(i) for i in rng.choice(self.ids(model), size=length)]

    def test_probabilities_of_the_next_token_sum_to_one(self, model: LanguageModel) -> None:
        """After any prefix the V log-probabilities are float32, finite and normalized."""
        rows = torch.zeros(3, dtype=torch.int64)
        tokens = torch.tensor(self.draw(model, 3))
        if not self.distributions:
            with pytest.raises(ModelError):
                model.step(model.start(self.draw(model, 2)), rows, tokens)
            return
        log_p, state = model.step(model.start(self.draw(model, 2)), rows, tokens)
        assert log_p.shape == (3, model.vocabulary_size)
        assert log_p.dtype == torch.float32
        assert bool(torch.isfinite(log_p).all())
        assert len(state) == 3
        assert log_p.double().exp().sum(1).tolist() == pytest.approx([1.0] * 3, abs=1e-4)

    @pytest.mark.parametrize("given", [1, 2, 4])
    def test_a_score_is_the_sum_over_next_tokens(self, model: LanguageModel, given: int) -> None:
        """What a sequence costs equals its tokens priced one by one, each once."""
        sequence = self.draw(model, self.longest)
        alone = walk(model, sequence, given)
        assert model.score([sequence], given)[0] == pytest.approx(alone, abs=self._bits(sequence))

    def test_scores_are_bits_of_each_sequence_in_order(self, model: LanguageModel) -> None:
        """Sequences of any lengths in one batch cost what each costs alone, whatever stands beside them."""
        lengths = [5, 2, self.longest, 3, 5]
        sequences = [self.draw(model, n, seed) for seed, n in enumerate(lengths)]
        together = model.score(sequences)
        assert together.dtype == np.float64
        assert together.shape == (5,)
        alone = [float(model.score([s])[0]) for s in sequences]
        assert together.tolist() == pytest.approx(alone, abs=self._bits(sequences[2]))
        assert model.score(sequences[::-1]).tolist() == pytest.approx(
            alone[::-1], abs=self._bits(sequences[2])
        )

    def test_given_tokens_are_not_charged(self, model: LanguageModel) -> None:
        """Scores from a later token on are differences of scores; where nothing follows the cost is 0."""
        sequence = self.draw(model, 6)
        whole, first = model.score([sequence])[0], model.score([sequence[:3]])[0]
        assert model.score([sequence], given=3)[0] == pytest.approx(
            whole - first, abs=self._bits(sequence)
        )
        assert model.score([sequence, sequence[:4]], given=6).tolist() == [0.0, 0.0]

    def test_no_sequences_cost_nothing(self, model: LanguageModel) -> None:
        """An empty request has an empty answer."""
        assert model.score([]).shape == (0,)

    def test_reading_the_prefix_at_once_or_one_by_one_is_the_same(
        self, model: LanguageModel
    ) -> None:
        """States that were handed on price as states that were computed from the beginning."""
        sequence, asked = self.draw(model, 6), self.draw(model, 4, seed=7)
        expected = prices(model, model.start(sequence[:5]), sequence[5], asked)
        for read_at_once in (1, 3):
            state = model.start(sequence[:read_at_once])
            for token in sequence[read_at_once:5]:
                state = extend(model, state, [0], [token])
            got = prices(model, state, sequence[5], asked)
            assert got == pytest.approx(expected, abs=self.tolerance)

    def test_a_text_can_be_started_with_nothing_read(self, model: LanguageModel) -> None:
        """The first token may be the first that the model reads."""
        sequence = self.draw(model, 4)
        state = model.start()
        assert len(state) == 1
        got = prices(model, state, sequence[0], [sequence[1]])[0]
        bits = model.score([sequence[:2]])[0]
        assert -got / LN2 == pytest.approx(bits, abs=self._bits(sequence))

    def test_a_price_is_the_gathered_distribution(self, model: LanguageModel) -> None:
        """Prices come in the order asked; rows repeat, rows without a question are read all the same."""
        state = extend(model, model.start(self.draw(model, 3)), [0, 0, 0], self.draw(model, 3, 1))
        rows, tokens = torch.tensor([2, 0, 0, 1]), torch.tensor(self.draw(model, 4, 2))
        parent, child = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor(self.draw(model, 6, 3))
        got, after = model.price(state, rows, tokens, parent, child)
        assert got.dtype == torch.float32
        assert len(after) == 4
        alone = [
            prices(model, state.select(rows[i : i + 1]), int(tokens[i]), [int(c)])[0]
            for i, c in zip(parent.tolist(), child, strict=True)
        ]
        assert got.tolist() == pytest.approx(alone, abs=self.tolerance)
        if self.distributions:
            log_p, _ = model.step(state, rows, tokens)
            assert got.tolist() == pytest.approx(
                log_p.cpu()[parent, child].tolist(), abs=self.tolerance
            )

    def test_rows_of_different_lengths_are_read_together(self, model: LanguageModel) -> None:
        """Joined states of short and long texts price each text as it is priced alone."""
        first = self.draw(model, 3)
        paths = [self.draw(model, n, seed=20 + n) for n in (4, 1, 3, 2)]
        state, alone = model.start(first), []
        joined: State | None = None
        for path in paths:
            row = state
            for token in path[:-1]:
                row = extend(model, row, [0], [token])
            alone.append(prices(model, row, path[-1], [first[0]])[0])
            joined = row if joined is None else joined.append(row)
        assert joined is not None
        assert len(joined) == 4
        last = torch.tensor([path[-1] for path in paths])
        every = torch.arange(4)
        asked = torch.full((4,), first[0])
        got, after = model.price(joined, every, last, every, asked)
        assert got.tolist() == pytest.approx(alone, abs=self.tolerance)
        for place, path in enumerate(paths):
            told = prices(model, after.select(torch.tensor([place])), first[1], [first[2]])[0]
            text = [*first, *path, first[1], first[2]]
            bits = model.score([text], given=len(text) - 1)[0]
            assert -told / LN2 == pytest.approx(bits, abs=self._bits(text))

    def test_rows_are_selected_in_the_order_asked(self, model: LanguageModel) -> None:
        """Selected rows may repeat and come in any order; appended rows follow; nothing else changes."""
        tokens = self.draw(model, 3, 4)
        state = extend(model, model.start(self.draw(model, 2)), [0, 0, 0], tokens)
        asked, last = self.draw(model, 1, 5), self.draw(model, 1, 6)[0]
        alone = [prices(model, state.select(torch.tensor([i])), last, asked)[0] for i in range(3)]
        chosen = state.select(torch.tensor([2, 0, 2]))
        both = chosen.append(state)
        assert [len(chosen), len(both), len(state)] == [3, 6, 3]
        every = torch.arange(6)
        got, _ = model.price(both, every, torch.full((6,), last), every, torch.full((6,), asked[0]))
        expected = [alone[i] for i in (2, 0, 2, 0, 1, 2)]
        assert got.tolist() == pytest.approx(expected, abs=self.tolerance)

    def test_the_parents_states_survive_a_step(self, model: LanguageModel) -> None:
        """A state can be extended again and again, and prices the same each time."""
        state = extend(model, model.start(self.draw(model, 2)), [0, 0], self.draw(model, 2, 1))
        token, asked = self.draw(model, 1, 2)[0], self.draw(model, 3, 3)
        before = prices(model, state, token, asked)
        extend(model, state, [1, 0, 1], self.draw(model, 3, 4))
        assert prices(model, state, token, asked) == pytest.approx(before, abs=self.tolerance)

    def test_nothing_to_read_is_no_rows(self, model: LanguageModel) -> None:
        """A step over no rows gives no rows."""
        state = extend(model, model.start(self.draw(model, 2)), [0], self.draw(model, 1, 1))
        got, after = model.price(state, NOBODY, NOBODY, NOBODY, NOBODY)
        assert got.shape == (0,)
        assert len(after) == 0

    def test_padding_is_known_by_length_and_not_by_token(self, model: LanguageModel) -> None:
        """A text whose tokens may equal the padding costs the same beside a longer one."""
        token = self.ids(model)[0]
        short, long = [token] * 3, self.draw(model, self.longest)
        alone = model.score([short])[0]
        assert model.score([short, long])[0] == pytest.approx(alone, abs=self._bits(long))

    def test_texts_longer_than_the_context_are_refused(self, model: LanguageModel) -> None:
        """No capability reads past the last place that the model knows."""
        if model.context is None:
            return
        if model.context > 4096:
            pytest.skip("too long a context to fill in a test")
        token = self.ids(model)[0]
        longest, beyond = [token] * model.context, [token] * (model.context + 1)
        assert math.isfinite(model.score([longest])[0])
        with pytest.raises(ModelError, match="too long"):
            model.score([beyond])
        with pytest.raises(ModelError, match="too long"):
            model.start(beyond)
        with pytest.raises(ModelError, match="too long"):
            extend(model, model.start(longest), [0], [token])

    def test_ids_that_the_model_lacks_are_refused(self, model: LanguageModel) -> None:
        """An id outside the vocabulary is an error and never another token."""
        known = self.ids(model)[0]
        for wrong in (-1, model.vocabulary_size):
            with pytest.raises(SecretauditError):
                model.score([[known, wrong, known]])

    def test_a_row_says_how_large_it_is(self, model: LanguageModel) -> None:
        """Memory is planned with sizes that do not shrink as more is read."""
        sizes = [model.row_bytes(n) for n in range(4)]
        assert sizes == sorted(sizes)
        assert sizes[0] >= 0

    def test_the_framing_fits_the_vocabulary(self, model: LanguageModel) -> None:
        """Tokens around a text are tokens of the model, and no token of a text lies outside."""
        around = [*model.framing.before, *model.framing.after]
        assert all(0 <= token < model.vocabulary_size for token in around)
        if model.tokenizer is not None:
            outside = model.tokenizer.token_bytes[model.vocabulary_size :]
            assert all(spelled is None for spelled in outside)

    def _bits(self, sequence: list[int]) -> float:
        """Allowed distance of two costs of a sequence."""
        return self.tolerance * len(sequence) / LN2


def extend(model: LanguageModel, state: State, rows: list[int], tokens: list[int]) -> State:
    """Read tokens after rows, and ask nothing."""
    return model.price(state, torch.tensor(rows), torch.tensor(tokens), NOBODY, NOBODY)[1]


def prices(model: LanguageModel, state: State, token: int, asked: list[int]) -> list[float]:
    """Read one token after row 0, and price some tokens after it."""
    found: Any
    found, _ = model.price(
        state,
        torch.zeros(1, dtype=torch.int64),
        torch.tensor([token]),
        torch.zeros(len(asked), dtype=torch.int64),
        torch.tensor(asked),
    )
    return [float(x) for x in found]


def walk(model: LanguageModel, sequence: list[int], given: int) -> float:
    """Bits of a sequence, its tokens priced one after the other."""
    state, nats = model.start(sequence[: given - 1]), 0.0
    for token, following in pairwise(sequence[given - 1 :]):
        found, state = model.price(
            state,
            torch.zeros(1, dtype=torch.int64),
            torch.tensor([token]),
            torch.zeros(1, dtype=torch.int64),
            torch.tensor([following]),
        )
        nats -= float(found[0])
    return nats / LN2
