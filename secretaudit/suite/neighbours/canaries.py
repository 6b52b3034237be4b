"""Canaries among the hidden states of the training text: who stands beside them?

At the positions of a canary's secret (the state before each token of it), with s positions:

- ``self_share``: the nearest neighbour, with one record of the canary left out, is the same position of another copy of it. The
  state before the secret's first token is shared by all canaries of the format, so that position does not count. Copies are the same text read from its
  beginning and lie at one point, so a canary with copies is near 1 (below, where another text lies at that very point) and one without another copy
  is 0: the share says whose own copies a k-NN rule would read off, memorized or not.
- ``unsupported_share``: the model says the secret's token, and the k neighbours from all text but the copies of this canary vote for another one. No
  other text supports what the model knows there. Defined for every canary, controls too.

Both are held against exposure by Spearman's rank correlation over the canaries of one model. The estimators are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.suite.language.records import HiddenStates, Records, hidden_states
from secretaudit.suite.neighbours.engine import votes
from secretaudit.suite.neighbours.grouped import nearest_outside
from secretaudit.suite.neighbours.settings import NeighboursSettings

__all__ = ["canary_rows", "correlations", "secret_places"]

_FIGURES = ("self_share", "unsupported_share")


def canary_rows(
    ledger: Ledger,
    exposures: Sequence[dict[str, Any]],
    lines: Sequence[str],
    records: Records,
    store: HiddenStates,
    settings: NeighboursSettings,
) -> list[dict[str, Any]]:
    """One row per canary, in the order of the ledger; never a secret.

    Args:
        ledger: The canaries.
        exposures: Their exposures, rows with ``id`` and ``exposure_bits``.
        lines: The records of the store.
        records: The same, encoded.
        store: Their hidden states.
        settings: k and the distance.
    """
    bits = {row["id"]: row for row in exposures}
    texts = {text: number for number, text in enumerate(dict.fromkeys(lines))}
    text_of = np.array([texts[line] for line in lines])[store.record]
    rows = []
    for canary in ledger.canaries:
        beside = _beside(canary, ledger, texts, text_of, records, store, settings)
        known = bits.get(canary.id, {})
        rows.append(
            {
                "id": canary.id,
                "format": canary.format,
                "insertions": canary.insertions,
                "exposure_bits": known.get("exposure_bits"),
                "exposure_low_bits": known.get("exposure_low_bits"),
            }
            | beside
        )
    return rows


def correlations(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Spearman's correlation of each figure with exposure (its lower bound where no more is known), over the canaries that have both."""
    found: dict[str, Any] = {}
    for figure in _FIGURES:
        pairs = [
            (row[figure], bits)
            for row in rows
            if row[figure] is not None and (bits := _bits(row)) is not None
        ]
        found[figure] = _spearman(pairs)
    return found


def secret_places(records: Records, canary: Canary, prefix: str, suffix: str) -> NDArray[np.int64]:
    """Columns of ``targets`` at which the tokens of a canary's secret stand.

    A token that holds characters of the secret and of what is around it belongs to the secret.

    Args:
        records: Encodes.
        canary: With its text.
        prefix: The text before the secret.
        suffix: The text behind it.
    """
    whole = records.encoder.encode([canary.text])[0]
    before = records.encoder.encode([prefix])[0] if prefix else []
    after = records.encoder.encode([suffix])[0] if suffix else []
    begin = _common(whole, before)
    end = len(whole) - _common(whole[begin:][::-1], after[::-1])
    places = np.arange(begin, max(end, begin + 1)) + len(records.framing.before) - 1
    return places[places >= records.framing.given - 1]


def _beside(
    canary: Canary,
    ledger: Ledger,
    texts: dict[str, int],
    text_of: NDArray[np.int64],
    records: Records,
    store: HiddenStates,
    settings: NeighboursSettings,
) -> dict[str, Any]:
    """What stands beside the secret of one canary."""
    form = ledger.formats[canary.format]
    own = hidden_states(records.of([canary.text]), settings.embedding or None)
    at = np.isin(own.place, secret_places(records, canary, form.prefix, form.suffix))
    states, said, true = own.states[at], own.predicted[at], own.next_tokens[at]
    text = texts.get(canary.text, -1)
    how = {"metric": settings.metric, "engine": settings.engine}
    near = nearest_outside(
        store.states, text_of, states, np.full(len(states), text), settings.k, **how
    )
    vote = votes(store.next_tokens, near, records.vocabulary_size).argmax(1)
    right = said == true
    return {
        "positions": len(states),
        "right_share": float(right.mean()),
        "supported_share": float((right & (vote == said)).mean()),
        "unsupported_share": float((right & (vote != said)).mean()),
        "self_share": _self_share(own, at, text, text_of, store, settings),
    }


def _self_share(
    own: HiddenStates,
    at: NDArray[np.bool_],
    text: int,
    text_of: NDArray[np.int64],
    store: HiddenStates,
    settings: NeighboursSettings,
) -> float | None:
    """Share of the secret's positions, but the first, whose nearest neighbour in other records is another copy's same position; ``None`` without such positions."""
    places = own.place[at][1:]
    copies = np.unique(store.record[text_of == text])
    if len(places) == 0:
        return None
    if len(copies) < 2:
        return 0.0
    near = nearest_outside(
        store.states,
        store.record,
        own.states[at][1:],
        np.full(len(places), copies[0]),
        1,
        metric=settings.metric,
        engine=settings.engine,
    )[:, 0]
    return float(((text_of[near] == text) & (store.place[near] == places)).mean())


def _bits(row: dict[str, Any]) -> float | None:
    known = row["exposure_bits"]
    bits: float | None = row["exposure_low_bits"] if known is None else known
    return bits


def _spearman(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    n = len(pairs)
    if n < 3 or any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return {"rho": None, "p_value": None, "n": n, "status": "too few different values"}
    found = stats.spearmanr([a for a, _ in pairs], [b for _, b in pairs])
    return {
        "rho": float(found.statistic),
        "p_value": float(found.pvalue),
        "n": n,
        "status": "measured",
    }


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens that both begin with."""
    count = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        count += 1
    return count
