"""Options made of a dataclass of dials: one option per field, with its type, its default and its line from the docstring.

A dial ``csr_radius: float = 0.3`` becomes ``--csr-radius FLOAT``; a tuple is given as values between commas; a flag as ``--x / --no-x``; a dial that may be
``None`` is left out to leave it so. What the dials may be is checked by the dataclass itself.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from typing import Any

import click

from secretaudit.cli.sections import SectionedOption

__all__ = ["descriptions", "settings_of", "settings_options"]

_WORDS = {int: "integer", float: "float", str: "name"}
_ENTRY = re.compile(r"^(\w+(?:, \w+)*): (.*)$")


class Values(click.ParamType[tuple[Any, ...]]):
    """Values of one type between commas."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.name = f"{_WORDS[kind]},…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """A tuple of the values."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(part.strip()) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of {self.kind.__name__} between commas", param, ctx)


def settings_options(kind: type[Any], section: str) -> list[click.Option]:
    """One option per field of a dataclass, in its order."""
    hints = typing.get_type_hints(kind)
    said = descriptions(kind)
    return [
        _option(field, hints[field.name], said.get(field.name, ""), section)
        for field in dataclasses.fields(kind)
    ]


def settings_of(kind: type[Any], given: dict[str, Any]) -> Any:
    """The dataclass of what was given on the command line; its own checks apply."""
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: given.pop(name) for name in names})


def descriptions(kind: type[Any]) -> dict[str, str]:
    """The lines under ``Attributes:`` of a docstring, by name.

    >>> @dataclasses.dataclass
    ... class Dials:
    ...     '''Some.
    ...
    ...     Attributes:
    ...         k: How many
    ...             neighbours.
    ...     '''
    ...     k: int = 30
    >>> descriptions(Dials)
    {'k': 'How many neighbours.'}
    """
    found: dict[str, str] = {}
    current: list[str] = []
    inside = False
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if not line.startswith(" "):
            inside = line == "Attributes:" or (inside and not line)
            continue
        if not inside:
            continue
        entry = _ENTRY.match(line.strip()) if len(line) - len(line.lstrip()) == 4 else None
        if entry:
            current = entry[1].split(", ")
            found |= dict.fromkeys(current, entry[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in current}
    return {name: text.replace("``", "") for name, text in found.items()}


def _option(field: dataclasses.Field[Any], hint: Any, text: str, section: str) -> click.Option:
    flag = f"--{field.name.replace('_', '-')}"
    plain = _without_none(hint)
    dials: dict[str, Any] = {"help": text, "section": section, "default": field.default}
    if plain is bool:
        return SectionedOption([f"{flag}/--no-{flag[2:]}", field.name], show_default=True, **dials)
    if typing.get_origin(plain) is tuple:
        dials["type"] = Values(typing.get_args(plain)[0])
        if isinstance(field.default, tuple):
            dials["default"] = ",".join(str(value) for value in field.default)
            dials["show_default"] = bool(field.default)
        return SectionedOption([flag, field.name], **dials)
    dials["type"] = plain
    shown = field.default is not None and field.default != ""
    return SectionedOption([flag, field.name], show_default=shown, **dials)


def _without_none(hint: Any) -> Any:
    """The type of a dial that may be None."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint
