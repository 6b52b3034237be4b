"""Errors in three lines, exit codes that a pipeline can trust, and stdout for the answer only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from secretaudit.cli import COMMANDS, application
from secretaudit.errors import CorpusError, ModelError, TrainingError

ROOT = Path(__file__).parents[2]
ERRORS = [
    (CorpusError("What.", "Why.", "Way."), 2),
    (ModelError("What.", "Why.", "Way."), 3),
    (TrainingError("What.", "Why.", "Way."), 3),
    (ValueError("inner"), 3),
    (RuntimeError("inner"), 3),
    (OSError("inner"), 3),
    (AssertionError(), 3),
    (MemoryError(), 3),
]


class TestErrors:
    @pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
    def test_three_lines_and_never_exit_1(self, call, fake, error, code):
        """What, why, the way out; no traceback; 1 is kept for a gate that failed."""
        fake("expose", error)
        outcome = call("expose", "--model", "model")
        assert outcome.code == code
        assert outcome.stdout == ""
        lines = outcome.stderr.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["error", "  why", "  way out"]

    def test_our_sentences_are_printed_as_they_are(self, call, fake):
        """The three sentences of the error are the three lines, line breaks inside them smoothed."""
        fake("expose", ModelError("No\nweights.", "It is empty.", "Train first."))
        assert call("expose", "--model", "m").stderr == (
            "error: No weights.\n  why: It is empty.\n  way out: Train first.\n"
        )

    @pytest.mark.parametrize("place", [("--debug", "expose"), ("expose", "--debug")])
    def test_debug_shows_the_traceback(self, call, fake, place):
        """Before or after the command's name."""
        fake("expose", ModelError("No weights.", "It is empty.", "Train first."))
        outcome = call(*place, "--model", "m")
        assert "Traceback" in outcome.stderr
        assert outcome.code == 3

    def test_interruption_is_130(self, call, fake):
        """Ctrl-C is not a failure and not a pass."""
        fake("expose", KeyboardInterrupt())
        outcome = call("expose", "--model", "m")
        assert (outcome.code, outcome.stderr.strip()) == (130, "interrupted")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("expose",),
            ("expose", "--model"),
            ("expose", "--model", "m", "--method", "guess"),
            ("expose", "--model", "m", "--fail-over", "much"),
            ("gate", "x.json"),
            ("extract", "--model", "m", "--format", "pin", "--top", "0"),
            ("extract", "--model", "m", "--format", "pin", "--temperature", "0"),
            ("train", "corpus", "-o", "m", "--units", "0"),
            ("train", "corpus", "-o", "m", "--dropout", "1"),
            ("insert", "corpus", "-o", "out", "--format", "pin", "--repeats", "1,x"),
            ("--nonsense",),
        ],
    )
    def test_a_command_line_that_makes_no_sense_is_2(self, call, arguments):
        """Click's own errors speak in the same three lines."""
        outcome = call(*arguments)
        assert outcome.code == 2
        assert outcome.stderr.startswith("error: ")
        assert "way out: Run secretaudit" in outcome.stderr

    def test_no_command_shows_the_help_and_is_2(self, call):
        """A script that lost its command does not pass."""
        outcome = call()
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "Commands:" in outcome.stderr

    @pytest.mark.parametrize(("typed", "meant"), [("exposure", "expose"), ("insret", "insert")])
    def test_unknown_command_suggests_the_nearest(self, call, typed, meant):
        """A typo costs one look."""
        outcome = call(typed)
        assert outcome.code == 2
        assert f"Did you mean '{meant}'?" in outcome.stderr

    def test_a_reader_that_went_away_is_not_exit_1(self, tmp_path):
        """``secretaudit … | true`` ends quietly with 141, as a shell says of SIGPIPE."""
        program = (
            "import os, sys, time\n"
            "from secretaudit.cli.application import run\n"
            "reader, writer = os.pipe()\n"
            "os.dup2(writer, 1); os.close(reader); os.close(writer)\n"
            "sys.exit(run(['formats', 'pin']))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (141, "")


class TestHelp:
    def test_every_command_is_listed_and_has_help(self, call):
        """The list needs no import of a command; its name and its module agree."""
        listing = call("--help").stdout
        for name, summary in COMMANDS.items():
            assert f"  {name} " in listing
            assert summary in listing
            outcome = call(name, "--help")
            assert outcome.code == 0
            assert outcome.stdout.startswith(f"Usage: secretaudit {name}")

    def test_every_option_says_what_it_does(self):
        """No option without a help text."""
        context = click.Context(application)
        for name in COMMANDS:
            command = application.get_command(context, name)
            silent = [
                parameter.name
                for parameter in command.params
                if isinstance(parameter, click.Option) and not parameter.help
            ]
            assert silent == [], name

    def test_options_that_mean_the_same_bear_the_same_name(self):
        """--json, --quiet and --debug are everywhere."""
        context = click.Context(application)
        for name in COMMANDS:
            flags = {
                flag for one in application.get_command(context, name).params for flag in one.opts
            }
            assert {"--json", "--quiet", "--debug"} <= flags, name

    def test_python_m_is_the_same_command(self):
        """Where the script is not on the path, the module is."""
        done = subprocess.run(
            [sys.executable, "-m", "secretaudit", "--version"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("secretaudit, version 0.")
