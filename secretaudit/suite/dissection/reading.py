"""What the comparisons say: parts of the record, each with a status and a sentence, and the orderings with their verdicts.

The pairs of networks that reached the target accuracy are compared; a part is "not reached" where a condition has fewer than two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.suite.dissection import patterns as pattern
from secretaudit.suite.dissection.agreement import kappa, p_same
from secretaudit.suite.dissection.conditions import (
    CONDITIONS,
    INDEPENDENT,
    PARTLY,
    SAME,
    TRUE,
    Shared,
    slope_examples,
)
from secretaudit.suite.dissection.pairs import array_of, compared, matrix_of, plain_matrix
from secretaudit.suite.dissection.permutation import between, of_values
from secretaudit.suite.dissection.verdicts import (
    above,
    alike,
    clauses,
    higher,
    interval,
    number,
    p_sentence,
    percent,
)
from secretaudit.suite.statistics import mean_interval
from secretaudit.suite.wording import counted

__all__ = ["agreement", "coherence", "input_gradients", "patterns", "representation"]

Array = NDArray[np.float64]
Trained = dict[str, dict[str, Any]]


def agreement(shared: Shared, pool: Trained) -> dict[str, Any]:
    """P_SAME and κ on held-out inputs, and on the training inputs for comparison."""
    seen = [network["held_out_predictions"] for network in pool.values()]
    fitted = [network["train_predictions"] for network in pool.values()]
    measures = {
        "P_SAME": matrix_of(seen, p_same),
        "kappa": matrix_of(seen, kappa),
        "P_SAME on training inputs": matrix_of(fitted, p_same),
    }
    part = _part(shared, pool, "agreement", measures, ("P_SAME", "kappa"))
    part["inputs"] = len(shared.task.held_out)
    means = {m: part["measures"][m]["within"] for m in ("P_SAME", "kappa")}
    part["sentence"] = clauses(
        f"On {part['inputs']} held-out inputs two networks predict the same class for ",
        (
            f"{percent(same['mean'])} (κ {number(means['kappa'][c]['mean'])}) under {c}"
            for c, same in means["P_SAME"].items()
            if same["mean"] is not None
        ),
        "; ",
    ) + p_sentence(part["measures"]["kappa"]["tests"])
    return part


def representation(
    shared: Shared, pool: Trained, by_layer: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """CKA and SVCCA, per layer and averaged over the layers."""
    names = {"cka": "CKA", "debiased_cka": "debiased CKA", "svcca": "SVCCA"}
    stacked = {
        said: np.stack([array_of(found[key]) for found in by_layer.values()])
        for key, said in names.items()
    }
    part = _part(
        shared,
        pool,
        "representation",
        {said: layers.mean(0) for said, layers in stacked.items()},
        tuple(stacked),
    )
    groups = _groups(pool)
    part["layers"] = {
        layer: {
            said: compared(layers[number], groups, shared.seed, shared.settings.splits)
            for said, layers in stacked.items()
        }
        | {"SVCCA by chance": by_layer[layer]["svcca_chance"]}
        for number, layer in enumerate(by_layer)
    }
    within = part["measures"]["CKA"]["within"]
    part["sentence"] = clauses(
        f"Mean linear CKA over {len(by_layer)} layers: ", _under(within)
    ) + p_sentence(part["measures"]["CKA"]["tests"])
    return part


def input_gradients(shared: Shared, pool: Trained, found: dict[str, Any]) -> dict[str, Any]:
    """Cosines of input gradients."""
    part = _part(
        shared, pool, "input gradients", {"cosine": array_of(found["cosine"])}, ("cosine",)
    )
    part["inputs"] = slope_examples(shared.task, shared.settings)
    part["by"] = "tokens" if shared.task.kind == "text" else "input"
    within = part["measures"]["cosine"]["within"]
    part["sentence"] = clauses(
        "Mean cosine between the input gradients of two networks: ", _under(within)
    ) + p_sentence(part["measures"]["cosine"]["tests"])
    return part


def coherence(shared: Shared, trained: Trained) -> dict[str, Any]:
    """Coherence along training per condition, and whether single examples' coherence finds wrong labels."""
    own = {name: n for name, n in trained.items() if n["status"] == "reached"}
    groups = _groups(own, (*CONDITIONS, PARTLY))
    networks = list(own.values())
    along = [_mean_along(network["coherence"], "mean_cosine") for network in networks]
    rng = np.random.default_rng([shared.seed, 78])
    tests = {
        other: of_values(
            [np.nan if v is None else v for v in along],
            groups[TRUE],
            groups[other],
            rng,
            shared.settings.splits,
        )
        for other in (SAME, INDEPENDENT)
    }
    means = {
        c: mean_interval([v for i in groups[c] if (v := along[i]) is not None]) for c in groups
    }
    aucs = [_mean_along(networks[i]["coherence"], "wrong_label_auc") for i in groups[PARTLY]]
    wrong = mean_interval([value for value in aucs if value is not None])
    part = {
        "status": _status(groups),
        "examples": min(shared.settings.gradient_examples, len(shared.task.train)),
        "curves": {c: _curves([networks[i]["coherence"] for i in groups[c]]) for c in groups},
        "mean_along_training": means,
        "tests": tests,
        "wrong_labels": {
            "share": shared.settings.wrong_labels,
            "auc": wrong,
            "curve": _curve([networks[i]["coherence"] for i in groups[PARTLY]], "wrong_label_auc"),
        },
        "sentence": clauses(
            "Mean cosine between parameter gradients of two examples, averaged along training: ",
            _under({c: means[c] for c in CONDITIONS}, 4),
        )
        + p_sentence(tests)
        + _wrong_sentence(wrong),
        "orderings": [
            higher(
                "coherence",
                "Parameter gradients along training",
                {c: means[c] for c in CONDITIONS},
                tests,
            ),
            above(
                "coherence",
                "Wrongly labelled examples are less coherent with the others than rightly labelled ones (ours; AUC along training, interval above 0.5)",
                wrong,
                0.5,
            ),
        ],
    }
    if "given" in trained:
        part["given"] = trained["given"]["coherence"][0]
    return part


