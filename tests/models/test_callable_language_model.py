"""The door for any callable: what it says is priced as it stands, and what is no distribution is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import secretaudit
from secretaudit.canary.format import Format
from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.models.callable.language_model import CallableLanguageModel
from secretaudit.models.callable.recurrent import RecurrentCallableLanguageModel
from secretaudit.models.language_model import Framing
from secretaudit.models.tokens.vocabulary_view import VocabularyView
from tests.naive import ledger_of

from .contract import LanguageModelContract

SIZE = 12
VIEW = VocabularyView([None, *"0123456789", " "])
TABLE = torch.log_softmax(torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1)), 1)
FRAMED = Framing(before=(0,), after=(0,))


class Reader(nn.Module):
    """A GRU over ids with dropout that only an evaluation mode switches off: (B, T) → (B, T, V)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.embed = nn.Embedding(SIZE, 8)
            self.rnn = nn.GRU(8, 8, batch_first=True)
            self.drop = nn.Dropout(0.5)
            self.head = nn.Linear(8, SIZE)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.rnn(self.embed(tokens))[0])) * 3


def last(tokens: torch.Tensor) -> torch.Tensor:
    """A bigram table."""
    return TABLE[tokens[:, -1]]


def of_all(tokens: torch.Tensor) -> np.ndarray:
    """What depends on every token that is shown: the sum of ids chooses the row."""
    return TABLE[tokens.cumsum(1) % SIZE].numpy()


def step(state: tuple[torch.Tensor, ...], tokens: torch.Tensor) -> tuple[Any, Any]:
    """The same model with a state of its own, as logits."""
    total = state[0] + tokens
    return 5.0 + TABLE[total % SIZE], (total,)


MAKES: dict[str, Callable[[], Any]] = {
    "one function": lambda: CallableLanguageModel(last, VIEW),
    "all places": lambda: CallableLanguageModel(of_all, VIEW, places="all", batch=2),
    "window": lambda: CallableLanguageModel(of_all, VIEW, places="all", window=3),
    "context": lambda: CallableLanguageModel(last, VIEW, context=10, framing=FRAMED),
    "module": lambda: CallableLanguageModel.from_module(Reader(), VIEW),
    "state": lambda: RecurrentCallableLanguageModel(
        step, [torch.zeros(1, dtype=torch.int64)], VIEW, gives="logits", batch=2
    ),
}


class TestCallables(LanguageModelContract):
    """The contract, whatever the callable returns."""

    @pytest.fixture(params=MAKES)
    def model(self, request: pytest.FixtureRequest) -> Any:
        return MAKES[request.param]()


def test_one_line_is_enough() -> None:
    """A function and an alphabet give an exposure: the rank among all secrets, counted by hand."""
    form = Format("pin", "my pin is {digits:3}")
    view = VocabularyView([*"0123456789 myisn", "p"])
    table = torch.log_softmax(torch.randn(17, 17, generator=torch.Generator().manual_seed(4)), 1)
    model = CallableLanguageModel(lambda tokens: table[tokens[:, -1]], view)
    found = secretaudit.expose(model, canaries=ledger_of([form], [("pin", "271", 1)])).found
    costs = {
        s: -(table[10, int(s[0])] + table[int(s[0]), int(s[1])] + table[int(s[1]), int(s[2])])
        for s in (f"{n:03}" for n in range(1000))
    }
    rank = sum(float(c) <= float(costs["271"]) + 1e-4 for c in costs.values())
    assert found["canaries"][0]["exposure_bits"] == pytest.approx(math.log2(1000 / rank))


@pytest.mark.parametrize("places", ["last", "all"])
def test_a_window_is_all_that_the_function_sees(places: str) -> None:
    """Longer prefixes are cut on the left, in steps and in scores alike."""
    seen: list[int] = []

    def function(tokens: torch.Tensor) -> Any:
        seen.append(tokens.shape[1])
        return of_all(tokens) if places == "all" else of_all(tokens)[:, -1]

    model = CallableLanguageModel(function, VIEW, places=places, window=3)
    sequence = [4, 1, 7, 9, 2, 5]
    prefixes = [sequence[max(0, n - 3) : n] for n in range(1, 6)]
    expected = -sum(
        float(TABLE[sum(p) % SIZE, t]) for p, t in zip(prefixes, sequence[1:], strict=True)
    )
    assert model.score([sequence])[0] == pytest.approx(expected / math.log(2.0), abs=1e-4)
    assert max(seen) == 3


