"""A format: a template and the secret space that its holes describe.

With literal text before the first hole (prefix) and after the last one (suffix), a canary's text is
prefix + secret + suffix. The secret is everything from the first hole to the last, literals between
holes included; the secret space R is the set of all such strings, each counted once, however many
ways there are to fill the holes.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit import _checks
from secretaudit.canary.automaton import Automaton
from secretaudit.canary.construction import concatenate, literal
from secretaudit.canary.holes import build_hole, check_kind, needed_list
from secretaudit.canary.shipped import library_directory, read_list, word_list_names
from secretaudit.canary.template import Hole, Part, parse_template
from secretaudit.errors import FormatError

#: Largest log2 |R|: the weights of importance sampling are floats, and 2^1000 secrets are more than any secret needs.
MOST_BITS = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOML_KEYS = {"name", "template", "description"}


@dataclass(frozen=True)
class Format:
    """A named template, for example ``Format("pin", "my pin is {digits:4}")``.

    Attributes:
        name: Short name; ids of canaries begin with it.
        template: Literal text and holes, see :mod:`secretaudit.canary.template`.
        description: One sentence for people.
        lists: Contents of the word lists that the holes name; shipped lists that are missing are
            filled in.

    Raises:
        FormatError: If the template has no hole or a hole of an unknown kind. Fewer than two
            secrets are
            refused as soon as the automaton is built (:func:`parse_format` builds it).

    >>> pin = Format("pin", "my pin is {digits:4}")
    >>> pin.size, pin.render("0042"), pin.parse("my pin is 0042"), pin.parse("my pin is 42")
    (10000, 'my pin is 0042', '0042', None)
    """

    name: str
    template: str
    description: str = ""
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise FormatError(
                "A format's name must be up to 64 letters, digits, dots, dashes and underscores.",
                "It is used in ids and file names.",
                "Choose a name such as employee-number.",
            )
        holes = [part for part in self._parts if isinstance(part, Hole)]
        if not holes:
            raise FormatError(
                f"The format {self.name!r} has no hole.",
                "Without a hole there is only one text, and nothing secret in it.",
                "Put a hole where the secret stands, such as {digits:6}.",
            )
        for hole in holes:
            check_kind(hole)
        wanted = {name for hole in holes if (name := needed_list(hole)) is not None}
        found = {
            name: self.lists[name] if name in self.lists else _shipped(name)
            for name in sorted(wanted)
        }
        object.__setattr__(self, "lists", found)

    @property
    def prefix(self) -> str:
        """Literal text before the first hole."""
        return self._parts[0] if isinstance(self._parts[0], str) else ""

    @property
    def suffix(self) -> str:
        """Literal text after the last hole."""
        return self._parts[-1] if isinstance(self._parts[-1], str) else ""

    @cached_property
    def automaton(self) -> Automaton:
        """The secret space R.

        Raises:
            FormatError: If a hole is not possible, |R| < 2, or a text could hold a line break.
        """
        inner = self._parts[bool(self.prefix) : len(self._parts) - bool(self.suffix)]
        machines = [
            literal(part) if isinstance(part, str) else build_hole(part, self.lists)
            for part in inner
        ]
        automaton = concatenate(*machines)
        if automaton.size < 2:
            raise FormatError(
                f"The format {self.name!r} has {automaton.size} secret.",
                "A rank among fewer than two secrets says nothing.",
                "Widen a hole, for example {digits:6}.",
            )
        self._refuse_control_characters(automaton)
        return automaton

    @property
    def size(self) -> int:
        """|R|, exact."""
        return self.automaton.size

    @property
    def bits(self) -> float:
        """log2 |R|: the exposure of a secret of rank 1."""
        return math.log2(self.size)

    @property
    def example(self) -> str:
        """One text of this format, always the same (the secret at the golden section of R)."""
        return self.render(
            self.automaton.unrank(self.size * 618_033_988_749_894_848_204_587 // 10**24)
        )

    def contains(self, secret: str) -> bool:
        """Whether ``secret`` lies in R."""
        return self.automaton.accepts(secret)

    def render(self, secret: str) -> str:
        """The canary's text for a secret.

        Raises:
            FormatError: If the secret does not lie in R (the message does not repeat it).
        """
        if not self.contains(secret):
            raise FormatError(
                f"A secret of {len(secret)} characters does not belong to the format {self.name!r}.",
                "Its holes do not allow that text.",
                "Use a secret that the format can produce, or change the template.",
            )
        return f"{self.prefix}{secret}{self.suffix}"

    def parse(self, text: str) -> str | None:
        """The secret of a canary's text, or None when the text is not of this format."""
        secret = text[len(self.prefix) : len(text) - len(self.suffix)]
        fits = text == f"{self.prefix}{secret}{self.suffix}"
        return secret if fits and self.contains(secret) else None

    def text_automaton(self) -> Automaton:
        """All texts of this format: prefix + secret + suffix."""
        return concatenate(literal(self.prefix), self.automaton, literal(self.suffix))

    def sample(self, n: int, rng: np.random.Generator) -> list[str]:
        """Draw ``n`` distinct secrets, exactly uniformly.

        Raises:
            FormatError: If ``n`` is more than |R|.
        """
        if n > self.size:
            raise FormatError(
                f"{n} distinct secrets were asked of the format {self.name!r}.",
                f"It has only {self.size}.",
                "Ask for fewer canaries and controls, or widen the format.",
            )
        return self.automaton.sample(n, rng)

    def to_dict(self) -> dict[str, Any]:
        """The format as JSON values, word lists included: nothing else is needed to read it."""
        lists = {name: list(entries) for name, entries in self.lists.items()}
        return {
            "name": self.name,
            "template": self.template,
            "description": self.description,
            "lists": lists,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Format:
        """The inverse of :meth:`to_dict`.

        Raises:
            FormatError: If a field is missing or of a wrong type, or the format itself is refused.
        """
        name, template = document.get("name"), document.get("template")
        description, lists = document.get("description", ""), document.get("lists", {})
        texts_are = all(isinstance(value, str) for value in (name, template, description))
        lists_are = isinstance(lists, Mapping) and all(
            isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)
            for entries in lists.values()
        )
        if not (texts_are and lists_are):
            raise FormatError(
                "A format is damaged.",
                "It needs name, template and description as texts, and lists of texts.",
                "Take it from a complete file.",
            )
        return cls(
            str(name),
            str(template),
            description,
            {key: tuple(entries) for key, entries in lists.items()},
        )

    @cached_property
    def _parts(self) -> tuple[Part, ...]:
        return parse_template(self.template)

    def _refuse_control_characters(self, automaton: Automaton) -> None:
        """A canary is one record: no line break, and no other control character but the tab."""
        points = {*map(ord, self.prefix + self.suffix), *np.unique(automaton.edge_symbol).tolist()}
        if any(unicodedata.category(chr(p)) in {"Cc", "Cs", "Zl", "Zp"} for p in points - {0x09}):
            raise FormatError(
                f"The format {self.name!r} can hold a line break or another control character.",
                "A canary is one record of the corpus and must stay in one line.",
                "Remove it from the template, the word list or the pattern (\\s contains line breaks).",
            )


