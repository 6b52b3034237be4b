"""The weighted tree: token automaton × language model.

A *node* is a prefix of some secret's record. Reading its last token with the model prices all its children at
once: the child's cost is the node's cost − log2 p(token | prefix). A *leaf* is a finished record, closing tokens
included, and its cost is the log-perplexity of the secret's record in bits:

    cost(s) = −Σ_i log2 p(x_i | before, x_1 … x_{i−1}),    x = tokens(prefix + s + suffix), after

with the model's ``Framing`` (before, after), which is what plain scoring gives (``LanguageModel.score``), since both are the same sum. Costs are sums over tokens,
never means: secrets of different lengths compare (Carlini et al. 2019, Definition 1).

A *frontier* holds many nodes as arrays. Nodes are lazy: a node keeps its last token and the row of its parent's model
state, and the model reads the token when the node is expanded, thousands at a time. States are gathered,
never recomputed, as long as they are held.

Tokens that all secrets share, the text before the hole above all, are read in one pass before any walk: ``root`` is the last
node that all secrets have in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.canary.format import Format
from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.models.language_model import LanguageModel, State
from secretaudit.tree.budget import Memory, Meter
from secretaudit.tree.spelled_secret import read_secret
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
        charge_shared: Whether tokens that all secrets share are charged. They change no rank, and a model that lists only its
            likeliest tokens may not know what they cost.
        rng: Chooses the secrets with which the token automaton is checked; changes no result.
        automaton: The token sequences that make the tree, where they are not the tokenizer's own.

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
        charge_shared: bool = True,
        rng: np.random.Generator | None = None,
        automaton: TokenAutomaton | None = None,
    ) -> None:
        self.form = form
        self.model = model
        self.memory = memory or Memory()
        self.charge_shared = charge_shared
        #: Whether the model may say that a token has probability 0, which costs infinitely many bits.
        self.rules_out: bool = getattr(model, "rules_out", False)
        self._root: Frontier | None = None
        self.automaton: TokenAutomaton = automaton or build_token_automaton(
            form, model.tokenizer, model.framing, rng or np.random.default_rng(0)
        )
        #: What is to be said of the way the tokenizer writes this format.
        self.notes: list[str] = list(getattr(self.automaton, "notes", ()))
        self.shared: list[int] = self.automaton.shared()
        self._check_length()
        self.batch = self._fitting_batch()

    def _check_length(self) -> None:
        """Refuse records that are longer than the model can read, and those whose first token cannot be given."""
        framing, context = self.model.framing, self.model.context
        longest = len(framing.before) + self.automaton.depth
        if context is not None and longest > context:
            raise ModelError(
                f"The model {self.model.name!r} reads {context} tokens at most.",
                f"A canary of the format {self.form.name!r} takes up to {longest}.",
                "Shorten the format, or use a model with a longer context.",
            )
        if not framing.before and not self.shared:
            raise ModelError(
                f"The first token of {self.form.name!r} cannot be priced.",
                "The model reads no token before a text, and the secrets do not all begin with the same one.",
                "Put text before the hole, or let a begin-of-text token be read.",
            )

    def _fitting_batch(self) -> int:
        """The widest batch with which a depth-first walk stays within the memory.

        Such a walk holds one batch of model states and its children per level, and one batch of log-probabilities
        (three copies: logits, their normalized form, and the gathered costs).
        """
        widest = int(self.automaton.degree(np.arange(len(self.automaton.leaves))).max())
        levels = self.automaton.depth - len(self.shared)
        held = sum(self.model.row_bytes(level) + 32 * widest for level in range(1, levels + 1))
        passing = 12 * self.model.vocabulary_size + 4 * self.deepest_row_bytes + 96 * widest
        batch = self.memory.bytes // (held + passing)
        if batch < 1:
            raise CouldNotMeasure(
                f"The tree of {self.form.name!r} does not fit into {self.memory.bytes:,} bytes.",
                f"One node on each of its {levels} levels takes {held + passing:,} bytes.",
                "Give more with --memory.",
            )
        return min(WIDEST_BATCH, batch)

    @property
    def deepest_row_bytes(self) -> int:
        """Bytes that the state of one node on the last level occupies."""
        return self.model.row_bytes(self.automaton.depth - len(self.shared))

    def root(self, meter: Meter | None = None) -> Frontier:
        """The last node that all secrets share; the text before the hole is paid and read, once per tree.

        A walk that begins here gives its meter, which counts those tokens.
        """
        if self._root is None:
            self._root = self.after_shared(len(self.shared))
        if meter is not None:
            meter.spend(len(self.shared))
        return self._root

    def after_shared(self, count: int, meter: Meter | None = None) -> Frontier:
        """The node after the first ``count`` tokens that all secrets share."""
        framing = self.model.framing
        read = [*framing.before, *self.shared[:count]]
        if meter is not None:
            meter.spend(count)
        charged = self.charge_shared and len(read) > framing.given
        cost = self.model.score([read], framing.given) if charged else np.zeros(1)
        if not np.isfinite(cost).all():
            raise _not_a_probability(self.model)
        return Frontier(
            state=np.array([self.automaton.after_shared(count)]),
            cost=np.asarray(cost, dtype=np.float64),
            token=np.full(1, read[-1], dtype=np.int64),
            row=np.zeros(1, dtype=np.int64),
            memory=self.model.start(read[:-1]),
        )

    def records(self, secrets: Sequence[str]) -> list[list[int]]:
        """The record of each secret: the tokens of its text with what the model puts before and after.

        Raises:
            ModelError: The tokenizer lacks a character.
        """
        texts = [self.form.render(secret) for secret in secrets]
        return [self.model.framing.record(ids) for ids in self.model.tokenizer.encode(texts)]

    def paths(self, secrets: Sequence[str]) -> list[list[int]]:
        """The tokens that lead from ``root`` to the leaf of each secret."""
        begin = len(self.model.framing.before) + len(self.shared)
        return [record[begin:] for record in self.records(secrets)]

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
        meter.spend(len(nodes))
        parent, edge = self.automaton.edges(nodes.state)
        step, memory = self.model.price(
            nodes.memory,
            torch.from_numpy(nodes.row),
            torch.from_numpy(nodes.token),
            torch.from_numpy(parent),
            torch.from_numpy(self.automaton.token[edge]),
        )
        return self.children(nodes, step.numpy(force=True), memory, parent, edge)

    def children(
        self,
        nodes: Frontier,
        log_p: NDArray[np.float32],
        memory: State,
        parent: NDArray[np.int64],
        edge: NDArray[np.int64],
    ) -> Children:
        """The children behind these edges of nodes that were read.

        Args:
            nodes: The nodes.
            log_p: Log-probability in nats of each edge's token, shape (E,).
            memory: The model's states after the nodes.
            parent: int64 (E,): index into ``nodes``.
            edge: int64 (E,): index into the automaton's edges.
        """
        step = log_p.astype(np.float64)
        possible = ~np.isnan(step) & (step < np.inf) if self.rules_out else np.isfinite(step)
        if not possible.all():
            raise _not_a_probability(self.model)
        found = Frontier(
            state=self.automaton.target[edge],
            cost=nodes.cost[parent] - step * _BITS_PER_NAT,
            token=self.automaton.token[edge],
            row=parent,
            memory=memory,
        )
        return Children(nodes=found, parent=parent)

    def score(self, secrets: list[str]) -> NDArray[np.float64]:
        """Cost of these secrets' records in bits, shape (N,), by plain scoring and not by walking the tree.

        Raises:
            ModelError: The tokenizer lacks a character, or a cost is not finite.
        """
        records = self.records(secrets)
        costs = np.asarray(self.model.score(records, self.model.framing.given), dtype=np.float64)
        if not np.isfinite(costs).all():
            raise _not_a_probability(self.model)
        return costs

    def secret(self, tokens: list[int]) -> str:
        """The secret that a whole path of tokens spells, from the first of the text to those that close it.

        Raises:
            CouldNotMeasure: None does, which is a fault of the tokenizer's description.
        """
        inside = tokens[: len(tokens) - len(self.model.framing.after)]
        secret = read_secret(self.form, self.model.tokenizer, inside)
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
