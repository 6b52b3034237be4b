"""The secret space as an automaton over tokens: automaton × tokenizer.

Given a format and a tokenizer, the token automaton accepts, for each secret, exactly the token sequence that the tokenizer gives for the whole
text  prefix + secret + suffix, followed by the tokens that close the record, if any. So its paths are the secrets, one each, and
their number is |R|.

It is the product of three things, each with a file of its own: the texts in pieces (``symbol_automaton``, with ``piece_scanner``), the tokens
that their symbols spell (``vocabulary_edges``), and what tokens of one piece ask of each other (``models.token_rules``). A state is
(state of the text, group of constraints), see ``following``. Tokenizers of which nothing is known but ``encode`` are asked about pairs
of tokens (``asked_pairs``).

The product is checked, not believed: no state may have two edges for one token, the number of paths must be |R|, and the tokenizer's own
sequences of random secrets must be among them. Where that fails and R can be listed, the automaton is built from the list; where it
cannot, the space is refused. Nothing is ever measured on a tree that is not exactly R.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.construction import concatenate, literal
from secretaudit.canary.format import Format
from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing, TokenView
from secretaudit.models.tokens.cache import Cache
from secretaudit.models.tokens.rules import AnyTokens, Rule
from secretaudit.models.tokens.scheme import Scheme
from secretaudit.models.tokens.trie import Spelling, build_trie
from secretaudit.tree.asked_pairs import AskedPairs
from secretaudit.tree.automaton import Rows, TokenAutomaton
from secretaudit.tree.determinism import deterministic
from secretaudit.tree.packing import TERMINAL, Graph, assemble, pack
from secretaudit.tree.product import product
from secretaudit.tree.symbol_automaton import SymbolAutomaton, in_pieces, one_piece
from secretaudit.tree.vocabulary_edges import VocabularyEdges, read_tokens, rows

__all__ = ["TokenAutomaton", "build_token_automaton"]

#: Spaces up to this size are listed, secret by secret, when the tokenizer's steps are not understood.
LISTED = 200_000
#: Random secrets whose own token sequence is looked up in the finished automaton.
PROBES = 64
#: Seconds of building from which a tree is kept on disk.
_WORTH_KEEPING = 0.25


def build_token_automaton(
    form: Format, tokenizer: TokenView, framing: Framing, rng: np.random.Generator
) -> TokenAutomaton:
    """The tree of all secrets of a format, as this tokenizer writes them.

    Args:
        form: The format.
        tokenizer: The tokenizer.
        framing: What closes a record.
        rng: Chooses the secrets with which the result is checked.

    Raises:
        ModelError: The tokenizer lacks a character of the format, writes two secrets alike, or the tree would not be exactly R.
    """
    probes = [form.render(form.automaton.unrank(i)) for i in _probe_indices(form.size, rng)]
    sequences = [[*ids, *framing.after] for ids in tokenizer.encode(probes)]
    built = _built(form, tokenizer, framing)
    if built is not None and built.size == form.size and all(map(built.follows, sequences)):
        return built
    if built is not None and 0 < built.size < form.size and all(map(built.follows, sequences)):
        raise _alike(form)
    if form.size > LISTED:
        raise _not_exact(form, built)
    listed = pack(_by_list(form, tokenizer, framing.after))
    if listed.size != form.size:
        raise _alike(form)
    return listed


def _probe_indices(size: int, rng: np.random.Generator) -> list[int]:
    """A few random indices below ``size``, and both ends."""
    fractions = rng.random(PROBES).tolist()
    return [0, size - 1, *(min(size - 1, int(size * f)) for f in fractions)]


def _alike(form: Format) -> ModelError:
    """The refusal of a tokenizer that makes one text of two."""
    return ModelError(
        f"The tokenizer writes two secrets of the format {form.name!r} alike.",
        "It changes the text (lower case, accents, spaces) or has no token for a part of it, so the model cannot tell them apart.",
        "Use a tokenizer without normalization, or a format whose secrets it keeps apart.",
    )


def _not_exact(form: Format, built: TokenAutomaton | None) -> ModelError:
    """The refusal of a space that is too large to be listed."""
    if built is None:
        why = f"Its steps are not of a kind that is understood, and {form.size:,} secrets are too many to be listed."
    else:
        why = f"Its tree has {built.size:,} paths for {form.size:,} secrets, or lacks some of its own texts."
    return ModelError(
        f"The tokenizer does not write the format {form.name!r} in a way that can be searched.",
        why,
        f"Use a format with at most {LISTED:,} secrets, or another tokenizer.",
    )


def _built(form: Format, tokenizer: TokenView, framing: Framing) -> TokenAutomaton | None:
    """The product, from the cache if it is there; ``None`` where the tokenizer's steps are not understood."""
    scheme: Scheme | None = getattr(tokenizer, "scheme", None)
    if scheme is None:
        if getattr(tokenizer, "scheme_is_needed", False):
            return None
        return deterministic(product(*_plain(form, tokenizer), framing.after))
    if any(_may_hold(form, text) for text in scheme.added):
        return None
    cache: Cache = tokenizer.cache  # type: ignore[attr-defined]  # a view with a scheme has one
    key = _key(form, scheme, framing)
    stored = cache.read("tree", key)
    if stored is not None:
        return _restored(stored)
    begin = time.perf_counter()
    texts = in_pieces(form.text_automaton(), scheme)
    if texts is None:
        return None
    edges = (
        read_tokens(texts.first, texts.inner, build_trie(scheme.beginning)),
        read_tokens(texts.inner, texts.inner, build_trie(scheme.inside)),
    )
    whole = product(texts, *edges, scheme.rule, framing.after)
    found = deterministic(whole)
    if found is None:
        return None
    found = replace(found, notes=texts.notes)
    if time.perf_counter() - begin > _WORTH_KEEPING:
        cache.write("tree", key, _stored(found))
    return found


