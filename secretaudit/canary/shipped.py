"""Where the shipped library of formats and word lists lies: data files, no code.

In a checkout it is the folder ``canaries/`` at the top; in an installed package it is
``secretaudit/_library``. A word list is a UTF-8 text file with one entry per line; empty lines and
repetitions do not count.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from secretaudit.errors import FormatError

DEFAULT_WORDS = "bip39-english"


def library_directory() -> Path:
    """The folder of the shipped ``*.toml`` formats.

    Raises:
        FormatError: If the installation is incomplete.
    """
    package = Path(str(files("secretaudit")))
    for candidate in (package / "_library", package.parent / "canaries"):
        if candidate.is_dir():
            return candidate
    raise FormatError(
        "The library of formats is not part of this installation.",
        "It is shipped inside the package and was not found there.",
        "Install secretaudit again, or give the format inline, such as 'my pin is {digits:4}'.",
    )


@cache
def word_list_names() -> tuple[str, ...]:
    """Names of the shipped word lists."""
    return tuple(sorted(path.stem for path in (library_directory() / "words").glob("*.txt")))


def read_list(name: str, directory: Path) -> tuple[str, ...]:
    """The distinct entries of a word list, in the order of the file.

    Args:
        name: A path, relative to ``directory``, or the name of a shipped list.
        directory: Folder from which relative paths count.

    Raises:
        FormatError: If there is no such list, or it is not UTF-8 text with at least one entry.
    """
    path = directory / name
    if not path.is_file() and name in word_list_names():
        path = library_directory() / "words" / f"{name}.txt"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise FormatError(
            f"The word list {name!r} cannot be read.",
            f"{error.strerror or 'It is not readable'}: {path}.",
            f"Give an existing file, or a shipped list: {', '.join(word_list_names())}.",
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError(
            f"The word list {name!r} is not UTF-8 text.",
            f"Byte {error.start} cannot be read as UTF-8.",
            "Save the file as UTF-8, one entry per line.",
        ) from error
    entries = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not entries:
        raise FormatError(
            f"The word list {name!r} is empty.",
            "A hole needs something to choose from.",
            "Write one entry per line.",
        )
    return entries
