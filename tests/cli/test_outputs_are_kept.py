"""What stands where an output should go is kept, and limits are looked at before the work."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from secretaudit.cli.application import run
from secretaudit.records import Record

ROW = {
    "id": "a",
    "format": "pin",
    "insertions": 1,
    "exposure_low_bits": 1.0,
    "exposure_high_bits": 2.0,
    "max_exposure_bits": 13.3,
    "status": "measured",
}


@pytest.fixture
def exposure(tmp_path: Path) -> Path:
    path = tmp_path / "exposure.json"
    Record(kind="exposure", asked={}, found={"canaries": [ROW]}, environment={}).write(path)
    return path


def test_a_verdict_does_not_overwrite_a_text_or_its_own_input(
    exposure: Path, tmp_path: Path
) -> None:
    """``gate -o`` writes a new file or replaces a verdict; a thesis and the exposure record stay."""
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("my thesis")
    before = exposure.read_bytes()
    for output in (thesis, exposure):
        assert run(["gate", str(exposure), "--max-exposure", "10", "-o", str(output)]) == 2
    assert (thesis.read_text(), exposure.read_bytes()) == ("my thesis", before)
    for _ in range(2):
        assert run(["gate", str(exposure), "--max-exposure", "10", "-o", f"{tmp_path}/v.json"]) == 0


def test_a_limit_that_is_none_is_refused_before_the_model_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model does not even exist, and the limit is what is named."""
    code = run(["expose", "--model", str(tmp_path / "none"), "--fail-over", "nan"])
    assert code == 2
    assert "limit" in capsys.readouterr().err


def test_a_warning_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No file name, no line number, no source code."""
    shown = warnings.showwarning
    try:
        run(["formats", "--help"])
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            run(["formats", "pin"])
        warnings.showwarning("others can read it", UserWarning, "file.py", 3)
    finally:
        warnings.showwarning = shown
    assert "warning: others can read it\n" in capsys.readouterr().err
