"""Fill the table of ``formats.md`` from the shipped library of formats.

``python docs/generate_formats.py`` writes it; ``tests/test_docs.py`` fails when it is not current.
"""

from pathlib import Path

from secretaudit import library

PAGE = Path(__file__).with_name("formats.md")
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def table() -> str:
    """The library as a Markdown table: name, template, exact |R|, bits, description."""
    rows = ["| format | template | \\|R\\| | bits | |", "|---|---|---:|---:|---|"]
    for name, form in library().items():
        template = form.template.replace("|", "\\|")
        rows.append(
            f"| `{name}` | `{template}` | {_size(form.size)} | {form.bits:.2f} | {form.description} |"
        )
    return "\n".join(rows) + "\n"


def page() -> str:
    """The page with the table that the library has now."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _size(size: int) -> str:
    """Exact up to 13 digits, rounded beyond: the exact one does not fit a column."""
    return f"{size:,}" if size < 10**13 else f"{float(size):.3e}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
