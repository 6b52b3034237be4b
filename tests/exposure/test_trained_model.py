"""All estimators on a model that was really trained: a small character LSTM with canaries in its text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from secretaudit.canary.format import Format, parse_format
from secretaudit.exposure.audit import expose
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.estimators import Work, estimator
from secretaudit.extraction.audit import extract
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from tests.naive import TOLERANCE, all_secrets, ledger_of

FORM = parse_format("my pin is {digits:4}")
WORDS = [
    "the",
    "order",
    "was",
    "sent",
    "on",
    "monday",
    "please",
    "call",
    "me",
    "back",
    "about",
    "your",
    "ticket",
    "thank",
    "you",
]
#: Secret → copies in the training text.
INSERTED = {"4711": 40, "0815": 15, "2718": 5, "3141": 2}
STEPS, LANES, WINDOW = 300, 16, 32


@dataclass(frozen=True)
class Trained:
    """The model, and the cost of every secret by plain scoring, in the order of the space."""

    model: RecurrentLanguageModel
    costs: NDArray[np.float64]
    secrets: list[str]

    def ranks(self, secrets: Sequence[str], tolerance: float) -> NDArray[np.int64]:
        """Rank of each secret, by counting."""
        own = self.costs[[self.secrets.index(s) for s in secrets]]
        return np.array([(self.costs <= c + tolerance).sum() for c in own])

    def question(self, secrets: Sequence[str]) -> Question:
        tree = SecretTree(FORM, self.model)
        return Question(space=tree, secrets=list(secrets), costs=tree.score(list(secrets)))


def training_records(form: Format, rng: np.random.Generator) -> list[str]:
    """Lines of words, some with other numbers, and the canaries among them."""
    lines = [" ".join(rng.choice(WORDS, rng.integers(3, 7))) for _ in range(500)]
    lines += [f"order {n:04} was sent" for n in rng.integers(0, 10_000, 100)]
    lines += [form.render(s) for s, copies in INSERTED.items() for _ in range(copies)]
    return [lines[i] for i in rng.permutation(len(lines))]


@pytest.fixture(scope="module")
def trained() -> Iterator[Trained]:
    """An LSTM with one layer of 48 units after 300 steps of a plain loop."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    records = training_records(FORM, np.random.default_rng(0))
    tokenizer = build_tokenizer("char", records)
    view = FastTokenizerView(tokenizer)
    network = RecurrentForCausalLM(RecurrentConfig(vocab_size=len(tokenizer), layers=1, units=48))
    initialize(network, torch.Generator().manual_seed(1))
    stream = [view.separator]
    for ids in view.encode(records):
        stream += [*ids, view.separator]
    train_plainly(network, torch.tensor(stream))
    model = RecurrentLanguageModel(network, view, separator=view.separator)
    secrets = all_secrets(FORM)
    encoded = view.encode([FORM.render(s) for s in secrets])
    costs = model.score([[view.separator, *ids, view.separator] for ids in encoded])
    yield Trained(model, costs, secrets)
    torch.set_num_threads(threads)


