"""All parts of the noise module, one after the other, into the ``found`` of its record.

Parts are "measured", "not applicable" (a language model has no images to replace), or "could not measure" with the reason; one that could not
measure does not keep the others from measuring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.suite.noise import (
    capacity,
    critical,
    ease,
    language,
    regularizers,
    sensitivity,
)
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Run

__all__ = ["run"]

#: Parts of classifiers, in the order of the paper.
_OF_CLASSIFIERS = {
    "ease": ease.measure,
    "sensitivity": sensitivity.measure,
    "critical": critical.measure,
    "capacity": capacity.measure,
    "regularizers": regularizers.measure,
}


def run(
    subject: ClassifierSubject | LanguageSubject, settings: NoiseSettings, run: Run
) -> dict[str, Any]:
    """Measure the parts that were asked for.

    Args:
        subject: A kind of classifier and its examples, or of language model and its text.
        settings: The dials.
        run: Seed and cells.

    Returns:
        ``parts`` by name, each with ``status`` and ``sentence``, and the paper's ``orderings`` with what was seen.

    Raises:
        CouldNotMeasure: No part that was asked for applies to the subject.
    """
    parts: dict[str, dict[str, Any]] = {}
    orderings: list[dict[str, Any]] = []
    for name in settings.parts:
        if (name == "language") != isinstance(subject, LanguageSubject):
            parts[name] = _not_applicable(name)
            continue
        if isinstance(subject, LanguageSubject):
            parts[name], claims = _measured(lambda: language.measure(subject, settings, run))
        else:
            work = _OF_CLASSIFIERS[name]
            parts[name], claims = _measured(lambda work=work: work(subject, settings, run))  # type: ignore[misc]  # mypy cannot infer a lambda's default
        orderings += claims
    if all(part["status"] == "not applicable" for part in parts.values()):
        raise CouldNotMeasure(
            f"None of these parts applies: {', '.join(parts)}.",
            list(parts.values())[-1]["sentence"],
            "Choose other parts, or leave the choice out.",
        )
    return {"parts": parts, "orderings": orderings}


Found = tuple[dict[str, Any], list[dict[str, Any]]]


def _measured(work: Callable[[], Found]) -> Found:
    """What a part found, or why it could not."""
    try:
        return work()
    except (CouldNotMeasure, ModelError) as error:
        return {"status": "could not measure", "sentence": " ".join(str(error).splitlines())}, []


def _not_applicable(name: str) -> dict[str, Any]:
    of = "language models" if name == "language" else "classifiers"
    return {"status": "not applicable", "sentence": f"This part is of {of}."}