def test_the_function_sees_prefixes_of_one_length_and_each_once() -> None:
    """No padding, no more rows than were allowed, and equal prefixes of a score are not computed again."""
    calls: list[torch.Tensor] = []

    def function(tokens: torch.Tensor) -> torch.Tensor:
        calls.append(tokens.clone())
        tokens.fill_(-5)  # what a careless function does to its input stays its own affair
        return TABLE[calls[-1][:, -1]]

    model = CallableLanguageModel(function, VIEW, batch=4)
    model.score([[1, 2, 3], [1, 2, 4], [1, 5, 6], [7, 8]])
    assert sorted(call.tolist() for call in calls) == [[[1]], [[1, 2], [1, 5]], [[7]]]
    calls.clear()
    state = model.start([1])
    state = model.step(state, torch.zeros(6, dtype=torch.int64), torch.arange(6))[1]
    model.step(state, torch.arange(6), torch.full((6,), 9))
    assert [tuple(call.shape) for call in calls] == [(4, 2), (2, 2), (4, 3), (2, 3)]


def test_a_module_is_put_into_evaluation_mode() -> None:
    """Dropout is off, no gradient is kept, and the scores are those of the module's own log-softmax."""
    module = Reader().train()
    model = CallableLanguageModel.from_module(module, VIEW, framing=FRAMED)
    tokens = [0, 3, 4, 9, 0]
    log_p = module.eval()(torch.tensor([tokens])).log_softmax(-1)[0]
    expected = -sum(float(log_p[i, tokens[i + 1]].detach()) for i in range(4)) / math.log(2.0)
    assert model.score([tokens])[0] == pytest.approx(expected, abs=1e-4)
    assert model.name == "Reader"
    assert not module.training


def test_a_module_that_sees_the_future_is_not_measured() -> None:
    """Where the whole text at once and its prefixes disagree, no exposure is shown."""

    def function(tokens: torch.Tensor) -> torch.Tensor:
        return TABLE[tokens.sum(1, keepdim=True).expand_as(tokens) % SIZE]

    model = CallableLanguageModel(function, VIEW, places="all", framing=FRAMED)
    form = Format("pin", "12{digits:2}")
    with pytest.raises(CouldNotMeasure, match="differ by"):
        secretaudit.expose(model, canaries=ledger_of([form], [("pin", "04", 1)]))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda n: TABLE[:1].exp().expand(n, -1), "returned probabilities in place"),
        (lambda n: (TABLE[:1] / math.log(2.0)).expand(n, -1), "logarithms to base 2"),
        (lambda n: (TABLE[:1] / math.log(10.0)).expand(n, -1), "logarithms to base 10"),
        (lambda n: 3.0 * TABLE[:1].expand(n, -1), 'such as logits.*Say gives="logits"'),
        (lambda n: torch.full((n, SIZE), math.nan), "not finite"),
        (lambda n: TABLE[:1, :5].expand(n, -1), r"shape \(1, 5\).*12 token ids .* predicts 5"),
        (
            lambda n: TABLE[None, :n].expand(n, -1, -1),
            'distributions after every token.*places="all"',
        ),
        (lambda n: TABLE[0], r"shape \(12,\) in place of \(1, 12\)"),
        (lambda n: torch.zeros((n, SIZE), dtype=torch.int64), "returned int64 values"),
        (lambda n: (TABLE[:n], None), "returned tuple and no array"),
    ],
)
def test_what_is_no_distribution_is_refused(returned: Any, message: str) -> None:
    """Each usual mistake is named, in steps and in scores, before a number is made of it."""
    model = CallableLanguageModel(lambda tokens: returned(len(tokens)), VIEW)
    with pytest.raises(ModelError, match=message):
        model.score([[1, 2]])
    with pytest.raises(ModelError, match=message):
        model.step(model.start(), torch.tensor([0]), torch.tensor([3]))