def train_plainly(network: RecurrentForCausalLM, stream: torch.Tensor) -> None:
    """Adam over windows of the stream in parallel lanes, the state carried from window to window."""
    length = len(stream) // LANES
    lanes = stream[: length * LANES].view(LANES, length)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    state, place = None, 0
    for _ in range(STEPS):
        if place + WINDOW + 1 > length:
            state, place = None, 0
        window = lanes[:, place : place + WINDOW + 1]
        output = network(window[:, :-1], past_key_values=state)
        loss = functional.cross_entropy(output.logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        state = tuple(tensor.detach() for tensor in output.past_key_values)
        place += WINDOW


def canaries(trained: Trained) -> list[str]:
    """The inserted secrets, and secrets from the first rank to the last."""
    order = np.argsort(trained.costs, kind="stable")
    places = [0, 1, 3, 7, 20, 60, 150, 400, 1000, 2200, 4000, 6000, 8000, 9000, 9990, 9999]
    return list(dict.fromkeys([*INSERTED, *(trained.secrets[order[p]] for p in places)]))


def estimates(name: str, asked: Question, seed: int = 0, precision: float = 0.5) -> list[Estimate]:
    run, default = estimator(name)
    rng = np.random.default_rng(seed)
    work = Work(meter=default.meter(), rng=rng, progress=SilentProgress(), precision=precision)
    return run(asked, work)


def test_the_model_has_learned_its_canaries(trained: Trained) -> None:
    """Without this the tests below would test nothing: 40 copies rank first, 15 near the front."""
    ranks = trained.ranks(list(INSERTED), 0.0)
    assert ranks[0] == 1
    assert ranks[1] < 20


@pytest.mark.parametrize("name", ["enumeration", "exact"])
def test_exact_methods_count_what_plain_scoring_counts(trained: Trained, name: str) -> None:
    """For every canary; leaves within float32 noise of the tolerance may fall on either side."""
    secrets = canaries(trained)
    found = [e.rank for e in estimates(name, trained.question(secrets))]
    noise = 1e-4
    assert np.all(trained.ranks(secrets, TOLERANCE - noise) <= found)
    assert np.all(found <= trained.ranks(secrets, TOLERANCE + noise))


def test_the_exact_method_equals_enumeration(trained: Trained) -> None:
    """Ranks and ties of some fifty canaries, to the last one."""
    secrets = FORM.sample(30, np.random.default_rng(5)) + canaries(trained)
    asked = trained.question(list(dict.fromkeys(secrets)))
    counted, searched = (estimates(name, asked) for name in ("enumeration", "exact"))
    for one, other in zip(counted, searched, strict=True):
        assert (one.rank, one.rank_for, one.ties) == (other.rank, other.rank_for, other.ties)


@pytest.mark.parametrize("digits", [4, 5])
def test_intervals_of_importance_sampling_cover_the_truth(trained: Trained, digits: int) -> None:
    """95 % intervals hold the rank by counting in 90 to 99 % of 800 (canary, seed) pairs, from rank 1 to |R|."""
    form = parse_format(f"my pin is {{digits:{digits}}}")
    secrets = all_secrets(form)
    tree = SecretTree(form, trained.model)
    costs = tree.score(secrets)
    order = np.argsort(costs, kind="stable")
    places = np.unique(np.geomspace(1, form.size, 21).astype(int)) - 1
    places = sorted({*places.tolist(), *(form.size - 1 - places).tolist()})
    chosen = [secrets[order[place]] for place in places]
    asked = Question(space=tree, secrets=chosen, costs=tree.score(chosen))
    truth = [int((costs <= own + TOLERANCE).sum()) for own in asked.costs]
    covered = []
    for seed in range(22):
        found = estimates("importance", asked, seed)
        assert all(math.log2(one.rank_high / one.rank) <= 0.5 + 1e-9 for one in found)
        covered.append(
            [e.rank_low <= rank <= e.rank_high for e, rank in zip(found, truth, strict=True)]
        )
    assert np.size(covered) >= 800
    assert 0.90 <= np.mean(covered) <= 0.99
    assert np.mean(covered, axis=0).min() >= 0.75


def test_the_skew_normal_fit_is_no_measure_of_a_memorized_canary(trained: Trained) -> None:
    """Beside the exact exposure of the canary with 40 copies the fit is rejected, or off by more than a bit."""
    (exact,) = estimates("exact", trained.question(["4711"]))
    (fitted,) = estimates("extrapolation", trained.question(["4711"]))
    difference = fitted.to_dict()["exposure_bits"] - exact.to_dict()["exposure_bits"]
    assert exact.rank == 1
    assert fitted.status == "inconclusive" or abs(difference) > 1.0


def test_a_text_costs_the_same_whatever_stands_beside_it(trained: Trained) -> None:
    """Alone, in a batch of other lengths, after other texts, in another order: no state is carried over."""
    view = trained.model.tokenizer
    texts = [FORM.render(s) for s in INSERTED] + [
        "the order",
        "please call me back about your ticket",
    ]
    records = [trained.model.framing.record(ids) for ids in view.encode(texts)]
    alone = np.array([trained.model.score([record])[0] for record in records])
    assert np.allclose(trained.model.score(records), alone, atol=1e-4)
    assert np.allclose(trained.model.score(records[::-1])[::-1], alone, atol=1e-4)
    assert np.allclose([trained.model.score([record])[0] for record in records], alone, atol=1e-9)


def test_exposure_is_found_through_the_public_way(trained: Trained) -> None:
    """``expose`` on the trained model: the canaries in order, with the ranks by counting, and controls as the null."""
    controls = [s for s in FORM.sample(60, np.random.default_rng(8)) if s not in INSERTED]
    entries = [(FORM.name, s, n) for s, n in INSERTED.items()]
    record = expose(
        trained.model,
        canaries=ledger_of([FORM], [*entries, *((FORM.name, s, 0) for s in controls)]),
        budget=Budget(nodes=1_000_000),
    )
    rows = record.found["canaries"]
    noise = trained.ranks(list(INSERTED), TOLERANCE + 1e-4) - trained.ranks(
        list(INSERTED), TOLERANCE - 1e-4
    )
    off = np.array([row["rank"] for row in rows[:4]]) - trained.ranks(list(INSERTED), TOLERANCE)
    assert np.all(np.abs(off) <= noise)
    assert rows[0]["exposure_bits"] == pytest.approx(math.log2(10_000))
    null = record.found["controls"]
    assert abs(null["mean_exposure_bits"] - 1.4427) <= 4 * null["expected_standard_error_bits"]


def test_extraction_brings_out_what_exposure_predicts(trained: Trained) -> None:
    """Shortest path gives the first secrets of a sorted enumeration, the memorized one first."""
    found = extract(trained.model, format=FORM, top=10, reveal=True).found
    order = np.argsort(trained.costs, kind="stable")[:10]
    assert found["secrets"][0]["secret"] == "4711"
    costs = [row["log_perplexity_bits"] for row in found["secrets"]]
    assert np.allclose(costs, trained.costs[order], atol=1e-3)
    assert found["proven"] == 10
    assert found["queries"] < 10_000
