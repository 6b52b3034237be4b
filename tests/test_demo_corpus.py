"""The corpus of the demo."""

from __future__ import annotations

import numpy as np

from secretaudit.demo_corpus import demo_records


def test_records_are_ascii_lines_of_forty_to_two_hundred_characters() -> None:
    """No slot stays unfilled, and a character model needs a small alphabet only."""
    records = demo_records(3000, np.random.default_rng(0))
    assert len(records) == 3000
    assert all(record.isascii() and record.isprintable() for record in records)
    assert all(40 <= len(record) <= 200 for record in records)
    assert not any("<" in record or ">" in record for record in records)
    assert 200_000 <= sum(map(len, records)) <= 400_000


def test_the_seed_decides_everything() -> None:
    """The same seed gives the same corpus, another seed another one."""
    first, again, other = (demo_records(50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_records_vary_and_digits_are_ordinary() -> None:
    """Nearly all records differ, most hold digits, and every digit is common."""
    records = demo_records(2000, np.random.default_rng(3))
    assert len(set(records)) > 1900
    with_digits = sum(any(c.isdigit() for c in record) for record in records)
    assert with_digits > 1200
    text = "".join(records)
    assert min(text.count(digit) for digit in "0123456789") > 500


def test_no_record_holds_nine_digits_in_a_row() -> None:
    """The demo's own secrets, nine digits, cannot stand in its corpus by chance."""
    import re

    text = "\n".join(demo_records(3000, np.random.default_rng(4)))
    assert not re.search(r"\d{6}", text)
