"""The report of the suite: records to figures on disk and one HTML page.

``REPORTS`` says for each kind of record where its figures and tables are made; a module's file has ``figures(found)`` and ``tables(found)``. A record of
kind "suite" (a run of all modules) brings no figures of its own: a module that could not measure, and so left no record, is shown with its
reason. Everything is made from the records, nothing is measured here, and no model library is imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from secretaudit.atomic import disk_errors, write_bytes, write_text
from secretaudit.errors import RecordError, UsageError
from secretaudit.records import Record
from secretaudit.report.drawing import is_wide, panel_svgs, whole
from secretaudit.report.figure import Figure
from secretaudit.report.page import Drawn, DrawnPanel, Ordering, Page, Part, Section, render
from secretaudit.report.values import Table, facts, numbers_behind, shown

__all__ = ["REPORTS", "Report", "write_report"]

FIGURES = "figures"
_ALL = "suite"


@dataclass(frozen=True, kw_only=True)
class Report:
    """How the records of one kind are shown.

    Attributes:
        title: Heading of the section.
        question: What the module asks.
        source: The paper.
        drawn_by: The Python module that has ``figures`` and ``tables``; imported when such a record is shown.
    """

    title: str
    question: str
    source: str
    drawn_by: str


#: Kind of record → how it is shown.
REPORTS = {
    "suite-noise": Report(
        title="Noise",
        question="Real data against noise: which examples are easy, which matter, and how much is memorized?",
        source="After Arpit et al., A Closer Look at Memorization in Deep Networks, ICML 2017 (arXiv 1706.05394).",
        drawn_by="secretaudit.report.noise",
    ),
    "suite-neighbours": Report(
        title="Neighbours",
        question="Is the network a nearest-neighbour rule in its own embedding?",
        source="After Cohen, Sapiro and Giryes, DNN or k-NN, 2018 (arXiv 1805.06822).",
        drawn_by="secretaudit.report.neighbours",
    ),
    "suite-pretraining": Report(
        title="Pre-training",
        question="Does memorizing random labels first help later?",
        source="After Pondenkandath et al., Leveraging Random Label Memorization for Unsupervised Pre-Training, 2018 (arXiv 1811.01640).",
        drawn_by="secretaudit.report.pretraining",
    ),
    "suite-dissection": Report(
        title="Dissection",
        question="One way to learn, many ways to memorize: how alike are networks?",
        source="After Gu and Tresp, Neural Network Memorization Dissection, 2019 (arXiv 1911.09537); only its abstract was available, the estimators are ours.",
        drawn_by="secretaudit.report.dissection",
    ),
}


def write_report(
    records: Sequence[Record], directory: str | Path, *, name: str = "report.html"
) -> Path:
    """Write the figures of records as files, and one page with all of them.

    The figures are ``figures/NAME.svg`` and ``figures/NAME.png`` in the directory, and in the page itself: it can be moved alone. The page is written
    last, so that it never names a file that is not there. The same records give the same bytes.

    Args:
        records: Of kind "suite-…", one section each, in this order; and of kind "suite" for modules that left no record.
        directory: Where; made if it is not there. Files of the same names are replaced, nothing else is touched.
        name: Of the page.

    Returns:
        The page.

    Raises:
        UsageError: No records, or a name that is a path.
        RecordError: A kind of record that has no such report.
        CouldNotMeasure: The disk is full.
    """
    if not records:
        raise UsageError(
            "No report was written.", "There is no record to show.", "Pass at least one record."
        )
    if Path(name).name != name or name in {"", ".", ".."}:
        raise UsageError(
            f"The page cannot be called {name!r}.",
            "It is written into the directory that was named.",
            "Pass a file name such as report.html, and the place as the directory.",
        )
    for record in records:
        _check_kind(record)
    place = Path(directory)
    with disk_errors(place):
        (place / FIGURES).mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    sections = [_section(record, place, taken) for record in records if record.kind != _ALL]
    sections += _without_record(records, {section.name for section in sections})
    page = Page(title=_title(records), facts=_facts(records), sections=tuple(sections))
    write_text(place / name, render(page))
    return place / name


def _check_kind(record: Record) -> None:
    if record.kind not in REPORTS and record.kind != _ALL:
        raise RecordError(
            f"A record of kind {record.kind!r} has no page.",
            f"Pages show records of the kinds {', '.join([*REPORTS, _ALL])}.",
            "Name the record of a suite run.",
        )


def _section(record: Record, place: Path, taken: set[str]) -> Section:
    """One module's section; its figures are written on the way."""
    report, found = REPORTS[record.kind], record.found
    module = import_module(report.drawn_by)
    drawn = [_write_figure(figure, place, taken) for figure in module.figures(found)]
    parts = found.get("parts", {})
    stem = record.kind.removeprefix(f"{_ALL}-")
    homes = {figure.name: _home(figure.name, stem, parts) for figure in drawn}
    return Section(
        name=_unused(stem, taken),
        title=report.title,
        question=report.question,
        source=report.source,
        orderings=tuple(_ordering(given) for given in found.get("orderings", [])),
        parts=tuple(
            Part(
                name=name,
                status=str(part.get("status", "unknown")),
                sentence=str(part.get("sentence", "")),
                figures=tuple(figure for figure in drawn if homes[figure.name] == name),
            )
            for name, part in parts.items()
        ),
        figures=tuple(figure for figure in drawn if homes[figure.name] is None),
        tables=tuple(
            Table(title=title, head=tuple(head), rows=tuple(tuple(row) for row in rows))
            for title, head, rows in module.tables(found)
        ),
        asked=tuple(facts(record.asked)),
        environment=tuple(facts(record.environment)),
    )


