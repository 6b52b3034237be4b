"""A command line in the same process, and public functions that only note how they were called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

import secretaudit
from secretaudit.cli.application import run
from secretaudit.records import Record


@dataclass(frozen=True)
class Outcome:
    """What one call of the command line left behind."""

    code: int
    stdout: str
    stderr: str


@dataclass
class Fake:
    """A public function that returns (or raises) what it is told, and keeps its arguments."""

    result: Any
    positional: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *positional: Any, **named: Any) -> Any:
        self.positional, self.named = positional, named
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run a command line in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def called(*arguments: object) -> Outcome:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return called


@pytest.fixture
def fake(monkeypatch):
    """Put a fake in the place of a public function."""

    def replaced(name: str, result: Any) -> Fake:
        double = Fake(result)
        monkeypatch.setitem(vars(secretaudit), name, double)
        return double

    return replaced


def canary(name: str, insertions: int, low: float, high: float, **more: Any) -> dict[str, Any]:
    """One entry of an exposure record."""
    return {
        "id": name,
        "format": "random-number",
        "secret": "2••••••7",
        "insertions": insertions,
        "log_perplexity_bits": 31.0,
        "exposure_bits": (low + high) / 2,
        "exposure_low_bits": low,
        "exposure_high_bits": high,
        "max_exposure_bits": 29.897352854,
        "rank": 3.0,
        "method": "exact",
        "status": "measured",
        "note": "",
        **more,
    }


@pytest.fixture
def exposure():
    """A memorized canary, one that is not, and two controls."""
    return Record(
        kind="exposure",
        asked={"model": "model"},
        found={
            "canaries": [
                canary("random-number-16x-00", 16, 29.9, 29.9),
                canary("random-number-1x-00", 1, 1.8, 2.6),
                canary("random-number-control-00", 0, 0.5, 0.9),
                canary("random-number-control-01", 0, 2.2, 2.4),
            ]
        },
        environment={"seconds": 1.0},
    )


@pytest.fixture
def extraction():
    """Two secrets: a canary that came out first, and something the model made up."""
    return Record(
        kind="extraction",
        asked={"format": "random-number"},
        found={
            "format": "random-number",
            "size": "1000000000",
            "queries": 1387,
            "draws": 0,
            "proven": 2,
            "bound_bits": 20.5,
            "complete": True,
            "note": "",
            "secrets": [
                {
                    "place": 1,
                    "secret": "2••••••7",
                    "log_perplexity_bits": 2.5,
                    "times": 1,
                    "canary": "random-number-16x-00",
                    "insertions": 16,
                },
                {
                    "place": 2,
                    "secret": "1••••••1",
                    "log_perplexity_bits": 20.25,
                    "times": 1,
                    "canary": None,
                    "insertions": None,
                },
            ],
            "canaries": [
                {"id": "random-number-16x-00", "insertions": 16, "place": 1},
                {"id": "random-number-1x-00", "insertions": 1, "place": None},
            ],
        },
        environment={},
    )