def patterns(
    shared: Shared,
    trained: Trained,
    cues: dict[tuple[int, int], dict[str, Any]],
    grades: Sequence[int],
) -> dict[str, Any]:
    """Cues and learning order."""
    own = {
        n: v
        for n, v in trained.items()
        if v["status"] == "reached" and v["condition"] in CONDITIONS
    }
    groups = _groups(own)
    found = pattern.cue_summary(shared, cues, grades)
    order = pattern.order_summary(shared.task, own, groups, shared.seed, shared.settings.splits)
    claims = [
        above(
            "patterns",
            "Networks prioritize simple input patterns: reliance on a cue rises with its simplicity (rank correlation, interval above 0)",
            found["rank_correlation"],
            0.0,
            "; reliance "
            + ", ".join(
                f"{number(v['mean'])} on {counted(int(g), found['unit'].removesuffix('s'))}"
                for g, v in found["mean_reliance"].items()
                if v["mean"] is not None
            ),
        ),
        *(_simple_first(name, rows.get(TRUE)) for name, rows in order["complexity"].items()),
        alike("patterns", "rank correlation of first-learned epochs", order["order_shared"]),
    ]
    return {
        "status": _status(groups),
        "cues": found,
        "order": order,
        "sentence": _patterns_sentence(found, order),
        "orderings": claims,
    }


def _under(means: dict[str, Any], digits: int = 2) -> list[str]:
    """Means of the conditions that have one."""
    return [
        f"{number(found['mean'], digits)} under {c}"
        for c, found in means.items()
        if found["mean"] is not None
    ]


def _wrong_sentence(auc: dict[str, Any]) -> str:
    if auc["mean"] is None:
        return ""
    return f" A wrong label has a less coherent gradient than a right one with chance {number(auc['mean'])} (0.5: no difference)."


