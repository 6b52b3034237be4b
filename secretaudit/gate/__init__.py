"""From an exposure record and a limit to a verdict; records only, no model, no arrays."""

from secretaudit.gate.verdict import EXIT_CODES, gate

__all__ = ["EXIT_CODES", "gate"]
