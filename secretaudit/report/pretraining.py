"""Figures and tables of ``suite pretraining`` (Pondenkandath et al. 2018), made from the ``found`` of its record.

The paper's figure 1 is the training accuracy of one network whose labels are re-shuffled again and again. The other figures have no counterpart that we could read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.values import with_interval

__all__ = ["figures", "tables"]

_Table = tuple[str, list[str], list[list[str]]]


def figures(found: dict[str, Any]) -> list[Figure]:
    """What can be drawn of the parts that were measured."""
    parts = found["parts"]
    drawn = []
    if (rounds := parts.get("rounds", {})).get("rounds"):
        drawn.append(_rounds(rounds))
    if (transfer := parts.get("transfer", {})).get("conditions"):
        drawn.append(_transfer(transfer))
    if (continuations := parts.get("continuations", {})).get("curves"):
        drawn.append(_continuations(continuations))
    return drawn


def tables(found: dict[str, Any]) -> list[_Table]:
    """Rounds, conditions and exposures, as far as they were measured."""
    parts = found["parts"]
    made = []
    if (rounds := parts.get("rounds", {})).get("rounds"):
        made.append(_rounds_table(rounds))
    if (transfer := parts.get("transfer", {})).get("conditions"):
        made.append(_transfer_table(transfer))
    if (continuations := parts.get("continuations", {})).get("by_insertions"):
        made.append(_continuations_table(continuations))
    return made


def _line(label: str, values: Iterable[float], style: str = "line") -> Series:
    """A curve by epoch, counted from 1."""
    y = tuple(values)
    return Series(label=label, x=tuple(float(i + 1) for i in range(len(y))), y=y, style=style)


def _with_interval(
    label: str, x: Iterable[str], means: list[dict[str, Any]], scale: float, style: str
) -> Series:
    """Means with their intervals; where there is none, the mean stands for both ends."""

    def scaled(name: str) -> tuple[float | None, ...]:
        chosen = (m["mean"] if m[name] is None else m[name] for m in means)
        return tuple(None if value is None else scale * value for value in chosen)

    return Series(
        label=label,
        x=tuple(x),
        y=scaled("mean"),
        low=scaled("low"),
        high=scaled("high"),
        style=style,
    )


def _rounds(part: dict[str, Any]) -> Figure:
    rows = part["rounds"]
    return Figure(
        name="pretraining-rounds",
        title="Memorizing re-drawn random labels (Pondenkandath et al., figure 1)",
        caption="Left: share of the random labels that the network gives, by epoch; each round has new labels and starts with the weights of the one before. "
        f"Right: epochs until {100 * part['target']:g} % of them were memorized, at most {part['cap']}; bars with 95 % intervals over seeds. Later rounds below the first are what the paper reports.",
        panels=(
            Panel(
                title="accuracy on the random labels",
                x_label="epoch of the round",
                y_label="training accuracy",
                series=tuple(_line(f"round {row['round']}", row["curve"]) for row in rows),
                y_range=(0.0, 1.0),
                lines=((part["target"], "target"),),
            ),
            Panel(
                title="epochs to the target",
                x_label="round",
                y_label="epochs",
                series=(
                    _with_interval(
                        "",
                        (str(row["round"]) for row in rows),
                        [row["epochs"] for row in rows],
                        1.0,
                        "bars",
                    ),
                ),
            ),
        ),
    )


def _transfer(part: dict[str, Any]) -> Figure:
    gains = part["gains"]
    return Figure(
        name="pretraining-transfer-gain",
        title="True labels after random ones, against scratch (Pondenkandath et al.)",
        caption="Left: held-out accuracy by epoch, mean over seeds. Right: difference to the network from scratch after the last epoch, paired by seed, with 95 % intervals; "
        "an interval above 0 is a gain. Rescaled: random weights with the pre-trained norms.",
        panels=(
            Panel(
                title="held-out accuracy",
                x_label="epoch on true labels",
                y_label="accuracy",
                series=tuple(
                    _line(name, condition["curve"], "dashed" if name == "scratch" else "line")
                    for name, condition in part["conditions"].items()
                ),
            ),
            Panel(
                title="gain against scratch",
                x_label="condition",
                y_label="points of accuracy",
                series=(_with_interval("", gains, list(gains.values()), 100.0, "points"),),
                lines=((0.0, "no gain"),),
            ),
        ),
    )


def _continuations(part: dict[str, Any]) -> Figure:
    times = list(part["by_insertions"])
    return Figure(
        name="pretraining-continuations",
        title="Random text before real text: loss and exposure of canaries",
        caption="Left: training loss on the random text and then on the real text, by epoch. Right: mean exposure of canaries by their number of insertions, with 95 % intervals over "
        "seeds; 0 insertions are the controls. More is more memorized.",
        panels=(
            Panel(
                title="training loss",
                x_label="epoch",
                y_label="bits per token",
                series=(
                    *(_line(f"real text, {name}", y) for name, y in part["curves"].items()),
                    _line("random text", part["noise_bits"], "dashed"),
                ),
            ),
            Panel(
                title="exposure",
                x_label="insertions",
                y_label="bits",
                series=tuple(
                    _with_interval(
                        name,
                        times,
                        [part["by_insertions"][count]["bits"][name] for count in times],
                        1.0,
                        "points",
                    )
                    for name in part["exposure_bits"]
                ),
            ),
        ),
    )


def _rounds_table(part: dict[str, Any]) -> _Table:
    rows = [
        [
            str(row["round"]),
            f"{row['reached']} of {row['seeds']}",
            with_interval(row["epochs"], ".1f"),
            with_interval(row["accuracy"], ".1f", 100.0),
        ]
        for row in part["rounds"]
    ]
    head = ["round", "reached the target", "epochs", "accuracy on random labels, %"]
    return (f"Memorization of {part['examples']} random labels", head, rows)


def _transfer_table(part: dict[str, Any]) -> _Table:
    rows = []
    for name, condition in part["conditions"].items():
        gain = part["gains"].get(name)
        rows.append(
            [
                name,
                with_interval(condition["held_out"], ".1f", 100.0),
                "" if gain is None else with_interval(gain, "+.1f", 100.0),
                with_interval(condition["epochs_to"], ".1f"),
                f"{condition['reached']} of {part['seeds']}",
            ]
        )
    fixed = f"{100 * part['fixed_accuracy']:.1f} %"
    head = ["start", "held-out accuracy, %", "gain, points", f"epochs to {fixed}", "reached it"]
    times = f"{part['epochs']} epoch{'s' * (part['epochs'] != 1)}"
    return (f"After {times} on true labels", head, rows)


def _inserted(count: str) -> str:
    if count == "0":
        return "exposure, controls"
    return f"exposure, {count} insertion{'s' * (count != '1')}"


def _continuations_table(part: dict[str, Any]) -> _Table:
    rows = [
        [
            _inserted(count),
            *(with_interval(found["bits"][name], ".1f") for name in ("scratch", "pre-trained")),
            with_interval(found["difference"], "+.1f"),
        ]
        for count, found in part["by_insertions"].items()
    ]
    rows.append(
        [
            "held-out text, per token",
            *(
                with_interval(part["held_out_bits"][name], ".3f")
                for name in ("scratch", "pre-trained")
            ),
            with_interval(part["held_out_difference"], "+.3f"),
        ]
    )
    return (
        "Random text before real text, bits",
        ["", "scratch", "pre-trained", "difference"],
        rows,
    )
