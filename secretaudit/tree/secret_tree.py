"""The weighted tree: token automaton × language model.

A *node* is a prefix of some secret's record. Reading its last token with the model prices all its children at
once: the child's cost is the node's cost − log2 p(token | prefix). A *leaf* is a finished record, closing separator
included, and its cost is the log-perplexity of the secret's record in bits:

    cost(s) = −Σ_i log2 p(x_i | separator, x_1 … x_{i−1}),    x = tokens(prefix + s + suffix), separator

which is what plain scoring gives (``LanguageModel.score``), since both are the same sum. Costs are sums over tokens,
never means: secrets of different lengths compare (Carlini et al. 2019, Definition 1).

A *frontier* holds many nodes as arrays. Nodes are lazy: a node keeps its last token and the row of its parent's model
state, and the model reads the token when the node is expanded, thousands at a time. States are gathered,
never recomputed, as long as they are held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.canary.format import Format
from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.models.language_model import LanguageModel, State
from secretaudit.tree.budget import Memory, Meter
from secretaudit.tree.token_automaton import TokenAutomaton, build_token_automaton

#: Costs closer than this many bits are the same: float32 noise between batches is below it.
TOLERANCE_BITS = 1e-3
#: Largest number of nodes read in one forward pass; larger batches are not faster on CPU.
WIDEST_BATCH = 2048
_BITS_PER_NAT = 1.0 / math.log(2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Frontier:
    """Nodes of the tree, one per entry of each array.

    Attributes:
        state: int64 (N,): state of the token automaton that the node has reached.
        cost: float64 (N,): bits so far, the node's own token included.
        token: int64 (N,): last token, not yet read by the model.
        row: int64 (N,): row of ``memory`` that the token extends.
        memory: Model states of the parents.
    """

    state: NDArray[np.int64]
    cost: NDArray[np.float64]
    token: NDArray[np.int64]
    row: NDArray[np.int64]
    memory: State

    def __len__(self) -> int:
        return len(self.state)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Frontier:
        """These nodes, in this order; the states of the parents are shared, not copied."""
        return replace(
            self,
            state=self.state[chosen],
            cost=self.cost[chosen],
            token=self.token[chosen],
            row=self.row[chosen],
        )


def join(frontiers: list[Frontier]) -> Frontier:
    """Several frontiers as one, in order; their model states are put one after the other."""
    if len(frontiers) == 1:
        return frontiers[0]
    before = np.cumsum([0, *(len(f.memory) for f in frontiers[:-1])])
    return Frontier(
        state=np.concatenate([f.state for f in frontiers]),
        cost=np.concatenate([f.cost for f in frontiers]),
        token=np.concatenate([f.token for f in frontiers]),
        row=np.concatenate([f.row + n for f, n in zip(frontiers, before, strict=True)]),
        memory=_join_states([f.memory for f in frontiers]),
    )


def _join_states(states: list[State]) -> State:
    """Neighbours are joined in rounds, so that each row is copied log2 n times and not n times."""
    while len(states) > 1:
        pairs = zip(states[::2], states[1::2], strict=False)
        last = states[-1:] if len(states) % 2 else []
        states = [*(one.append(other) for one, other in pairs), *last]
    return states[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Children:
    """What an expansion found: all children of some nodes, leaves among them.

    Attributes:
        nodes: The children; those with ``nodes.state == automaton.terminal`` are leaves.
        parent: int64 (E,): which of the expanded nodes each is a child of.
    """

    nodes: Frontier
    parent: NDArray[np.int64]


class SecretTree:
    """All secrets of one format as one model sees them.

    Args:
        form: The format.
        model: The model.
        memory: Bytes that a walk over this tree may hold.
        rng: Chooses the secrets with which the token automaton is checked; changes no result.

    Raises:
        ModelError: The tokenizer cannot write the format.
        CouldNotMeasure: Not even one node at a time fits into the memory.
    """

    def __init__(
        self,
        form: Format,
        model: LanguageModel,
        *,
        memory: Memory | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.form = form
        self.model = model
        self.memory = memory or Memory()
        self.automaton: TokenAutomaton = build_token_automaton(
            form, model.tokenizer, model.separator, rng or np.random.default_rng(0)
        )
        self.batch = self._fitting_batch()

    def _fitting_batch(self) -> int:
        """The widest batch with which a depth-first walk stays within the memory.

        Such a walk holds one batch of model states and its children per level, and one batch of log-probabilities
        (three copies: logits, their normalized form, and the gathered costs).
        """
        widest = int(self.automaton.degree(np.arange(len(self.automaton.leaves))).max())
        held = self.automaton.depth * (self.model.state_bytes + 32 * widest)
        passing = 12 * self.model.vocabulary_size + 4 * self.model.state_bytes + 96 * widest
        batch = self.memory.bytes // (held + passing)
        if batch < 1:
            raise CouldNotMeasure(
                f"The tree of {self.form.name!r} does not fit into {self.memory.bytes:,} bytes.",
                f"One node on each of its {self.automaton.depth} levels takes {held + passing:,} bytes.",
                "Give more with --memory.",
            )
        return min(WIDEST_BATCH, batch)

    def root(self) -> Frontier:
        """The node before the text: the separator is to be read, nothing has been paid."""
        zero = np.zeros(1, dtype=np.int64)
        return Frontier(
            state=zero,
            cost=np.zeros(1),
            token=np.full(1, self.model.separator, dtype=np.int64),
            row=zero,
            memory=self.model.start(),
        )

    def trunk(self, meter: Meter) -> tuple[Frontier, int]:
        """The last node that all secrets share, the text before the hole paid, and how many tokens that took."""
        node, tokens = self.root(), 0
        while self.automaton.degree(node.state)[0] == 1:
            node, tokens = self.expand(node, meter).nodes, tokens + 1
        return node, tokens

    def read(self, nodes: Frontier, meter: Meter) -> tuple[NDArray[np.float32], State]:
        """Let the model read the last token of each node.

        Returns:
            log-probabilities of the next token in nats, shape (N, vocabulary), and the new states, one row per node.
        """
        meter.spend(len(nodes))
        log_p, memory = self.model.step(
            nodes.memory, torch.from_numpy(nodes.row), torch.from_numpy(nodes.token)
        )
        return log_p.numpy(force=True), memory

    def expand(self, nodes: Frontier, meter: Meter) -> Children:
        """Read the last token of each node and price all children, in one forward pass.

        Raises:
            ModelError: The model gives a probability that is not a number, or zero.
        """
        log_p, memory = self.read(nodes, meter)
        parent, edge = self.automaton.edges(nodes.state)
        return self.children(nodes, log_p, memory, parent, edge)

    def children(
        self,
        nodes: Frontier,
        log_p: NDArray[np.float32],
        memory: State,
        parent: NDArray[np.int64],
        edge: NDArray[np.int64],
    ) -> Children:
        """The children behind these edges of nodes that were read: ``parent`` indexes ``nodes``, ``edge`` the automaton."""
        token = self.automaton.token[edge]
        step = log_p[parent, token].astype(np.float64)
        if not np.isfinite(step).all():
            raise _not_a_probability(self.model)
        found = Frontier(
            state=self.automaton.target[edge],
            cost=nodes.cost[parent] - step * _BITS_PER_NAT,
            token=token,
            row=parent,
            memory=memory,
        )
        return Children(nodes=found, parent=parent)

    def score(self, secrets: list[str]) -> NDArray[np.float64]:
        """Cost of these secrets' records in bits, shape (N,), by plain scoring and not by walking the tree.

        Raises:
            ModelError: The tokenizer lacks a character, or a cost is not finite.
        """
        texts = [self.form.render(secret) for secret in secrets]
        separator = self.model.separator
        sequences = [[separator, *ids, separator] for ids in self.model.tokenizer.encode(texts)]
        costs = np.asarray(self.model.score(sequences), dtype=np.float64)
        if not np.isfinite(costs).all():
            raise _not_a_probability(self.model)
        return costs

    def secret(self, tokens: list[int]) -> str:
        """The secret that a path of tokens spells, closing separator left out."""
        spelled = b"".join(self.model.tokenizer.token_bytes[t] or b"" for t in tokens)
        text = spelled[len(self.model.tokenizer.lead) :].decode()
        secret = self.form.parse(text)
        if secret is None:
            raise CouldNotMeasure(
                f"A path of the tree does not spell a secret of {self.form.name!r}.",
                "The tokenizer's bytes and its texts disagree.",
                "Please report this tokenizer as a bug.",
            )
        return secret


def _not_a_probability(model: LanguageModel) -> ModelError:
    return ModelError(
        f"The model {model.name!r} gives a log-probability that is not finite.",
        "Its weights hold NaN or infinity, or its training diverged.",
        "Train again with a smaller learning rate, or audit another checkpoint.",
    )
