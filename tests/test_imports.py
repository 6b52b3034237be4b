"""What an import costs, and what the package offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import secretaudit

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "pyarrow",
    "pandas",
    "numpy",
    "scipy",
    "greenery",
    "stdnum",
    "rich",
)


def loaded(program: str) -> set[str]:
    """Top-level packages that a fresh interpreter has imported when the program ends."""
    report = "\nimport sys; sys.stderr.write(' '.join({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", program + report],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "program",
    [
        "import secretaudit",
        "from secretaudit.cli.application import run; assert run(['--help']) == 0",
        "from secretaudit.cli.application import run; assert run(['--version']) == 0",
        "from secretaudit.cli.application import run; assert run(['expose', '--help']) == 0",
        "from secretaudit.cli.application import run; assert run(['train', '--help']) == 0",
        "from secretaudit.cli.application import run; assert run(['nonsense']) == 2",
    ],
)
def test_nothing_heavy_is_imported(program):
    """Importing the package and asking for help answers at once."""
    assert loaded(program).isdisjoint(HEAVY)


def test_the_gate_command_needs_no_model_libraries(tmp_path):
    """A pipeline's gate runs where torch is not even installed."""
    record = secretaudit.Record(kind="exposure", asked={}, found={"canaries": []}, environment={})
    record.write(tmp_path / "exposure.json")
    program = (
        "from secretaudit.cli.application import run\n"
        f"assert run(['gate', {str(tmp_path / 'exposure.json')!r}, '--max-exposure', '10']) == 3"
    )
    assert loaded(program).isdisjoint(set(HEAVY) - {"rich"})


@pytest.mark.parametrize("name", secretaudit.__all__)
def test_every_public_name_is_there(name):
    """What __all__ promises can be used."""
    assert getattr(secretaudit, name) is not None
    assert name in dir(secretaudit)


def test_unknown_names_are_refused_as_python_does():
    """A typo is an AttributeError, so hasattr and tab completion work."""
    with pytest.raises(AttributeError, match="has no attribute 'exposee'"):
        secretaudit.exposee  # noqa: B018  (the access is the test)


def test_gate_stays_a_function():
    """The folder of the same name, imported later, does not take its place."""
    program = (
        "import secretaudit, secretaudit.gate.verdict, secretaudit.cli.gate\n"
        "assert callable(secretaudit.gate)"
    )
    loaded(program)