def parse_format(spec: str, *, directory: str | Path | None = None) -> Format:
    """Find or read a format, and build its secret space.

    Args:
        spec: A library name (``credit-card``), a path to a ``.toml`` file, or a template (it
            contains ``{``).
        directory: Folder from which relative paths count; None means the working directory.

    Raises:
        FormatError: If it is unknown, cannot be read, has no hole, or has fewer than two secrets.

    >>> parse_format("my code is {digits:6}").size
    1000000
    """
    base = Path(directory) if directory is not None else Path()
    if "{" in spec:
        found = _with_lists(_name_of(spec), spec, "", base)
    elif spec.endswith(".toml"):
        found = _read_toml(base / spec)
    elif spec in library():
        found = library()[spec]
    else:
        raise FormatError(
            f"There is no format named {spec!r}.",
            "It is not in the library, no .toml file, and no template, which would have a {hole}.",
            _checks.suggestion(spec, library())
            or "`secretaudit formats` lists the library; a template looks like 'my code is {digits:6}'.",
        )
    if found.size.bit_length() > MOST_BITS:  # builds R now: an impossible format is refused here
        raise FormatError(
            f"The format {found.name!r} has too many secrets.",
            f"|R| is above 2^{MOST_BITS}, where exposures lose their meaning and weights their precision.",
            "Use shorter holes.",
        )
    return found