def _patterns_sentence(cues: dict[str, Any], order: dict[str, Any]) -> str:
    first, last = _first(cues), _last(cues)
    told = []
    if first is not None and last is not None:
        told.append(
            f"Where cue and content disagree, networks follow the simplest cue in {percent(first)} of the decided cases and the most complex in {percent(last)}."
        )
    shared = order["order_shared"]["within"].get(TRUE, {}).get("mean")
    told.append(
        "Too few networks with true labels reached the target to compare their orders of learning."
        if shared is None
        else f"Two networks with true labels share the order of learning with rank correlation {number(shared)}."
    )
    return " ".join(told)


def _simple_first(name: str, rows: dict[str, Any] | None) -> dict[str, Any]:
    """The claim that simple examples are learned first, by one measure of complexity."""
    nothing = mean_interval([])
    return above(
        "patterns",
        f"Simple examples are learned first: first-learned epoch rises with complexity ({name}; mean rank correlation within classes, interval above 0)",
        rows["within_classes"] if rows else nothing,
        0.0,
        f"; over all examples {interval(rows['all'] if rows else nothing)}",
    )


def _part(
    shared: Shared, pool: Trained, part_name: str, measures: dict[str, Array], judged: Sequence[str]
) -> dict[str, Any]:
    """What all parts about pairs have in common."""
    groups = _groups(pool)
    found = {
        name: compared(matrix, groups, shared.seed, shared.settings.splits)
        | {"matrix": plain_matrix(matrix)}
        for name, matrix in measures.items()
    }
    part: dict[str, Any] = {
        "status": _status(groups),
        "networks": list(pool),
        "measures": found,
        "orderings": [alike(part_name, name, found[name]) for name in judged],
    }
    if "given" in pool:
        place = [list(pool).index("given")]
        part["given"] = {
            name: {c: between(matrix, place, members) for c, members in groups.items() if members}
            for name, matrix in measures.items()
        }
    return part


def _groups(pool: Trained, names: Sequence[str] = CONDITIONS) -> dict[str, list[int]]:
    """Places of each condition's own networks."""
    return {
        name: [
            i
            for i, network in enumerate(pool.values())
            if network["condition"] == name and network["status"] == "reached"
        ]
        for name in names
    }


def _status(groups: dict[str, list[int]]) -> str:
    return "measured" if all(len(members) >= 2 for members in groups.values()) else "not reached"


def _curves(looks: Sequence[Sequence[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {name: _curve(looks, name) for name in ("mean_cosine", "of_examples")}


def _curve(looks: Sequence[Sequence[dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    """Mean over the networks that were looked at after each epoch; a network's last look is of an epoch of its own and stands in ``mean_along_training``."""
    epochs = sorted({look["epoch"] for own in looks for look in own})
    rows = []
    for epoch in epochs:
        at = [look for own in looks for look in own if look["epoch"] == epoch]
        values = [look[name] for look in at if look[name] is not None]
        if 2 * len(at) >= len(looks) and values:
            accuracies = [
                look["train_accuracy"] for look in at if look["train_accuracy"] is not None
            ]
            rows.append(
                {"epoch": epoch, **mean_interval(values)}
                | {"train_accuracy": float(np.mean(accuracies)) if accuracies else None}
            )
    return rows


def _mean_along(looks: Sequence[dict[str, Any]], name: str) -> float | None:
    """Mean over the looks after training began."""
    values = [look[name] for look in looks if look["epoch"] > 0 and look[name] is not None]
    return float(np.mean(values)) if values else None


def _first(found: dict[str, Any]) -> float | None:
    value: float | None = found["mean_reliance"][str(found["simplest_first"][0])]["mean"]
    return value


def _last(found: dict[str, Any]) -> float | None:
    value: float | None = found["mean_reliance"][str(found["simplest_first"][-1])]["mean"]
    return value
