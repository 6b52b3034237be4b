"""Exact numbers of leaves, and the shape of a token automaton, from its rows.

What a state has is what its shared row has, less what it leaves out, plus its own row:

    value(s) = Σ over row(s) − Σ over what s leaves out + Σ over own(s)

for the number of leaves, of edges, and of edges on the longest way down. The middle term is the large one (thousands of tokens, for each of
thousands of states), but states with the same tokens to choose from leave out the same places: for K lists of left-out places and P
rows it is the product of a K × places matrix of zeros and ones with a places × P matrix of values.

Numbers of leaves have hundreds of bits. They are held in limbs of 24 bits, so that sums over up to 2^29 edges are exact in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from secretaudit.tree.automaton import Rows
from secretaudit.tree.vocabulary_edges import Integers, rows

_LIMB = 24
#: Left-out edges per list of rows up to which they are added up one by one.
_FEW = 20_000
#: Values gathered at once for a product.
_AT_ONCE = 8_000_000

Floats = NDArray[np.float64]
#: Edges → values, shape (edges, k).
Values = Callable[[Integers], Floats]


def count_leaves(every: Rows) -> list[int]:
    """Leaves below each state, the terminal (one leaf) last."""
    limbs = np.zeros((int(every.levels[-1]) + 1, 1))
    limbs[-1, 0] = 1.0
    for states in levels_backwards(every.levels):
        total = _totals(every, states, _of_targets(every, limbs), limbs.shape[1])
        carried = _carried(total)
        missing = carried.shape[1] - limbs.shape[1]
        if missing:
            limbs = np.concatenate([limbs, np.zeros((len(limbs), missing))], axis=1)
        limbs[states] = carried
    return _integers(limbs)


def _of_targets(every: Rows, of_states: Floats) -> Values:
    """Values of edges by those of the states they lead to."""
    return lambda edge: of_states[every.target[edge]]


def _carried(total: Floats) -> Floats:
    """The same numbers with every limb below 2^24; as many limbs as the largest needs, and not fewer than before."""
    columns: list[Floats] = []
    carry = np.zeros(len(total))
    place = 0
    while place < total.shape[1] or carry.any():
        value = carry + total[:, place] if place < total.shape[1] else carry
        carry = np.floor(value / 2.0**_LIMB)
        columns.append(value - carry * 2.0**_LIMB)
        place += 1
    return np.stack(columns, axis=1)


def _integers(limbs: Floats) -> list[int]:
    """Limbs as Python integers."""
    if limbs.shape[1] <= 2:
        low = limbs[:, 0].astype(np.int64)
        high = limbs[:, 1].astype(np.int64) if limbs.shape[1] == 2 else np.zeros_like(low)
        small: list[int] = (low + (high << _LIMB)).tolist()
        return small
    columns = limbs.astype(np.int64).T.tolist()
    return [
        sum(limb << (_LIMB * i) for i, limb in enumerate(row)) for row in zip(*columns, strict=True)
    ]


def shape(every: Rows, living: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """(edges on the longest way down, number of edges) of each state; edges to states without a leaf do not count."""
    height = np.full(len(living), -1, dtype=np.int64)
    height[-1] = 0
    degree = np.zeros(len(living), dtype=np.int64)
    for level in levels_backwards(every.levels):
        states = level[living[level]]
        if not len(states):
            continue
        most = _most(every, states, height)
        reached = (height >= 0)[:, None].astype(np.float64)
        counted = _totals(every, states, _of_targets(every, reached), 1)
        degree[states] = counted[:, 0].astype(np.int64)
        height[states] = 1 + most
    return height, degree


def _most(every: Rows, states: Integers, height: Integers) -> Integers:
    """The largest height behind any edge of each state.

    That of its rows, if an edge which the state does not leave out has it; otherwise its edges are looked through.
    """
    used, which = np.unique(
        np.concatenate([every.row[states], every.own[states]]), return_inverse=True
    )
    owner, edge = rows(every.start, used)
    best = np.full(len(used), -1, dtype=np.int64)
    np.maximum.at(best, owner, height[every.target[edge]])
    by_row = np.full(len(every.start) - 1, -1, dtype=np.int64)
    by_row[used] = best

    def has_it(edge: Integers) -> Floats:
        row = np.searchsorted(every.start, edge, side="right") - 1
        having: Floats = (height[every.target[edge]] == by_row[row])[:, None].astype(np.float64)
        return having

    shared, own = best[which[: len(states)]], best[which[len(states) :]]
    left = _row_sums(every, every.row[states], has_it, 1) - _left_out(every, states, has_it, 1)
    most: Integers = np.maximum(np.where(left[:, 0] > 0, shared, -1), own)
    unsure = np.flatnonzero((left[:, 0] <= 0) & (shared > own))
    length = np.diff(every.start)[every.row[states[unsure]]]
    for some in np.split(unsure, _cuts(length, _AT_ONCE)):
        parent, edge = every.edges(states[some])
        below = height[every.target[edge]]
        first = np.flatnonzero(np.diff(parent, prepend=-1))
        if len(first):
            most[some[parent[first]]] = np.maximum.reduceat(below, first)
    return most


def _cuts(cost: Integers, most: int) -> Integers:
    """Where to cut a list so that no part costs much more than ``most``."""
    part = np.cumsum(cost) // most
    found: Integers = np.flatnonzero(np.diff(part)) + 1
    return found


def levels_backwards(levels: Integers) -> Iterator[Integers]:
    """The states of each level, the last level first."""
    for first, last in zip(levels[-2::-1].tolist(), levels[:0:-1].tolist(), strict=True):
        yield np.arange(first, last)


def _totals(every: Rows, states: Integers, values: Values, columns: int) -> Floats:
    """The sum of the values of all edges of each state, shape (states, columns)."""
    total = _row_sums(every, every.row[states], values, columns)
    total += _row_sums(every, every.own[states], values, columns)
    total -= _left_out(every, states, values, columns)
    return total


def _row_sums(every: Rows, row: Integers, values: Values, columns: int) -> Floats:
    """The sum of the values of each row, shape (rows, columns)."""
    used, which = np.unique(row, return_inverse=True)
    owner, edge = rows(every.start, used)
    summed: Floats = _sums(values(edge), owner, len(used), columns)[which]
    return summed


def _sums(values: Floats, owner: Integers, owners: int, columns: int) -> Floats:
    """The sum of the values of each owner; owners stand in ascending order."""
    total = np.zeros((owners, columns))
    if len(owner):
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        total[owner[first]] = np.add.reduceat(values, first, axis=0)
    return total


def _left_out(every: Rows, states: Integers, values: Values, columns: int) -> Floats:
    """The sum of the values of the edges that each state leaves out, shape (states, columns)."""
    total = np.zeros((len(states), columns))
    length = np.diff(every.skip_start)[every.skips[states]]
    leaving = np.flatnonzero(length)
    choice = every.skip_choice[every.skips[states[leaving]]]
    order = np.argsort(choice, kind="stable")
    leaving, choice = leaving[order], choice[order]
    cuts = np.flatnonzero(np.diff(choice)) + 1
    one_by_one: list[Integers] = []
    for members in np.split(leaving, cuts):
        if int(length[members].sum()) <= _FEW:
            one_by_one.append(members)
        else:
            total[members] = _by_product(every, states[members], values, columns)
    if one_by_one:
        members = np.concatenate(one_by_one)
        owner, edge = every.left_out(states[members])
        total[members] = _sums(values(edge), owner, len(members), columns)
    return total


def _by_product(every: Rows, states: Integers, values: Values, columns: int) -> Floats:
    """The same for states that have the same tokens to choose from, as a product of matrices."""
    lists, which_list = np.unique(every.skips[states], return_inverse=True)
    chosen, which_row = np.unique(every.row[states], return_inverse=True)
    owner, entry = rows(every.skip_start, lists)
    place = every.skip[entry]
    width = int(place.max()) + 1
    ones = csr_array((np.ones(len(place)), (owner, place)), shape=(len(lists), width))
    total = np.zeros((len(states), columns))
    step = max(1, _AT_ONCE // (width * columns))
    for low in range(0, len(chosen), step):
        some = chosen[low : low + step]
        edges = every.start[some][:, None] + np.arange(width)[None, :]
        table = values(edges.ravel()).reshape(len(some), width, columns)
        product = ones @ table.transpose(1, 0, 2).reshape(width, len(some) * columns)
        product = product.reshape(len(lists), len(some), columns)
        here = np.flatnonzero((which_row >= low) & (which_row < low + step))
        total[here] = product[which_list[here], which_row[here] - low]
    return total
