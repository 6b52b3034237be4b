"""Draw secrets from the tree by its own probabilities, at several temperatures at once.

At a node with allowed children c (probability p_c, leaves below N_c) the proposal of temperature t chooses

    q_t(c) ∝ p_c^(1/t)        1 ≤ t < ∞
    q_∞(c) = N_c / Σ N        so that whole leaves are drawn exactly uniformly from R

and the probability of a leaf is the product along its path. Draws that stand on the same node share its model step, so the
cheap part of the tree is read once however often it is drawn.

Because every draw knows the probability that *each* proposal had of drawing it, a mixture can be weighted by the
balance heuristic (Veach and Guibas 1995): w = 1 / mean_k q_k(leaf), which keeps all estimates unbiased and no weight above
K·min_k 1/q_k(leaf).

The same draws tell how many nodes a bounded search would visit (Knuth 1975, "Estimating the efficiency of backtrack
programs"): a node is reached with probability mean_k q_k(node), so Σ over the nodes of a drawn path of 1[cost ≤ L] / mean_k q_k(node)
has the number of nodes with cost ≤ L as its mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure
from secretaudit.tree.budget import Meter
from secretaudit.tree.secret_tree import Children, Frontier, SecretTree, join


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """n drawn leaves.

    Attributes:
        cost: float64 (n,): log-perplexity of each leaf in bits.
        log2_q: float64 (n,): log2 of the probability that the mixture has of drawing it.
        stratum: int64 (n,): which proposal drew it.
        path_cost: float64 (n, depth): cost of the node on each level of the path, NaN below its leaf.
        path_log2_q: float64 (n, depth): log2 of the mixture's probability of reaching that node.
        path_token: int64 (n, depth): the tokens after the trunk, −1 below the leaf.
    """

    cost: NDArray[np.float64]
    log2_q: NDArray[np.float64]
    stratum: NDArray[np.int64]
    path_cost: NDArray[np.float64]
    path_log2_q: NDArray[np.float64]
    path_token: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cost)


@dataclass
class _Level:
    """The distinct nodes that draws stand on, and who stands where."""

    nodes: Frontier
    #: float64 (N, K): log2 probability that each proposal has of reaching the node.
    log2_q: NDArray[np.float64]
    #: int64 (n',): node of each draw that is still on its way.
    at: NDArray[np.int64]
    #: int64 (n',): number of that draw.
    who: NDArray[np.int64]


def draw_leaves(
    tree: SecretTree,
    trunk: Frontier,
    temperatures: tuple[float, ...],
    per_temperature: int,
    rng: np.random.Generator,
    meter: Meter,
) -> Draws:
    """Draw ``per_temperature`` leaves from each proposal.

    Args:
        tree: The tree.
        trunk: The node to start from, one row; all leaves lie below it.
        temperatures: One proposal each; ``inf`` is uniform over the leaves.
        per_temperature: Draws per proposal.
        rng: The only source of randomness; its use does not depend on batch sizes.
        meter: Spent for each distinct node that the model reads.
    """
    kinds, n = len(temperatures), len(temperatures) * per_temperature
    _check_memory(tree, n)
    stratum = np.repeat(np.arange(kinds), per_temperature)
    found = Draws(
        cost=np.empty(n),
        log2_q=np.empty(n),
        stratum=stratum,
        path_cost=np.full((n, tree.automaton.depth), np.nan),
        path_log2_q=np.full((n, tree.automaton.depth), np.nan),
        path_token=np.full((n, tree.automaton.depth), -1, dtype=np.int64),
    )
    level = _Level(trunk, np.zeros((1, kinds)), np.zeros(n, dtype=np.int64), np.arange(n))
    depth = 0
    while len(level.who):
        level = _descend(tree, level, temperatures, stratum, rng, meter)
        mixed = _mixture(level.log2_q)
        found.path_token[level.who, depth] = level.nodes.token[level.at]
        found.path_cost[level.who, depth] = level.nodes.cost[level.at]
        found.path_log2_q[level.who, depth] = mixed[level.at]
        level = _collect(tree, level, mixed, found)
        depth += 1
    return found


def _check_memory(tree: SecretTree, draws: int) -> None:
    """Refuse what cannot fit: two levels of model states, and what is noted of each draw."""
    needed = draws * (3 * tree.deepest_row_bytes + 32 * tree.automaton.depth)
    if needed > tree.memory.bytes:
        raise CouldNotMeasure(
            f"{draws:,} draws do not fit into {tree.memory.bytes:,} bytes.",
            f"Their model states take {needed:,} bytes.",
            "Give more with --memory, or use --method exact.",
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Paths:
    """Given leaves, walked to instead of drawn: C leaves and what the proposals think of them.

    Attributes:
        cost: float64 (C,): log-perplexity in bits, as the tree computes it.
        log2_q: float64 (C,): log2 of the probability that the mixture has of drawing the leaf.
        path_token: int64 (C, depth): tokens after the trunk, −1 below the leaf.
    """

    cost: NDArray[np.float64]
    log2_q: NDArray[np.float64]
    path_token: NDArray[np.int64]


def follow_paths(
    tree: SecretTree,
    trunk: Frontier,
    paths: list[list[int]],
    temperatures: tuple[float, ...],
    meter: Meter,
) -> Paths:
    """Walk to given leaves.

    Args:
        tree: The tree.
        trunk: The node to start from.
        paths: Tokens after the trunk, closing tokens included, one list per leaf; each must be a path of the tree.
        temperatures: The proposals of the mixture.
        meter: Spent for each node read.
    """
    table = np.full((len(paths), tree.automaton.depth), -1, dtype=np.int64)
    for number, path in enumerate(paths):
        table[number, : len(path)] = path
    found = Paths(cost=np.empty(len(paths)), log2_q=np.empty(len(paths)), path_token=table)
    for low in range(0, len(paths), tree.batch):
        block = np.arange(low, min(low + tree.batch, len(paths)))
        _follow_block(
            tree,
            trunk.take(np.zeros(len(block), dtype=np.int64)),
            block,
            temperatures,
            found,
            meter,
        )
    return found


def path_costs(tree: SecretTree, secrets: list[str], meter: Meter) -> NDArray[np.float64]:
    """Cost of each secret in bits by walking to its leaf, shape (C,); infinite where the model rules it out."""
    paths = tree.paths(secrets)
    costs = np.full(len(paths), np.inf)
    nodes = tree.root(meter).take(np.zeros(len(paths), dtype=np.int64))
    who, depth = np.arange(len(paths)), 0
    while len(who):
        children = tree.expand(nodes, meter)
        wanted = np.array([paths[i][depth] for i in who])[children.parent]
        last = np.array([depth + 1 == len(paths[i]) for i in who])[children.parent]
        ends = children.nodes.state == tree.automaton.terminal
        edge = np.flatnonzero((children.nodes.token == wanted) & (ends == last))
        nodes, done = children.nodes.take(edge), ends[edge]
        costs[who[done]] = nodes.cost[done]
        alive = ~done & np.isfinite(nodes.cost)
        nodes, who, depth = nodes.take(alive), who[alive], depth + 1
    return costs


def _follow_block(
    tree: SecretTree,
    nodes: Frontier,
    who: NDArray[np.int64],
    temperatures: tuple[float, ...],
    found: Paths,
    meter: Meter,
) -> None:
    log2_q = np.zeros((len(who), len(temperatures)))
    length = np.count_nonzero(found.path_token >= 0, axis=1)
    depth = 0
    while len(who):
        children = tree.expand(nodes, meter)
        log2_step = _proposals(tree, nodes.state, nodes.cost, children, temperatures)
        wanted = found.path_token[who, depth]
        last = (depth + 1 == length[who])[children.parent]
        ends = children.nodes.state == tree.automaton.terminal
        edge = np.flatnonzero((children.nodes.token == wanted[children.parent]) & (ends == last))
        nodes, log2_q = children.nodes.take(edge), log2_q + log2_step[edge]
        done = nodes.state == tree.automaton.terminal
        found.cost[who[done]] = nodes.cost[done]
        found.log2_q[who[done]] = _mixture(log2_q[done])
        nodes, log2_q, who = nodes.take(~done), log2_q[~done], who[~done]
        depth += 1


def _descend(
    tree: SecretTree,
    level: _Level,
    temperatures: tuple[float, ...],
    stratum: NDArray[np.int64],
    rng: np.random.Generator,
    meter: Meter,
) -> _Level:
    """One step down for every draw: expand the distinct nodes in batches, choose a child for each draw."""
    uniform = rng.random(len(level.at))
    order = np.argsort(level.at, kind="stable")
    at, who, uniform = level.at[order], level.who[order], uniform[order]
    pieces: list[_Level] = []
    for low in range(0, len(level.nodes), tree.batch):
        high = min(low + tree.batch, len(level.nodes))
        children = tree.expand(level.nodes.take(slice(low, high)), meter)
        log2_step = _proposals(
            tree, level.nodes.state[low:high], level.nodes.cost[low:high], children, temperatures
        )
        first, last = np.searchsorted(at, [low, high])
        chosen = _choose(
            children.parent,
            log2_step,
            at[first:last] - low,
            stratum[who[first:last]],
            uniform[first:last],
        )
        distinct, place = np.unique(chosen, return_inverse=True)
        reached = level.log2_q[low:high][children.parent[distinct]] + log2_step[distinct]
        pieces.append(_Level(children.nodes.take(distinct), reached, place, who[first:last]))
    return _joined(pieces)


def _proposals(
    tree: SecretTree,
    states: NDArray[np.int64],
    costs: NDArray[np.float64],
    children: Children,
    temperatures: tuple[float, ...],
) -> NDArray[np.float64]:
    """log2 q_t(child) for each child and temperature, shape (E, K)."""
    parent = children.parent
    nodes = children.nodes
    first = np.flatnonzero(np.diff(parent, prepend=-1))
    step = costs[parent] - nodes.cost
    columns = []
    for temperature in temperatures:
        if np.isinf(temperature):
            below = tree.automaton.log2_leaves
            columns.append(below[nodes.state] - below[states][parent])
            continue
        scaled = step / temperature
        top = np.maximum.reduceat(scaled, first)[parent]
        total = np.add.reduceat(np.exp2(scaled - top), first)
        columns.append(scaled - top - np.log2(total)[parent])
    return np.stack(columns, axis=1)


def _choose(
    parent: NDArray[np.int64],
    log2_step: NDArray[np.float64],
    at: NDArray[np.int64],
    kind: NDArray[np.int64],
    uniform: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The child that each draw takes, by inverting the running sum of probabilities within its node."""
    chosen = np.empty(len(at), dtype=np.int64)
    first = np.flatnonzero(np.diff(parent, prepend=-1))
    last = np.append(first[1:], len(parent)) - 1
    for k in range(log2_step.shape[1]):
        of_kind = np.flatnonzero(kind == k)
        if not len(of_kind):
            continue
        running = np.cumsum(np.exp2(log2_step[:, k]))
        before = running[first] - np.exp2(log2_step[first, k])
        node = at[of_kind]
        wanted = before[node] + uniform[of_kind] * (running[last[node]] - before[node])
        edge = np.searchsorted(running, wanted, side="right")
        chosen[of_kind] = np.clip(edge, first[node], last[node])
    return chosen


