"""Depth first, cheapest first and draws all see the same weighted tree."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import Format, parse_format
from secretaudit.errors import CouldNotMeasure, ModelError, UsageError
from secretaudit.tree import Budget, Memory, SecretTree
from secretaudit.tree.best_first import BestFirst
from secretaudit.tree.draws import draw_leaves, follow_paths
from secretaudit.tree.walk import depth_first
from tests.fakes import CharacterView, HistoryModel

ALPHABET = "abcdefghijklmnopqrstuvwxyz 0123456789.-"
TEMPERATURES = (1.0, 2.0, np.inf)


def tree_of(template: str, *, seed: int = 0, memory: Memory | None = None) -> SecretTree:
    model = HistoryModel(CharacterView(ALPHABET), seed=seed)
    return SecretTree(parse_format(template), model, memory=memory)


def naive_costs(tree: SecretTree) -> np.ndarray:
    """Cost of every secret, one by one, in plain Python."""
    form: Format = tree.form
    texts = [form.render(s) for s in form.automaton.unrank_many(np.arange(form.size))]
    return np.array([tree.model.cost([0, *ids, 0]) for ids in tree.model.tokenizer.encode(texts)])  # type: ignore[attr-defined]


def leaf_costs(tree: SecretTree, limit: float) -> tuple[np.ndarray, int, int]:
    meter = Budget().meter()
    costs, dearer = [], 0
    for visit in depth_first(tree, limit, meter):
        costs.append(visit.leaf_costs)
        dearer += visit.dearer
    return np.sort(np.concatenate(costs)), dearer, meter.nodes


@settings(max_examples=20)
@given(seed=st.integers(0, 50), digits=st.integers(1, 3), dash=st.booleans())
def test_leaves_cost_what_plain_scoring_says(seed: int, digits: int, dash: bool) -> None:
    """A walk over everything finds every secret at the sum of its own −log2 p, text and separator included."""
    tree = tree_of(f"a{{digits:{digits}}}" + ("-{digits:1}z" if dash else ""), seed=seed)
    costs, dearer, _ = leaf_costs(tree, math.inf)
    assert dearer == 0
    assert np.allclose(costs, np.sort(naive_costs(tree)), atol=1e-4)


@settings(max_examples=20)
@given(seed=st.integers(0, 30), quantile=st.floats(0, 1))
def test_a_bounded_walk_sees_all_that_is_cheap_and_counts_the_rest(
    seed: int, quantile: float
) -> None:
    """Leaves within the limit and leaves cut off add up to |R|, and none is on the wrong side."""
    tree = tree_of("x{digits:3}", seed=seed)
    truth = naive_costs(tree)
    limit = float(np.quantile(truth, quantile)) + 1e-4
    costs, dearer, _ = leaf_costs(tree, limit)
    assert len(costs) + dearer == tree.form.size
    assert len(costs) == int((truth <= limit).sum())


def test_a_small_memory_changes_the_batches_and_not_the_result() -> None:
    """One node at a time or two thousand: same leaves."""
    wide = tree_of("x{digits:3}")
    small = tree_of("x{digits:3}", memory=Memory(4_000))
    assert small.batch < 4 < wide.batch
    assert np.allclose(leaf_costs(small, math.inf)[0], leaf_costs(wide, math.inf)[0])


def test_a_memory_without_room_for_one_node_is_refused() -> None:
    """The refusal names the option."""
    with pytest.raises(CouldNotMeasure) as refused:
        tree_of("x{digits:3}", memory=Memory(100))
    assert "--memory" in refused.value.way_out


@settings(max_examples=20)
@given(seed=st.integers(0, 30), batch=st.integers(1, 64), wanted=st.integers(1, 40))
def test_cheapest_first_gives_leaves_in_order_whatever_the_batch(
    seed: int, batch: int, wanted: int
) -> None:
    """The k cheapest secrets come out, in order, each proven: the same as sorting all of them."""
    tree = tree_of("x{digits:3}", seed=seed)
    walk = BestFirst(tree, Budget().meter(), wanted=wanted, batch=batch)
    found = list(walk.leaves())
    truth = naive_costs(tree)
    order = np.argsort(truth, kind="stable")[:wanted]
    assert np.allclose([leaf.cost for leaf in found], truth[order], atol=1e-4)
    secrets = [int(tree.secret(leaf.tokens)) for leaf in found]
    assert np.allclose(truth[secrets], truth[order], atol=1e-4)


def test_cheapest_first_with_dropped_states_reads_them_again() -> None:
    """With room for a handful of model states only, the order is the same and more nodes are read."""
    roomy, tight = tree_of("x{digits:3}"), tree_of("x{digits:3}")
    tight.memory = Memory(400_000)
    tight.model.row_bytes = lambda tokens: 10_000  # type: ignore[method-assign]  # ten rows, and all the nodes
    tight.batch = 2
    meters = [Budget().meter(), Budget().meter()]
    found = [
        [leaf.cost for leaf in BestFirst(tree, meter, wanted=50, batch=2).leaves()]
        for tree, meter in zip((roomy, tight), meters, strict=True)
    ]
    assert np.allclose(found[0], found[1], atol=1e-4)
    assert meters[1].nodes > meters[0].nodes


def test_cheapest_first_without_budget_gives_a_valid_bound() -> None:
    """Nothing that was not given out is cheaper than the bound; unproven leaves are named as such."""
    tree = tree_of("x{digits:4}")
    truth = np.sort(naive_costs(tree))
    for nodes in (5, 50, 500, 2000):
        walk = BestFirst(tree, Budget(nodes=nodes).meter(), wanted=10, batch=8)
        given_out = [leaf.cost for leaf in walk.leaves()]
        assert np.allclose(given_out, truth[: len(given_out)], atol=1e-4)
        assert walk.bound <= truth[len(given_out)] + 1e-4
        assert all(leaf.cost >= walk.bound - 1e-9 for leaf in walk.unproven())


def test_cheapest_first_that_forgets_nodes_proves_no_more_than_it_knows() -> None:
    """Out of room, the walk gives out a right beginning and a bound below all that is missing."""
    tree = tree_of("x{digits:4}")
    truth = np.sort(naive_costs(tree))
    tree.memory = Memory(4 * 48 * 400)
    tree.batch = 16
    walk = BestFirst(tree, Budget().meter(), wanted=500, batch=16)
    given_out = [leaf.cost for leaf in walk.leaves()]
    assert walk.out_of_memory and 0 < len(given_out) < 500
    assert np.allclose(given_out, truth[: len(given_out)], atol=1e-4)
    assert walk.bound <= truth[len(given_out)] + 1e-4


def test_infinite_temperature_draws_uniformly() -> None:
    """Each of 200 secrets, unequal lengths included, is drawn as often as the others (chi-square, 1 %)."""
    tree = tree_of("x{digits:1-2}")
    size = tree.form.size
    rng = np.random.default_rng(5)
    trunk = tree.root(Budget().meter())
    draws = draw_leaves(tree, trunk, (np.inf,), 200 * size, rng, Budget().meter())
    assert np.allclose(draws.log2_q, -math.log2(size))
    _, counts = np.unique(draws.path_token, axis=0, return_counts=True)
    assert len(counts) == size
    chi_square = float(((counts - 200) ** 2 / 200).sum())
    assert chi_square < size + 2.6 * math.sqrt(2 * size)


def test_proposals_are_distributions_over_the_leaves() -> None:
    """Over all leaves, the mixture's probabilities add up to one, and draws follow them."""
    tree = tree_of("x{digits:2}")
    trunk = tree.root(Budget().meter())
    paths = tree.paths(["".join(p) for p in itertools.product("0123456789", repeat=2)])
    leaves = follow_paths(tree, trunk, paths, TEMPERATURES, Budget().meter())
    q = np.exp2(leaves.log2_q)
    assert math.isclose(q.sum(), 1.0, rel_tol=1e-9)
    n = 60_000
    draws = draw_leaves(
        tree, trunk, TEMPERATURES, n // 3, np.random.default_rng(1), Budget().meter()
    )
    number = {tuple(row): i for i, row in enumerate(leaves.path_token.tolist())}
    drawn = np.bincount([number[tuple(r)] for r in draws.path_token.tolist()], minlength=100)
    assert float(((drawn - n * q) ** 2 / (n * q)).sum()) < 100 + 4 * math.sqrt(200)
    assert np.allclose(
        draws.log2_q, leaves.log2_q[[number[tuple(r)] for r in draws.path_token.tolist()]]
    )