def _write_figure(figure: Figure, place: Path, taken: set[str]) -> Drawn:
    name = _unused(re.sub(r"[^A-Za-z0-9_-]+", "-", figure.name).strip("-") or "figure", taken)
    drawing, picture = whole(figure)
    write_bytes(place / FIGURES / f"{name}.svg", drawing)
    write_bytes(place / FIGURES / f"{name}.png", picture)
    return Drawn(
        name=name,
        title=figure.title,
        caption=figure.caption,
        panels=tuple(
            DrawnPanel(svg=svg, numbers=numbers_behind(panel), wide=is_wide(panel))
            for svg, panel in zip(panel_svgs(figure), figure.panels, strict=True)
        ),
        files={kind.upper(): f"{FIGURES}/{name}.{kind}" for kind in ("svg", "png")},
    )


def _unused(name: str, taken: set[str]) -> str:
    """The name, with a number behind it if a figure of another record has it."""
    tries = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    free = next(one for one in tries if one not in taken)
    taken.add(free)
    return free


def _home(name: str, stem: str, parts: Mapping[str, Any]) -> str | None:
    """The part that a figure belongs to, by its name: "noise-input-gradients-mean" belongs to "input gradients"."""
    tail = name.removeprefix(f"{stem}-")
    named = ((re.sub(r"[^a-z0-9]+", "-", part.lower()), part) for part in parts)
    slugs = sorted(named, key=lambda pair: -len(pair[0]))
    return next((part for slug, part in slugs if f"{tail}-".startswith(f"{slug}-")), None)


def _ordering(given: Mapping[str, Any]) -> Ordering:
    holds = given.get("holds")
    return Ordering(
        part=str(given.get("part", "")),
        claim=str(given.get("claim", "")),
        seen=shown(given.get("seen")),
        holds=holds if isinstance(holds, bool) else None,
    )


def _without_record(records: Sequence[Record], there: set[str]) -> list[Section]:
    """Modules of a run of all that left no record, with the reason."""
    sections = []
    for record in records:
        if record.kind != _ALL:
            continue
        for module, went in record.found.get("modules", {}).items():
            report = REPORTS.get(f"{_ALL}-{module}")
            if module in there or report is None:
                continue
            part = Part(
                name=module,
                status=str(went.get("status", "unknown")),
                sentence=str(went.get("sentence", "")),
            )
            sections.append(
                Section(
                    name=module,
                    title=report.title,
                    question=report.question,
                    source=report.source,
                    parts=(part,),
                )
            )
    return sections


def _title(records: Sequence[Record]) -> str:
    titles = [REPORTS[record.kind].title for record in records if record.kind != _ALL]
    data = _subject(records[0]).get("data", {}).get("name")
    return f"{' · '.join(titles) or 'Suite'}{f': {data}' if data else ''}"


def _subject(record: Record) -> Mapping[str, Any]:
    subject = record.asked.get("subject", {})
    return subject if isinstance(subject, Mapping) else {}


def _facts(records: Sequence[Record]) -> tuple[tuple[str, str], ...]:
    """What a person wants to know first; every setting stands in its section."""
    record = records[0]
    data, model = (_subject(record).get(key, {}) for key in ("data", "model"))
    ran = record.environment
    given = [
        ("data", _joined(data, "name", "kind")),
        ("examples", _sizes(data)),
        ("classes", _class_names(data)),
        ("source", data.get("source")),
        ("model", _joined(model, "name", "given", "directory", "kind")),
        ("seed", record.asked.get("seed", ran.get("seed"))),
        ("began", ran.get("date")),
        (
            "took",
            _duration(sum(float(r.environment.get("seconds") or 0) for r in _measured(records))),
        ),
        ("where", _joined(ran, "device", "platform")),
        ("versions", shown(ran.get("versions", {}))),
        ("commit of the working directory", ran.get("commit")),
    ]
    return tuple((name, str(value)) for name, value in given if value not in (None, ""))


def _measured(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.kind != _ALL] or list(records)


def _joined(given: Mapping[str, Any], *names: str) -> str:
    return ", ".join(str(given[name]) for name in names if given.get(name) not in (None, ""))


def _sizes(data: Mapping[str, Any]) -> str:
    sizes = [(data.get("train"), "for training"), (data.get("held_out"), "held out")]
    return ", ".join(f"{shown(size)} {use}" for size, use in sizes if isinstance(size, int))


def _class_names(data: Mapping[str, Any]) -> str:
    classes = data.get("classes")
    return f"{len(classes)}: {shown(classes)}" if isinstance(classes, list) else ""


def _duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