def _joined(pieces: list[_Level]) -> _Level:
    """The levels of several batches as one."""
    before = np.cumsum([0, *(len(p.nodes) for p in pieces[:-1])])
    return _Level(
        join([p.nodes for p in pieces]),
        np.concatenate([p.log2_q for p in pieces]),
        np.concatenate([p.at + n for p, n in zip(pieces, before, strict=True)]),
        np.concatenate([p.who for p in pieces]),
    )


def _mixture(log2_q: NDArray[np.float64]) -> NDArray[np.float64]:
    """log2 of the mean of the proposals' probabilities, shape (N,)."""
    top = log2_q.max(axis=1)
    mixed: NDArray[np.float64] = top + np.log2(np.exp2(log2_q - top[:, None]).mean(axis=1))
    return mixed


def _collect(tree: SecretTree, level: _Level, mixed: NDArray[np.float64], found: Draws) -> _Level:
    """Write down the draws that have reached a leaf; the others go on."""
    done = level.nodes.state[level.at] == tree.automaton.terminal
    who, at = level.who[done], level.at[done]
    found.cost[who] = level.nodes.cost[at]
    found.log2_q[who] = mixed[at]
    if done.all():
        return _Level(level.nodes, level.log2_q, level.at[:0], level.who[:0])
    on_the_way = np.flatnonzero(level.nodes.state != tree.automaton.terminal)
    number = np.zeros(len(level.nodes), dtype=np.int64)
    number[on_the_way] = np.arange(len(on_the_way))
    nodes = level.nodes.take(on_the_way)
    return _Level(nodes, level.log2_q[on_the_way], number[level.at[~done]], level.who[~done])
