"""Options that nothing reads are refused: what a user asked for and did not get must not look as if it had been measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from secretaudit.errors import UsageError

__all__ = ["refuse_unread"]

_FLAGS = {
    "held_out": "--held-out-data",
    "formats": "--format",
    "options": "--option",
    "training": "--lm-…",
}


def refuse_unread(given: Iterable[str], reads: Collection[str], what: str) -> None:
    """Refuse the first dial that was given and is not read.

    Args:
        given: Names of the dials that differ from their defaults.
        reads: Names of those that count here.
        what: What does not read the others, such as "an .npz file".

    Raises:
        UsageError: There is one.

    >>> refuse_unread(["size"], {"size", "frames"}, "a folder of clips")
    """
    for name in given:
        if name in reads:
            continue
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        read = sorted(_FLAGS.get(one, f"--{one.replace('_', '-')}") for one in reads)
        raise UsageError(
            f"{flag} has no meaning for {what}.",
            f"It would be ignored; read here: {', '.join(read) or 'none of these options'}.",
            f"Leave {flag} out.",
        )
