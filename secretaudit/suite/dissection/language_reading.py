"""What the comparison of language models says: the part "language" of the record, and its orderings."""

from __future__ import annotations

from typing import Any

import numpy as np

from secretaudit.suite.dissection.agreement import kappa, p_same
from secretaudit.suite.dissection.coherence import low_ranks_auc
from secretaudit.suite.dissection.learning_order import rank_correlation
from secretaudit.suite.dissection.packed import unpacked
from secretaudit.suite.dissection.pairs import compared, matrix_of, plain_matrix
from secretaudit.suite.dissection.permutation import of_values
from secretaudit.suite.dissection.representation import (
    canonical,
    debiased_cka,
    leading,
    linear_cka,
)
from secretaudit.suite.dissection.settings import DissectionSettings
from secretaudit.suite.dissection.verdicts import (
    above,
    alike,
    clauses,
    higher,
    interval,
    number,
    p_sentence,
)
from secretaudit.suite.statistics import mean_interval
from secretaudit.suite.wording import counted

__all__ = ["INDEPENDENT", "KINDS", "REAL", "SAME", "given_part", "part_of"]

REAL, SAME, INDEPENDENT = "real text", "same random text", "independent random text"
#: What models are trained on.
KINDS = (REAL, SAME, INDEPENDENT)
_JUDGED = ("kappa", "CKA", "debiased CKA", "SVCCA")


def part_of(
    found: dict[str, dict[str, Any]],
    records: list[dict[str, Any]],
    seed: int,
    settings: DissectionSettings,
) -> dict[str, Any]:
    """The part, with its orderings.

    Args:
        found: What each model of the comparison of pairs showed, by name.
        records: What ``canary_coherence`` found in each model of the whole text.
        seed: Of permutations, where they are drawn.
        settings: The dials.
    """
    models = list(found.values())
    groups = {
        kind: [
            i
            for i, (name, model) in enumerate(found.items())
            if name.rsplit("/", 1)[0] == kind and model["status"] == "reached"
        ]
        for kind in KINDS
    }
    measures = _measures(models, groups, seed, settings)
    spoken = _coherence(models, groups, seed, settings)
    canaries = canary_part(records)
    kappas = measures["kappa"]["within"]
    return {
        "status": "measured" if all(len(g) >= 2 for g in groups.values()) else "not reached",
        "networks": list(found),
        "positions": len(models[0]["predicted"]),
        "measures": measures,
        "accuracy": {
            kind: mean_interval(
                [p_same(models[i]["predicted"], models[i]["truth"]) for i in groups[kind]]
            )
            for kind in KINDS
        },
        "coherence": spoken,
        "canaries": canaries,
        "sentence": clauses(
            f"On {len(models[0]['predicted'])} held-out tokens κ between two models is ",
            (
                f"{number(own['mean'])} for {k}"
                for k, own in kappas.items()
                if own["mean"] is not None
            ),
        )
        + p_sentence(measures["kappa"]["tests"])
        + _canary_sentence(canaries),
        "orderings": [
            *(alike("language", name, measures[name]) for name in _JUDGED),
            higher(
                "language",
                "Gradients of training lines along training",
                spoken["means"],
                spoken["tests"],
            ),
            *_canary_claims(canaries),
        ],
    }


def _canary_sentence(canaries: dict[str, Any]) -> str:
    inserted, never = canaries["auc"]["mean"], canaries["control_auc"]["mean"]
    if inserted is None:
        return ""
    times = counted(canaries["most"], "time")
    text = f" A canary inserted {times} is less coherent than an ordinary line with chance {number(inserted)}"
    return f"{text}." if never is None else f"{text}, one never inserted with {number(never)}."


def _measures(
    models: list[dict[str, Any]],
    groups: dict[str, list[int]],
    seed: int,
    settings: DissectionSettings,
) -> dict[str, Any]:
    """Similarities of all pairs of models, by measure."""
    said = [model["predicted"] for model in models]
    states = [unpacked(model["states"]) for model in models]
    spaces = [leading(thing, settings.svcca_variance) for thing in states]
    matrices = {
        "P_SAME": matrix_of(said, p_same),
        "kappa": matrix_of(said, kappa),
        "CKA": matrix_of(states, linear_cka),
        "debiased CKA": matrix_of(states, debiased_cka),
        "SVCCA": matrix_of(spaces, canonical),
    }
    return {
        name: compared(matrix, groups, seed, settings.splits, REAL)
        | {"matrix": plain_matrix(matrix)}
        for name, matrix in matrices.items()
    }


def _coherence(
    models: list[dict[str, Any]],
    groups: dict[str, list[int]],
    seed: int,
    settings: DissectionSettings,
) -> dict[str, Any]:
    """Coherence of training lines: means along training, tests, curves."""
    along = [_mean_along(model["looks"]) for model in models]
    rng = np.random.default_rng([seed, 79])
    return {
        "means": {
            k: mean_interval([along[i] for i in groups[k] if not np.isnan(along[i])]) for k in KINDS
        },
        "tests": {
            other: of_values(along, groups[REAL], groups[other], rng, settings.splits)
            for other in (SAME, INDEPENDENT)
        },
        "curves": {
            kind: _curve([models[i]["looks"] for i in members]) for kind, members in groups.items()
        },
    }