def _plain(
    form: Format, tokenizer: TokenView
) -> tuple[SymbolAutomaton, VocabularyEdges, VocabularyEdges, Rule]:
    """The texts as bytes in one piece, for tokenizers that say no more than their tokens' bytes."""
    text = form.text_automaton()
    if tokenizer.lead:
        text = concatenate(literal(tokenizer.lead.decode()), text)
    texts = one_piece(text.over_bytes())
    trie = build_trie(Spelling.of(tokenizer.token_bytes))
    rule: Rule = AnyTokens() if tokenizer.unambiguous else AskedPairs(tokenizer)
    return (
        texts,
        read_tokens(texts.first, texts.inner, trie),
        read_tokens(texts.inner, texts.inner, trie),
        rule,
    )


def _may_hold(form: Format, wanted: str) -> bool:
    """Whether some text of the format holds this string."""
    text = form.text_automaton()
    start = np.asarray(text.edge_start, dtype=np.int64)
    states = np.arange(text.states, dtype=np.int64)
    for character in wanted:
        _, edge = rows(start, states)
        fits = edge[text.edge_symbol[edge] == ord(character)]
        states = np.unique(text.edge_target[fits]).astype(np.int64)
    return bool(len(states))


def _key(form: Format, scheme: Scheme, framing: Framing) -> str:
    """All that a tree depends on, as a hash."""
    told = form.to_dict()
    asked = [told["template"], told["lists"], scheme.fingerprint, list(framing.after)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _stored(tree: TokenAutomaton) -> dict[str, NDArray[Any]]:
    """The arrays from which a tree is made again."""
    arrays = {name: array.astype(np.int32) for name, array in vars(tree.every).items()}
    return {**arrays, "notes": np.frombuffer(json.dumps(tree.notes).encode(), dtype=np.uint8)}


def _restored(stored: dict[str, NDArray[Any]]) -> TokenAutomaton:
    """The tree behind what was stored."""
    notes = tuple(json.loads(stored.pop("notes").tobytes()))
    every = Rows(**{name: array.astype(np.int64) for name, array in stored.items()})
    return replace(assemble(every), notes=notes)


def _by_list(form: Format, tokenizer: TokenView, after: tuple[int, ...]) -> Graph:
    """The tokenizer's own sequence of every single secret, as a trie."""
    texts = [form.render(s) for s in form.automaton.unrank_many(np.arange(form.size))]
    sequences = [[*ids, *after] for ids in tokenizer.encode(texts)]
    lengths = np.array([len(s) for s in sequences])
    table = np.zeros((len(sequences), lengths.max()), dtype=np.int64)
    for row, sequence in zip(table, sequences, strict=True):
        row[: len(sequence)] = sequence
    graph = Graph(keys=[np.zeros(1, dtype=np.int64)])
    at, used = np.zeros(len(sequences), dtype=np.int64), 1
    for depth in range(table.shape[1]):
        here = np.flatnonzero(lengths > depth)
        last = lengths[here] == depth + 1
        step = np.stack([at[here], table[here, depth], np.where(last, 0, 1)], axis=1)
        distinct, number = np.unique(step, axis=0, return_inverse=True)
        target = np.where(distinct[:, 2] == 0, TERMINAL, used + np.arange(len(distinct)))
        graph.add(distinct[:, 0], distinct[:, 1], target)
        graph.keys.append(target[target >= 0])
        at[here] = target[number.ravel()]
        used += len(distinct)
    return graph
