"""All ways to cut the texts of a format into tokens, and the tree over them.

A tokenizer writes a text in one way, but a model gives a probability to every sequence of tokens whose bytes spell it. With
S(s) the set of all such sequences for the text of a secret s, three costs can be asked for, in bits:

    canonical(s) = −log2 P(the tokenizer's sequence)
    best(s)      = −log2 max_{x ∈ S(s)} P(x)
    marginal(s)  = −log2 Σ_{x ∈ S(s)} P(x)              marginal ≤ best ≤ canonical

(Cao and Rimell 2021, "You should evaluate your language model on marginal likelihood over tokenisations".)

**What may vary.** The text before the hole is read as the tokenizer writes it, up to the last token boundary that the tokenizer's
sequences of all secrets have in common. Everything from there on is free: tokens may straddle the edges of the hole, and the text
after the hole may be cut in any way. Bytes are what counts: a token may end inside a character, byte tokens and pieces mix, and
special tokens, which spell no bytes, never take part. Tokens that close the record follow every text as they are.

A state of the automaton is the number of a byte state of the format's text, so its paths are pairs (secret, segmentation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from secretaudit._checks import one_of
from secretaudit.canary.construction import concatenate, literal
from secretaudit.canary.format import Format
from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.models.language_model import LanguageModel
from secretaudit.tree.budget import Memory
from secretaudit.tree.lattice import Lattice, build_lattice
from secretaudit.tree.packing import TERMINAL, Graph, pack
from secretaudit.tree.secret_tree import SecretTree
from secretaudit.tree.token_automaton import TokenAutomaton, build_token_automaton
from secretaudit.tree.vocabulary_edges import Integers, rows

#: What a secret may cost beside what the tokenizer's own sequence costs.
KINDS = ("best", "marginal")


class SegmentationTree(SecretTree):
    """All segmentations of all secrets of a format as one model sees them; a leaf is a (secret, segmentation).

    Args:
        form: The format.
        model: The model.
        kind: What a secret costs: "best" or "marginal".
        memory: Bytes that a walk may hold.
        rng: Chooses the secrets with which the automata are checked; changes no result.

    Attributes:
        lattice: The free part of all texts.

    Raises:
        ModelError: The tokenizer cannot write the format, or its tokens do not spell its texts.
        CouldNotMeasure: Not even one node at a time fits into the memory.
        UsageError: An unknown kind.
    """

    def __init__(
        self,
        form: Format,
        model: LanguageModel,
        *,
        kind: str,
        memory: Memory | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        one_of("segmentation", kind, KINDS)
        self.kind = kind
        view, after = model.tokenizer, model.framing.after
        if not getattr(view, "reversible", True):
            raise _no_segmentations(form)
        canonical = build_token_automaton(
            form, view, model.framing, rng or np.random.default_rng(0)
        )
        before_hole = canonical.shared()
        spelled = b"".join(view.token_bytes[token] or b"" for token in before_hole)
        text = concatenate(literal(view.lead.decode()), form.text_automaton()).over_bytes()
        lattice = build_lattice(text, view.token_bytes, after)
        lattice = replace(lattice, root=lattice.after(spelled))
        if lattice.root < 0:
            raise _no_segmentations(form)
        automaton = replace(pack(_graph(lattice, before_hole)), notes=canonical.notes)
        _check_canonical(form, model, automaton)
        super().__init__(form, model, memory=memory, automaton=automaton)
        more = b"".join(view.token_bytes[t] or b"" for t in self.shared[len(before_hole) :])
        self.lattice = replace(lattice, root=lattice.after(more))
        #: Bytes that every text begins with and that ``root`` has read.
        self.given = spelled + more

    def tails(self, secrets: Sequence[str]) -> list[bytes]:
        """The bytes of each secret's text that may be cut in any way."""
        lead = self.model.tokenizer.lead
        texts = [lead + self.form.render(secret).encode() for secret in secrets]
        return [text[len(self.given) :] for text in texts]

    def secret_of(self, tail: bytes) -> str:
        """The secret whose text ends in these bytes; the inverse of ``tails``."""
        text = (self.given + tail)[len(self.model.tokenizer.lead) :].decode()
        secret = self.form.parse(text)
        if secret is None:
            raise CouldNotMeasure(
                f"A path of the tree does not spell a secret of {self.form.name!r}.",
                "The tokenizer's bytes and its texts disagree.",
                "Please report this tokenizer as a bug.",
            )
        return secret


def _check_canonical(form: Format, model: LanguageModel, automaton: TokenAutomaton) -> None:
    """Refuse a tokenizer whose own sequences are not among the segmentations: its bytes and texts disagree."""
    indices = sorted({0, form.size // 3, form.size // 2, form.size - 1})
    texts = [form.render(form.automaton.unrank(index)) for index in indices]
    for ids in model.tokenizer.encode(texts):
        if not automaton.follows([*ids, *model.framing.after]):
            raise _no_segmentations(form)


def _no_segmentations(form: Format) -> ModelError:
    return ModelError(
        f"The tokens of a canary of {form.name!r} do not spell its text.",
        "The tokenizer drops spaces or changes characters, so a text's segmentations cannot be listed.",
        "Use --segmentation canonical.",
    )


def _graph(lattice: Lattice, before_hole: list[int]) -> Graph:
    """The lattice behind the tokens that all secrets share, for packing; its levels are the heights, greatest first."""
    states = _reached(lattice)
    chain = len(lattice.accepting) + np.arange(len(before_hole))
    by_height = states[np.argsort(-lattice.height[states], kind="stable")]
    cuts = np.flatnonzero(np.diff(lattice.height[by_height])) + 1
    levels = [np.sort(level) for level in np.split(by_height, cuts)]
    keys = [*np.split(chain, len(chain)), *levels] if len(chain) else levels
    graph = Graph(keys=keys)
    graph.add(
        chain,
        np.array(before_hole, dtype=np.int64),
        np.append(chain[1:], lattice.root)[: len(chain)],
    )
    parent, edge = rows(lattice.start, states)
    token, goal = lattice.pieces.token[lattice.piece[edge]], lattice.goal[edge]
    graph.add(states[parent], token, goal)
    ends = lattice.accepting[goal]
    graph.add(states[parent[ends]], token[ends], np.full(int(ends.sum()), TERMINAL))
    return graph


def _reached(lattice: Lattice) -> Integers:
    """States at which some token may end, the root among them, ascending."""
    seen = np.zeros(len(lattice.accepting), dtype=np.bool_)
    seen[lattice.root] = True
    frontier = np.array([lattice.root])
    while len(frontier):
        goals = np.unique(lattice.goal[rows(lattice.start, frontier)[1]])
        frontier = goals[~seen[goals]]
        seen[frontier] = True
    return np.flatnonzero(seen)
