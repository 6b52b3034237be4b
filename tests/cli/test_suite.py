"""``secretaudit suite``: dials become options, answers become tables, and exit 3 says that something could not be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
import pytest

from secretaudit.cli.settings_options import settings_of, settings_options
from secretaudit.errors import CouldNotMeasure
from secretaudit.suite import run as run_module
from secretaudit.suite.modules import MODULES
from secretaudit.suite.subject import Run


@dataclass(frozen=True, kw_only=True)
class Dials:
    """Some.

    Attributes:
        count: How many
            of them.
        names: Which ones.
        sizes: In ``pixels``.
        fast: Hurry.
        most: At most; none: any.
    """

    count: int = 3
    names: tuple[str, ...] = ("a", "b")
    sizes: tuple[float, ...] = ()
    fast: bool = True
    most: int | None = None


def parsed(*arguments: str) -> Dials:
    found: dict[str, Any] = {}

    def keep(**given: Any) -> None:
        found.update(given)

    command = click.Command("c", params=list(settings_options(Dials, "Dials")), callback=keep)
    command.main(list(arguments), standalone_mode=False)
    dials = settings_of(Dials, found)
    assert found == {}
    return dials  # type: ignore[no-any-return]  # made by Dials itself


def test_every_dial_is_an_option() -> None:
    """Nothing given is every default; each kind of dial takes its values."""
    assert parsed() == Dials()
    given = parsed(
        "--count", "7", "--names", "x, y", "--sizes", "0.5,1", "--no-fast", "--most", "2"
    )
    assert given == Dials(count=7, names=("x", "y"), sizes=(0.5, 1.0), fast=False, most=2)
    with pytest.raises(click.BadParameter, match="not a list of float between commas"):
        parsed("--sizes", "0.5,wide")


def test_the_help_is_the_docstring() -> None:
    """Continued lines included, marks of code left out."""
    texts = {option.name: option.help for option in settings_options(Dials, "Dials")}
    assert texts["count"] == "How many of them."
    assert texts["sizes"] == "In pixels."


@pytest.mark.parametrize("module", [*MODULES, "all"])
def test_the_help_fits_and_names_every_dial(call: Any, module: str) -> None:
    """At 80 columns, with a line for each."""
    outcome = call("suite", module, "--help")
    assert outcome.code == 0
    assert max(len(line) for line in outcome.stdout.splitlines()) <= 80
    assert "--workers" in outcome.stdout
    if module != "all":
        assert "Dials of this module:" in outcome.stdout


def test_no_two_options_have_one_name() -> None:
    """A module's dial must not hide an option that all modules have."""
    from secretaudit.cli.suite import command

    for name in MODULES:
        found = command.get_command(click.Context(command), name)
        assert found is not None
        names = [option for parameter in found.params for option in parameter.opts]
        assert len(set(names)) == len(names)
        targets = [parameter.name for parameter in found.params]
        assert len(set(targets)) == len(targets)


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Modules that only say what they were given; the status can be set."""
    seen: dict[str, Any] = {"status": "measured"}

    def work_of(module: str) -> Any:
        def run(subject: Any, settings: Any, run: Run) -> dict[str, Any]:
            seen[module] = (subject, settings, run)
            if seen["status"] == "raises":
                raise CouldNotMeasure("It broke.", "It is a test.", "Nothing.")
            return {
                "parts": {"only part": {"status": seen["status"], "sentence": "Seen <all>."}},
                "orderings": [
                    {"part": "only part", "claim": "More is more.", "seen": "3 > 2", "holds": True}
                ],
            }

        return run

    monkeypatch.setattr(run_module, "work_of", work_of)
    return seen


def test_a_run_from_options_to_report(call: Any, working: dict[str, Any], tmp_path: Any) -> None:
    """The dials arrive, the tables stand on stdout, the record and the page in the directory."""
    outcome = call(
        "suite",
        "neighbours",
        "digits",
        "-o",
        "out",
        "--k",
        "5",
        "--limit",
        "40",
        "--seed",
        "2",
        "--option",
        "hidden=8",
    )
    assert outcome.code == 0, outcome.stderr
    subject, settings, run = working["neighbours"]
    assert (settings.k, run.seed, len(subject.task.train)) == (5, 2, 40)
    assert subject.learner.options == {"hidden": 8}
    assert "Seen <all>." in outcome.stdout
    assert "1 of 1 hold" in outcome.stdout
    assert "✓ holds More is more." in outcome.stdout and "    3 > 2" in outcome.stdout
    assert max(len(line) for line in outcome.stdout.splitlines()) <= 80
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Seen &lt;all&gt;." in page
    assert (tmp_path / "out" / "neighbours.json").is_file()


@pytest.mark.parametrize("status", ["could not measure", "raises"])
def test_what_could_not_be_measured_is_exit_3(
    call: Any, working: dict[str, Any], status: str
) -> None:
    """Of one module and of all, whether a part says so or the module fails."""
    working["status"] = status
    assert call("suite", "noise", "digits", "-o", "out", "--limit", "20").code == 3
    outcome = call("suite", "all", "digits", "-o", "all", "--limit", "20", "--module", "noise")
    assert outcome.code == 3
    assert "Could not measure: noise." in outcome.stderr


def test_all_runs_all(call: Any, working: dict[str, Any], tmp_path: Any) -> None:
    """One report with a section for each, and a record of how each went."""
    outcome = call("suite", "all", "digits", "-o", "out", "--limit", "20")
    assert outcome.code == 0
    assert all(module in working for module in MODULES)
    assert (tmp_path / "out" / "suite.json").is_file()


def test_what_is_wrong_is_said(call: Any, tmp_path: Any) -> None:
    """Exit 2 or 3, three lines, nothing made."""
    for arguments, code, message in (
        (["noise", "digit", "-o", "out"], 2, "There is no data 'digit'"),
        (["noise", "digits", "-o", "out", "--model", "lenett"], 3, "There is no model 'lenett'"),
        (["noise", "digits", "-o", "out", "--option", "hidden"], 2, "is not NAME=VALUE"),
        (["neighbours", "digits", "-o", "out", "--k", "0"], 2, "k must be at least 1"),
        (["nois", "digits", "-o", "out"], 2, "No such command 'nois'"),
        (["noise", "digits"], 2, "Missing option '-o'"),
    ):
        outcome = call("suite", *arguments)
        assert outcome.code == code, outcome.stderr
        assert message in outcome.stderr
        assert len(outcome.stderr.strip().splitlines()) == 3
        assert not (tmp_path / "out").exists()
