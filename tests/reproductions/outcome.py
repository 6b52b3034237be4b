"""What an experiment leaves: a table, the paper's orderings with a verdict each, and a JSON document of both.

A verdict is "holds", "does not hold" or "could not be judged", by a rule that the experiment fixes before it runs and that stands beside it. It says what this run
showed; an ordering between means that lie within each other's intervals may come out the other way with another seed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from secretaudit.atomic import write_json
from secretaudit.records import environment


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """A claim of the paper, held against this run.

    Attributes:
        claim: In words, with the rule by which it is judged.
        seen: The numbers it was judged by.
        holds: The verdict; ``None`` where this run cannot tell.
    """

    claim: str
    seen: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        """The verdict as a word."""
        return {True: "holds", False: "does not hold", None: "could not be judged"}[self.holds]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out.

    Attributes:
        title: Of the table.
        columns: Its heads.
        rows: Its cells, as they are printed.
        orderings: The paper's claims.
        values: Every number behind the table, as plain JSON.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    orderings: Sequence[Ordering]
    values: Any = field(default=None)


def printed(outcome: Outcome) -> str:
    """The table and the verdicts, in Markdown."""
    lines = [outcome.title, "", _line(outcome.columns), _line(["---"] * len(outcome.columns))]
    lines += [_line(row) for row in outcome.rows]
    lines += ["", "| the paper's ordering | this run | |", "|---|---|---|"]
    lines += [_line([o.claim, o.seen, o.verdict]) for o in outcome.orderings]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_outcome(
    directory: Path,
    name: str,
    outcome: Outcome,
    *,
    sizes: Any,
    full: bool,
    seed: int,
    started: float,
) -> Path:
    """One JSON document per experiment: what was asked, what was found, where and when."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    orderings = [asdict(o) | {"verdict": o.verdict} for o in outcome.orderings]
    write_json(
        path,
        {
            "experiment": name,
            "asked": {"seed": seed, "full": full, "sizes": asdict(sizes)},
            "found": {
                "title": outcome.title,
                "columns": list(outcome.columns),
                "rows": [list(row) for row in outcome.rows],
                "orderings": orderings,
                "values": outcome.values,
            },
            "environment": environment(seed=seed, started=started)
            | {"cores": os.cpu_count(), "minutes": round((time.time() - started) / 60, 1)},
        },
    )
    return path