def searched_format(prefix: str, pattern: str, *, luhn: bool = False) -> Format:
    r"""The format of a search: text that stands before, and a regular expression for the secret.

    Args:
        prefix: Literal text before the secret.
        pattern: What the secret looks like; a finite language.
        luhn: Whether the digits of the secret must pass the Luhn check.

    Raises:
        FormatError: The pattern cannot be read, or matches nothing, one string only, or infinitely many.

    >>> searched_format("my card number is ", r"(\d{4} ){3}\d{4}", luhn=True).size
    1000000000000000
    """
    kind = "regex-luhn" if luhn else "regex"
    literal = prefix.replace("{", "{{").replace("}", "}}")
    return parse_format(f"{literal}{{{kind}:{pattern}}}")


def library() -> dict[str, Format]:
    """The shipped formats by name; their secret spaces are built when first used."""
    return dict(_library())


@cache
def _library() -> dict[str, Format]:
    formats = [
        _read_toml(path)
        for path in sorted(library_directory().glob("*.toml"), key=lambda path: path.stem)
    ]
    return {found.name: found for found in formats}


def _shipped(name: str) -> tuple[str, ...]:
    """A shipped word list; a list of any other name must have been given."""
    if name not in word_list_names():
        raise FormatError(
            f"The word list {name!r} is not known.",
            "A format made in Python or read from a ledger carries its lists with it.",
            f"Use parse_format to read files, or a shipped list: {', '.join(word_list_names())}.",
        )
    return read_list(name, library_directory() / "words")


def _with_lists(name: str, template: str, description: str, directory: Path) -> Format:
    """Make a format and read the word lists that it names, relative to ``directory``."""
    holes = [part for part in parse_template(template) if isinstance(part, Hole)]
    names = {wanted for hole in holes if (wanted := needed_list(hole)) is not None}
    return Format(
        name,
        template,
        description,
        {wanted: read_list(wanted, directory) for wanted in sorted(names)},
    )


def _name_of(template: str) -> str:
    """A short name for an inline template, the same every time, another for another template."""
    words = "-".join(re.findall(r"[a-z0-9]+", template.lower()))[:32].strip("-") or "inline"
    return f"{words}-{hashlib.sha256(template.encode()).hexdigest()[:4]}"


def _read_toml(path: Path) -> Format:
    """Read a format from a TOML file; its name is the file's unless it gives one."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(
            f"The format file {str(path)!r} cannot be read.",
            f"{error.strerror or 'It is not readable'}.",
            "Give the path of an existing .toml file.",
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(
            f"The format file {str(path)!r} is not TOML.",
            f"{error}.",
            'Write lines such as template = "my pin is {digits:4}".',
        ) from error
    unknown = sorted(set(document) - _TOML_KEYS)
    texts_are = all(isinstance(value, str) for value in document.values())
    if unknown or not texts_are or "template" not in document:
        raise FormatError(
            f"The format file {str(path)!r} is not a format.",
            f"It needs a text 'template', may have 'name' and 'description', and nothing else{f': {unknown}' if unknown else ''}.",
            'Write lines such as template = "my pin is {digits:4}".',
        )
    return _with_lists(
        document.get("name", path.stem),
        document["template"],
        document.get("description", ""),
        path.parent,
    )
