"""What stands in the table of exposures where nothing was measured."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from secretaudit.cli.exposure_table import exposure_tables
from secretaudit.records import Record


def _canary(insertions: int) -> dict[str, Any]:
    """A canary of which the budget left nothing but the trivial bounds."""
    return {
        "id": f"pin-{insertions}",
        "format": "pin",
        "insertions": insertions,
        "status": "bounded",
        "note": "",
        "exposure_bits": None,
        "exposure_low_bits": 0.0,
        "exposure_high_bits": 13.3,
        "max_exposure_bits": 13.3,
    }


def test_what_is_not_known_is_never_shown_as_zero_bits() -> None:
    """A budget that ran out before anything was proven leaves no mean of the controls and no place of a canary."""
    found = {"canaries": [_canary(1), _canary(0)]}
    record = Record(kind="exposure", asked={}, found=found, environment={})
    console = Console(width=100)
    with console.capture() as captured:
        for part in exposure_tables(record):
            console.print(part)
    text = captured.get()
    assert "not known" in text
    assert "no sooner than any" not in text
    control = next(line for line in text.splitlines() if line.startswith("pin "))
    assert control.split() == ["pin", "1", "–", "–"]
