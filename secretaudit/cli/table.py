"""The one look of our tables: a rule under the header, nothing else; 80 columns are enough."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table


def plain_table() -> Table:
    """An empty table."""
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
