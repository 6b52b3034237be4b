"""One HTML page that needs nothing else: no network, no script, no fonts, no files beside it.

Everything that comes from data (names of classes, paths, sentences) is escaped; only the figures, which we drew, are put in as they are.
A content-security policy in the page forbids scripts and outside resources on top of that. A verdict is said in words and with a sign, never by
colour alone, and what could not be measured or judged never looks like what was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from secretaudit.report.values import Table

__all__ = ["Drawn", "DrawnPanel", "Ordering", "Page", "Part", "Section", "render", "verdict"]

_NUMBER = re.compile(r"[-−+<>≤≥±]?\s?\d[\d.,]*(\s|%|$|\(|·|e)|–($|\s)")
_TAG = re.compile(r"<[a-zA-Z][^<>]*>")
_NOT_SHOWN = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """A claim of a paper, held against the run.

    Attributes:
        part: The measure that it was judged by.
        claim: In words, with the rule.
        seen: The numbers.
        holds: ``None``: could not be judged.
    """

    part: str
    claim: str
    seen: str
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class DrawnPanel:
    """A panel of a figure.

    Attributes:
        svg: The drawing.
        numbers: What it was drawn from.
        wide: Takes half the page where others take a third.
    """

    svg: bytes
    numbers: Table
    wide: bool


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure as the page shows it.

    Attributes:
        name: Stem of its files; different for each figure of a page.
        title: Above it.
        caption: Below it.
        panels: What it consists of.
        files: Links to the files beside the page, label → relative address.
    """

    name: str
    title: str
    caption: str
    panels: tuple[DrawnPanel, ...]
    files: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A measure of a module.

    Attributes:
        name: As in the record.
        status: As in the record.
        sentence: What came out, or why nothing did.
        figures: Those that belong to it.
    """

    name: str
    status: str
    sentence: str
    figures: tuple[Drawn, ...] = ()

    @property
    def state(self) -> str:
        """How it looks: "measured", "short" (it ended before its goal) or "missing" (any other status)."""
        return {"measured": "measured", "not reached": "short"}.get(self.status, "missing")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A module.

    Attributes:
        name: Of the module, for links.
        title: The heading.
        question: What it asks, one sentence.
        source: The paper.
        sentence: Why there is nothing below; "" where there is.
        orderings: The paper's claims.
        parts: Its measures.
        figures: Those that belong to no part.
        tables: Those that a person reads first.
        asked: Every setting, path and value.
        environment: Where it ran, path and value.
    """

    name: str
    title: str
    question: str
    source: str
    sentence: str = ""
    orderings: tuple[Ordering, ...] = ()
    parts: tuple[Part, ...] = ()
    figures: tuple[Drawn, ...] = ()
    tables: tuple[Table, ...] = ()
    asked: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def standing(self) -> str:
        """How it went, in a few words: its orderings, or the status of all its parts where none was judged."""
        if self.orderings:
            holding = sum(one.holds is True for one in self.orderings)
            return f"{holding} of {len(self.orderings)} orderings hold"
        return ", ".join(dict.fromkeys(part.status for part in self.parts))


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report.

    Attributes:
        title: Of the page.
        facts: What was examined, and how: name and value.
        sections: One for each module.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def render(page: Page) -> str:
    """The page as one HTML document; the same page gives the same text."""
    environment = Environment(
        loader=PackageLoader("secretaudit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(inline=inline, numeric=numeric, words=words)
    judged = [ordering for section in page.sections for ordering in section.orderings]
    parts = [part for section in page.sections for part in section.parts]
    shown: dict[str, Any] = {
        "page": page,
        "verdict": verdict,
        "counts": _counts(judged, parts),
    }
    return environment.get_template("report.html").render(shown)


def verdict(holds: bool | None) -> tuple[str, str, str]:
    """Class, sign and words of a verdict."""
    if holds is None:
        return ("unjudged", "?", "could not be judged")
    return ("holds", "✓", "holds") if holds else ("fails", "✗", "does not hold")


def inline(svg: bytes, name: str, label: str) -> Markup:
    """An SVG document as a part of the page.

    Args:
        svg: A document that ``drawing`` made.
        name: Put before every id in it, since ids must differ throughout a page.
        label: What a screen reader says.
    """
    drawing = _NOT_SHOWN.sub("", svg.decode("utf-8"))
    drawing = _TAG.sub(lambda tag: _renamed(tag.group(), name), drawing).strip()
    opening = Markup('<svg role="img" aria-label="{}"').format(label)
    return Markup(drawing.replace("<svg", opening, 1))  # noqa: S704  # our own drawing, its text escaped


def numeric(cell: str) -> bool:
    """Whether a cell is set to the right, as numbers are."""
    return bool(_NUMBER.match(cell)) or cell in {"", "—"}


def words(name: str) -> str:
    """A name of the record as words: "random_labels" → "random labels"."""
    return name.replace("_", " ")


def _renamed(tag: str, name: str) -> str:
    return re.sub(r'( id="|href="#|url\(#)', lambda found: f"{found.group()}{name}-", tag)


def _counts(judged: Sequence[Ordering], parts: Sequence[Part]) -> dict[str, int]:
    return {
        "orderings": len(judged),
        "holds": sum(one.holds is True for one in judged),
        "fails": sum(one.holds is False for one in judged),
        "unjudged": sum(one.holds is None for one in judged),
        "parts": len(parts),
        "measured": sum(part.state == "measured" for part in parts),
        "short": sum(part.state == "short" for part in parts),
        "missing": sum(part.state == "missing" for part in parts),
    }
