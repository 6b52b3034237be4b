"""What is shown of ``suite noise``: each part's figures and tables, made in a file of its own.

To show a new part: a file ``noise_PART.py`` with ``figures(part)`` and ``tables(part)``, and a line in ``_PARTS``.
"""

from __future__ import annotations

from typing import Any

from secretaudit.report import (
    noise_capacity,
    noise_critical,
    noise_ease,
    noise_language,
    noise_regularizers,
    noise_sensitivity,
)
from secretaudit.report.figure import Figure

__all__ = ["figures", "tables"]

Table = tuple[str, list[str], list[list[str]]]

#: In the order of the paper.
_PARTS = {
    "ease": noise_ease,
    "sensitivity": noise_sensitivity,
    "critical": noise_critical,
    "capacity": noise_capacity,
    "regularizers": noise_regularizers,
    "language": noise_language,
}


def figures(found: dict[str, Any]) -> list[Figure]:
    """All figures of the parts that were measured."""
    return [figure for name, part in _measured(found) for figure in _PARTS[name].figures(part)]


def tables(found: dict[str, Any]) -> list[Table]:
    """The few tables that a person reads first: title, head, rows."""
    return [table for name, part in _measured(found) for table in _PARTS[name].tables(part)]


def _measured(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Parts that have numbers, in the order of the paper; "not reached" has how far it came."""
    parts = found.get("parts", {})
    known = ("measured", "not reached")
    return [(n, parts[n]) for n in _PARTS if parts.get(n, {}).get("status") in known]