def _canary_claims(canaries: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said of canaries and ordinary lines, and of canaries and those never inserted."""
    most = counted(canaries["most"], "time")
    return [
        above(
            "language",
            f"Canaries inserted {most} are less coherent than ordinary lines (ours; AUC, interval over models above 0.5)",
            canaries["auc"],
            0.5,
            f"; never inserted: {interval(canaries['control_auc'], 'models')}",
            "models",
        ),
        above(
            "language",
            f"Canaries inserted {most} are less coherent than canaries never inserted (ours; AUC, interval over models above 0.5)",
            canaries["auc_against_controls"],
            0.5,
            f"; by their loss instead: {interval(canaries['loss_auc_against_controls'], 'models')}",
            "models",
        ),
    ]


def canary_part(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Canaries against ordinary lines, over models.

    Args:
        found: Per model what ``canary_coherence`` returns.
    """
    most = max(row["insertions"] for model in found for row in model["canaries"])
    rows = [model["canaries"] for model in found]
    ordinary = [np.array(model["ordinary"], dtype=float) for model in found]

    def aucs(of: str, insertions: int, against: int | None) -> dict[str, Any]:
        """Chance that a canary is lower than an ordinary line, or than a canary of another number of insertions."""
        values = [
            low_ranks_auc(
                _of(own, insertions, of), usual if against is None else _of(own, against, of)
            )
            for own, usual in zip(rows, ordinary, strict=True)
        ]
        return mean_interval([value for value in values if value is not None])

    ranks = [_with_exposure(own) for own in rows]
    times = sorted({row["insertions"] for own in rows for row in own})
    return {
        "most": most,
        "auc": aucs("coherence", most, None),
        "control_auc": aucs("coherence", 0, None),
        "auc_against_controls": aucs("coherence", most, 0),
        "loss_auc_against_controls": aucs("nats_per_token", most, 0),
        "exposure_rank_correlation": mean_interval([r for r in ranks if r is not None]),
        "by_insertions": [
            {
                "insertions": n,
                "coherence": mean_interval(
                    [float(v) for own in rows for v in _of(own, n, "coherence") if not np.isnan(v)]
                ),
                "nats_per_token": mean_interval(
                    [row["nats_per_token"] for own in rows for row in own if row["insertions"] == n]
                ),
            }
            for n in times
        ],
        "ordinary": {
            "coherence": mean_interval([float(np.nanmean(v)) for v in ordinary]),
            "nats_per_token": mean_interval([float(np.mean(m["ordinary_nats"])) for m in found]),
        },
        "points": [row | {"model": i} for i, own in enumerate(rows) for row in own],
    }


def given_part(brought: dict[str, Any], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The model that was brought against those of each condition; κ is ``None`` where the tokenizers differ."""
    comparable = all(brought["truth"] == model["truth"] for model in found.values())
    told = {key: brought[key] for key in ("training_nats", "held_out_nats", "mean_cosine")}
    if not comparable:
        return told | {
            "status": "not applicable",
            "sentence": "The given model splits the text into other tokens, so its predictions cannot be held against the others'.",
        }
    values = {
        kind: [
            value
            for name, model in found.items()
            if name.rsplit("/", 1)[0] == kind
            and (value := kappa(brought["predicted"], model["predicted"])) is not None
        ]
        for kind in KINDS
    }
    return told | {
        "status": "measured",
        "kappa": {kind: mean_interval(own) for kind, own in values.items()},
        "sentence": "κ of the given model with models of "
        + ", ".join(
            f"{kind}: {number(mean_interval(own)['mean'])}" for kind, own in values.items()
        ),
    }


def _of(rows: list[dict[str, Any]], insertions: int, name: str) -> Any:
    """One figure of the canaries that were inserted so often; NaN where there is none."""
    return np.array([row[name] for row in rows if row["insertions"] == insertions], dtype=float)


def _mean_along(looks: list[dict[str, Any]]) -> float:
    """Mean over the looks; NaN where none has a value."""
    known = [look["mean_cosine"] for look in looks if look["mean_cosine"] is not None]
    return float(np.mean(known)) if known else float("nan")


def _curve(looks: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Mean over models at the looks that all of them have, and at the end."""
    if not looks:
        return []
    common = set.intersection(*({look["epoch"] for look in own[:-1]} for own in looks))
    rows = []
    for epoch in [*sorted(common), None]:
        at = [
            look
            for own in looks
            for look in (own[-1:] if epoch is None else own[:-1])
            if epoch is None or look["epoch"] == epoch
        ]
        values = [look["mean_cosine"] for look in at if look["mean_cosine"] is not None]
        mean_epoch = float(np.mean([look["epoch"] for look in at]))
        nats = float(np.mean([look["training_nats"] for look in at]))
        rows.append({"epoch": mean_epoch, **mean_interval(values), "training_nats": nats})
    return rows


def _with_exposure(rows: list[dict[str, Any]]) -> float | None:
    """Rank correlation of coherence and exposure over the canaries and controls of one model."""
    known = [r for r in rows if r["coherence"] is not None and r["exposure_bits"] is not None]
    return rank_correlation([r["coherence"] for r in known], [r["exposure_bits"] for r in known])