def test_impossible_tokens_have_probability_zero_and_no_cost() -> None:
    """A model may exclude tokens; a canary that needs one is refused and not ranked."""
    table = TABLE.clone()
    table[:, 1] = -math.inf
    table = torch.log_softmax(table, 1)
    model = CallableLanguageModel(lambda tokens: table[tokens[:, -1]], VIEW, framing=FRAMED)
    assert model.score([[0, 3, 1]])[0] == math.inf
    with pytest.raises(ModelError, match="not finite"):
        secretaudit.expose(
            model, canaries=ledger_of([Format("pin", "12{digits:2}")], [("pin", "04", 1)])
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gives": "scores"}, "gives must be 'log-probabilities' or 'logits', got 'scores'"),
        ({"places": "first"}, "places must be 'last' or 'all', got 'first'"),
        ({"window": 0}, "window must be a positive number, got 0"),
        ({"batch": 0}, "batch must be a positive number, got 0"),
    ],
)
def test_contradictory_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    """A wrong word or number is named with what is known."""
    with pytest.raises(ModelError, match=message):
        CallableLanguageModel(last, VIEW, **options)


def test_a_state_that_changes_its_shape_is_refused() -> None:
    """A function that loses rows of its state is found out at once."""

    def function(state: Any, tokens: torch.Tensor) -> Any:
        return TABLE[tokens], (state[0][:1].sum(),)

    model = RecurrentCallableLanguageModel(function, [torch.zeros(1, 3)], VIEW)
    with pytest.raises(ModelError, match="state of another shape"):
        model.score([[1, 2]])
    with pytest.raises(ModelError, match="tensors of one row each"):
        RecurrentCallableLanguageModel(function, [torch.zeros(3)], VIEW)


def test_a_list_of_characters_or_words_is_a_tokenizer() -> None:
    """Ids are places in the list; words are read with a space before each."""
    view = VocabularyView(["<pad>", "the", "cat"], kind="words")
    assert view.encode(["the cat the"]) == [[1, 2, 1]]
    assert b"".join(view.token_bytes[i] or b"" for i in (1, 2)) == b" the cat"
    assert (view.lead, view.unambiguous, len(view)) == (b" ", True, 3)
    assert VIEW.encode(["01 9", ""]) == [[1, 2, 11, 10], []]
    assert VocabularyView([None, "a"], unknown=0).encode_corpus(["ab"]) == [[1, 0]]
    assert VocabularyView([None, "a"]).encode_corpus(["a"]) == [[1]]


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        (["ab"], {}, "Entry 0 of the vocabulary cannot be read as one of its characters"),
        (
            ["a b"],
            {"kind": "words"},
            "Entry 0 of the vocabulary cannot be read as one of its words",
        ),
        (["a", "b", "a"], {}, "'a' stands twice .*ids 0 and 2"),
        (["a"], {"kind": "pieces"}, "vocabulary of 'pieces' is not known"),
        (["a"], {"unknown": 1}, "id 1 for unknown characters is not in the vocabulary"),
    ],
)
def test_lists_that_are_no_vocabulary_are_refused(
    tokens: list[str], options: dict[str, Any], message: str
) -> None:
    """What could be read in two ways, or not at all, is an error."""
    with pytest.raises(ModelError, match=message):
        VocabularyView(tokens, **options)


def test_what_the_vocabulary_lacks_is_refused() -> None:
    """A character is named; a word, which may be a secret, is not."""
    with pytest.raises(ModelError, match=r"no token for the character 'x'"):
        VIEW.encode(["1x"])
    with pytest.raises(ModelError, match="no token for one of a text's words") as refusal:
        VocabularyView(["the"], kind="words").encode(["the hunter2"])
    assert "hunter2" not in str(refusal.value)
