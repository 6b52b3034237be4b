"""Progress is drawn for a person at a terminal, and for nobody else."""

from __future__ import annotations

import sys

from secretaudit.cli.session import Session
from secretaudit.progress import SilentProgress


class TestProgress:
    def test_silent_without_a_terminal(self):
        """A log file gets no bars."""
        with Session().progress() as progress:
            assert isinstance(progress, SilentProgress)

    def test_silent_when_quiet(self, monkeypatch):
        """--quiet holds on a terminal too."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        with Session(quiet=True).progress() as progress:
            assert isinstance(progress, SilentProgress)

    def test_drawn_on_stderr_at_a_terminal(self, monkeypatch, capsys):
        """Stage, figures and share go to stderr; stdout stays clean for the answer."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        with Session().progress() as progress:
            progress.update(done=0, total=None, stage="reading")
            progress.update(done=5, total=10, stage="training", loss_bits=1.234)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "training" in captured.err
        assert "loss bits 1.23" in captured.err

    def test_any_figure_can_be_shown(self, monkeypatch, capsys):
        """Text in square brackets, big counts and None do not break the bar."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        with Session().progress() as progress:
            for figure in ("[red]", 10**12, None, 0.0, -1.5, float("inf")):
                progress.update(done=1, total=2, figure=figure)
        assert "figure" in capsys.readouterr().err

    def test_remarks_go_to_stderr(self, capsys):
        """Nothing but answers on stdout."""
        Session().say("remark")
        assert capsys.readouterr() == ("", "remark\n")

    def test_quiet_silences_remarks(self, capsys):
        """Scripts read no chatter."""
        Session(quiet=True).say("remark")
        assert capsys.readouterr() == ("", "")