def test_draws_predict_the_size_of_a_bounded_walk() -> None:
    """Knuth's estimate of the nodes within a limit agrees with a walk that counts them."""
    tree = tree_of("x{digits:4}", seed=3)
    limit = float(np.quantile(naive_costs(tree), 0.05))
    trunk = tree.root(Budget().meter())
    draws = draw_leaves(
        tree, trunk, TEMPERATURES, 4_000, np.random.default_rng(2), Budget().meter()
    )
    within = draws.path_cost <= limit
    estimate = np.exp2(-draws.path_log2_q[within]).sum() / len(draws)
    leaves, _, nodes = leaf_costs(tree, limit)
    visited = nodes - 1 + len(leaves)  # a walk does not read leaves, draws pass them
    assert abs(estimate / visited - 1) < 0.1


def test_the_same_seed_draws_the_same_leaves_whatever_the_memory() -> None:
    """Randomness is used per draw and level, never per batch."""
    found = []
    for memory in (Memory(), Memory(200_000)):
        tree = tree_of("x{digits:4}", memory=memory)
        trunk = tree.root(Budget().meter())
        rng = np.random.default_rng(7)
        found.append(draw_leaves(tree, trunk, TEMPERATURES, 300, rng, Budget().meter()))
    assert np.array_equal(found[0].path_token, found[1].path_token)


def test_a_model_with_nan_is_refused() -> None:
    """One NaN in a table of probabilities stops the walk; it would poison every comparison."""
    tree = tree_of("x{digits:2}")
    tree.model.table[:] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="not finite"):
        leaf_costs(tree, math.inf)
    with pytest.raises(ModelError, match="not finite"):
        tree.score(["12"])


@pytest.mark.parametrize("text", ["0", "-5s", "soon", "0s", "1.5"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    """Zero, negative and unreadable budgets are usage errors with the way out."""
    with pytest.raises(UsageError):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["0GiB", "much", "-1MB", "2 GiBs"])
def test_a_memory_limit_that_is_none_is_refused(text: str) -> None:
    """The same for memory."""
    with pytest.raises(UsageError, match="cannot be read"):
        Memory.parse(text)


def test_a_part_of_a_budget_spends_the_whole() -> None:
    """A part ends with its own limit or with that of the whole, whichever comes first."""
    whole = Budget(nodes=10).meter()
    part = whole.part(4)
    part.spend(4)
    assert part.spent and not whole.spent and whole.nodes == 4
    other = whole.part(100)
    other.spend(6)
    assert other.spent and whole.spent
