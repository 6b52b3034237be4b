"""Values as a person reads them, and the numbers behind a figure as tables.

Nothing is left out without a word: what was not measured is a dash, and a table that would be too long for a page says how many rows there
are and where they all stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from secretaudit.report.figure import Matrix, Panel, Series

__all__ = ["NOTHING", "Table", "facts", "numbers_behind", "said", "shown", "with_interval"]

NOTHING = "–"
_ROWS = 400
_ITEMS = 12
_INTERVAL = {"mean", "low", "high"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text.

    Attributes:
        title: Above it.
        head: Names of the columns.
        rows: Cells; the first of each row names it.
        note: A sentence below it; "" for none.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def shown(value: object) -> str:
    """A value of a record in words.

    >>> shown(0.123456), shown(12345), shown(None), shown(True), shown([1, 2]), shown({"real": 0.5, "n": 3})
    ('0.1235', '12,345', '–', 'yes', '1, 2', 'real 0.5; n 3')
    >>> shown({"difference": {"mean": 0.5, "low": 0.41234, "high": 0.6, "n": 3, "p_value": 0.01}})
    'difference 0.500 (0.412 to 0.600), n 3, p 0.0100'
    """
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}".replace("-", "−")
        case float():
            exact = value.is_integer() and abs(value) < 1e6
            return (f"{value:,.0f}" if exact else f"{value:.4g}").replace("-", "−")
        case Mapping() if value.keys() >= _INTERVAL:
            return _interval(value)
        case Mapping():
            return (
                "; ".join(f"{_word(key)} {shown(item)}" for key, item in value.items()) or NOTHING
            )
        case list() | tuple():
            more = f", … ({len(value):,} in all)" if len(value) > _ITEMS else ""
            return (", ".join(shown(item) for item in value[:_ITEMS]) or NOTHING) + more
        case _:
            return str(value)


def _interval(given: Mapping[str, object]) -> str:
    """A mean with its ends, to three digits, and whatever stands beside them."""
    mean, low, high = (given[name] for name in ("mean", "low", "high"))
    ends = f" ({_three(low)} to {_three(high)})" if None not in (low, high) else ""
    others = [(key, item) for key, item in given.items() if key not in _INTERVAL]
    beside = "".join(f", {_word(key)} {_three(item)}" for key, item in others if item is not None)
    return f"{_three(mean)}{ends}{beside}"


def _three(value: object) -> str:
    if not isinstance(value, float):
        return shown(value)
    return f"{value:#.3g}".rstrip(".").replace("-", "−")


def _word(key: object) -> str:
    return "p" if key == "p_value" else str(key).replace("_", " ")


def said(value: float | None, form: str) -> str:
    """A number with a true minus sign; what is rounded to zero has no sign, and nothing is a dash.

    >>> said(-0.25, ".2f"), said(-0.001, "+.2f"), said(None, ".2f")
    ('−0.25', '0.00', '–')
    """
    if value is None:
        return NOTHING
    text = format(value, form)
    if not text.strip("+-0.,"):
        return text.lstrip("+-")
    return text.replace("-", "−")


def with_interval(mean: Mapping[str, float | None], form: str, times: float = 1.0) -> str:
    """A mean with its interval, as cells of tables show it.

    Args:
        mean: ``mean``, ``low``, ``high``, and perhaps more.
        form: Of each number.
        times: Factor, such as 100 for points.

    >>> with_interval({"mean": 0.2, "low": -0.1, "high": 0.5}, ".0f", 100.0)
    '20 (−10 to 50)'
    """
    middle, low, high = (
        None if value is None else times * value
        for value in (mean["mean"], mean["low"], mean["high"])
    )
    if low is None or high is None:
        return said(middle, form)
    return f"{said(middle, form)} ({said(low, form)} to {said(high, form)})"


def facts(value: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a nested mapping with its path.

    >>> list(facts({"data": {"name": "digits"}, "seed": 0}))
    [('data.name', 'digits'), ('seed', '0')]
    """
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from facts(item, f"{before}{key}.")
        else:
            plain = str(item) if isinstance(item, int) and not isinstance(item, bool) else None
            yield f"{before}{key}", plain if plain is not None else shown(item)


def numbers_behind(panel: Panel | Matrix) -> Table:
    """The numbers that a panel draws: a row for each position, a column for each series."""
    return _of_matrix(panel) if isinstance(panel, Matrix) else _of_panel(panel)


def _of_matrix(matrix: Matrix) -> Table:
    rows = [
        (name, *(shown(value) for value in values))
        for name, values in zip(matrix.rows, matrix.values, strict=True)
    ]
    corner = f"{matrix.y_label} \\ {matrix.x_label}"
    return _cut(matrix.title, (corner, *matrix.columns), rows)


def _of_panel(panel: Panel) -> Table:
    positions = dict.fromkeys(x for one in panel.series for x in one.x)
    repeated = any(len(set(one.x)) < len(one.x) for one in panel.series)
    rows = _long(panel) if repeated else _wide(panel, list(positions))
    name = panel.x_label or "case"
    head = ("series", name, panel.y_label) if repeated else (name, *map(_column, panel.series))
    lines = "; ".join(f"{label} {shown(height)}" for height, label in panel.lines)
    note = f"Lines: {lines}." if lines else ""
    return _cut(panel.title, head, rows, note)


def _wide(panel: Panel, positions: Sequence[float | str]) -> list[tuple[str, ...]]:
    if all(not isinstance(x, str) for x in positions):
        positions = sorted(positions)
    columns = [dict(zip(one.x, _cells(one), strict=True)) for one in panel.series]
    return [(_x(x), *(column.get(x, NOTHING) for column in columns)) for x in positions]


def _long(panel: Panel) -> list[tuple[str, ...]]:
    return [
        (one.label, _x(x), cell)
        for one in panel.series
        for x, cell in zip(one.x, _cells(one), strict=True)
    ]


def _cells(one: Series) -> list[str]:
    """Each value with its interval."""
    nothing = (None,) * len(one.y)
    ends = zip(one.y, one.low or nothing, one.high or nothing, strict=True)
    return [
        shown(y) if low is None or high is None else f"{shown(y)} ({shown(low)} to {shown(high)})"
        for y, low, high in ends
    ]


def _column(one: Series) -> str:
    return one.label or "value"


def _x(x: float | str) -> str:
    return x if isinstance(x, str) else shown(x)


def _cut(
    title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str = ""
) -> Table:
    if len(rows) > _ROWS:
        note += f" The first {_ROWS} of {len(rows):,} rows; the record has them all."
    return Table(title=title, head=head, rows=tuple(rows[:_ROWS]), note=note.strip())
