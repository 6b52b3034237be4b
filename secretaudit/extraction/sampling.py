"""What a user of the deployed model would see: draw continuations of the text before the hole.

Tokens are drawn from the model's whole vocabulary, at a temperature and cut by top-k and top-p the way that generation loops do it,
and a draw counts when all of it stays inside the format. A draw that leaves the format is a draw that brought out no
secret: its share is reported too. With n draws, a secret that comes out with probability p is seen with probability
1 − (1 − p)^n.

Order of the cuts, as in common generation code: temperature, then top-k, then top-p on what is left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import UsageError
from secretaudit.extraction.found import Found
from secretaudit.progress import Progress
from secretaudit.tree.best_first import Leaf
from secretaudit.tree.budget import Meter
from secretaudit.tree.secret_tree import Frontier, SecretTree, join

#: Draws when no budget says otherwise.
DRAWS = 10_000
_PER_ROUND = 1_000


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the deployed model chooses its next token.

    Attributes:
        temperature: > 0; 1 is the model itself.
        top_k: Keep the k likeliest tokens; ``None`` keeps all.
        top_p: Keep the fewest likeliest tokens whose probabilities add up to at least this, in (0, 1].
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        wrong = None
        if not (self.temperature > 0 and np.isfinite(self.temperature)):
            wrong = f"temperature must be a number above 0, got {self.temperature}"
        elif self.top_k is not None and self.top_k < 1:
            wrong = f"top-k must be at least 1, got {self.top_k}"
        elif self.top_p is not None and not 0 < self.top_p <= 1:
            wrong = f"top-p must lie in (0, 1], got {self.top_p}"
        if wrong:
            raise UsageError(
                "The decoding options make no distribution.",
                wrong[0].upper() + wrong[1:] + ".",
                "Use for example --temperature 0.8 --top-k 40 --top-p 0.95.",
            )

    def probabilities(self, log_p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of each token under this decoding, from log-probabilities in nats, shape (B, V)."""
        scaled = log_p / self.temperature
        order = np.argsort(-scaled, axis=1, kind="stable")
        ranked = np.take_along_axis(scaled, order, axis=1)
        if self.top_k is not None:
            ranked[:, self.top_k :] = -np.inf
        p = np.exp(ranked - ranked[:, :1])
        p /= p.sum(axis=1, keepdims=True)
        if self.top_p is not None:
            p[np.cumsum(p, axis=1) - p >= self.top_p] = 0.0
            p /= p.sum(axis=1, keepdims=True)
        found = np.empty_like(p)
        np.put_along_axis(found, order, p, axis=1)
        return found


def sampling(
    tree: SecretTree,
    *,
    top: int,
    decoding: Decoding,
    meter: Meter,
    rng: np.random.Generator,
    progress: Progress,
) -> Found:
    """Draw ``DRAWS`` continuations (fewer when the budget ends) and count the secrets among them."""
    prompt, before = _prompt(tree, meter)
    seen: Counter[tuple[int, ...]] = Counter()
    cost: dict[tuple[int, ...], float] = {}
    draws = 0
    while draws < DRAWS and not (draws and meter.spent):
        for path, bits in _draw(tree, prompt, decoding, rng, meter):
            seen[path] += 1
            cost[path] = bits
        draws += _PER_ROUND
        progress.update(done=draws, total=DRAWS, nodes=meter.nodes)
    order = sorted(seen, key=lambda path: (-seen[path], cost[path]))[:top]
    return Found(
        leaves=[Leaf(cost[path], [*before, *path]) for path in order],
        times=[seen[path] for path in order],
        queries=meter.nodes,
        draws=draws,
        complete=draws >= DRAWS,
        note=f"{sum(seen.values()):,} of {draws:,} draws stayed inside the format.",
    )


def _draw(
    tree: SecretTree, prompt: Frontier, decoding: Decoding, rng: np.random.Generator, meter: Meter
) -> list[tuple[tuple[int, ...], float]]:
    """One round of draws: (tokens after the prompt, cost in bits) of those that ended inside the format."""
    nodes = prompt.take(np.zeros(_PER_ROUND, dtype=np.int64))
    paths = np.empty((_PER_ROUND, 0), dtype=np.int64)
    found: list[tuple[tuple[int, ...], float]] = []
    while len(nodes):
        uniform = rng.random(len(nodes))
        pieces, alive = [], []
        for low in range(0, len(nodes), tree.batch):
            part = nodes.take(slice(low, low + tree.batch))
            children, parent = _choose(tree, part, uniform[low : low + len(part)], decoding, meter)
            pieces.append(children)
            alive.append(parent + low)
        nodes, parents = join(pieces), np.concatenate(alive)
        paths = np.column_stack([paths[parents], nodes.token])
        done = nodes.state == tree.automaton.terminal
        ended = zip(paths[done].tolist(), nodes.cost[done].tolist(), strict=True)
        found += [(tuple(path), bits) for path, bits in ended]
        nodes, paths = nodes.take(~done), paths[~done]
    return found


def _choose(
    tree: SecretTree,
    nodes: Frontier,
    uniform: NDArray[np.float64],
    decoding: Decoding,
    meter: Meter,
) -> tuple[Frontier, NDArray[np.int64]]:
    """Draw the next token of each node from the whole vocabulary; keep those that stay inside the format."""
    log_p, memory = tree.read(nodes, meter)
    running = np.cumsum(decoding.probabilities(log_p.astype(np.float64)), axis=1)
    token = (running <= uniform[:, None] * running[:, -1:]).sum(axis=1)
    edge = tree.automaton.edge_by_token(nodes.state, token)
    inside = np.flatnonzero(edge >= 0)
    chosen = log_p[inside, token[inside]]
    return tree.children(nodes, chosen, memory, inside, edge[inside]).nodes, inside


def _prompt(tree: SecretTree, meter: Meter) -> tuple[Frontier, list[int]]:
    """The node after the text before the hole, and its tokens.

    A secret may begin with characters that all secrets share; those are drawn like the rest, not given away.
    """
    spelled = tree.model.tokenizer.token_bytes
    left = len(tree.model.tokenizer.lead) + len(tree.form.prefix.encode())
    ends = np.cumsum([len(spelled[token] or b"") for token in tree.shared])
    count = int(np.searchsorted(ends, left, side="right"))
    return tree.after_shared(count, meter), tree.shared[:count]
