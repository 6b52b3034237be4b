"""Formats of your own: inline, by a regular expression, from a list of choices, and in a TOML file."""

import tempfile
from pathlib import Path

import numpy as np

import secretaudit

with tempfile.TemporaryDirectory() as directory:
    place = Path(directory)
    (place / "teams.txt").write_text("red\ngreen\nblue\n", encoding="utf-8")
    (place / "employee.toml").write_text(
        'template = "employee {regex:[A-Z]{2}[0-9]{6}} of team {choice:teams.txt}"\n'
        'description = "A staff number with its team."\n',
        encoding="utf-8",
    )
    specs = [
        "my code is {digits:6}",
        r"licence {regex:[A-Z]{3}-\d{4}}",
        "card {credit-card:visa,spaced}",
        "employee.toml",
    ]
    formats = [secretaudit.parse_format(spec, directory=place) for spec in specs]

rng = np.random.default_rng(seed=1)
for form in formats:
    print(f"{form.name:26} |R| = {form.size:,} ({form.bits:.2f} bits)")
    for secret in form.sample(3, rng):  # distinct, and exactly uniform over R
        print("    ", form.render(secret))

code, licence, card, employee = formats
assert code.size == 10**6
assert licence.size == 26**3 * 10**4
assert card.size == 10**14  # a Visa number: 4, fourteen free digits, and the check digit
assert employee.size == 26**2 * 10**6 * 3
assert employee.parse("employee AB123456 of team red") == "AB123456 of team red"
assert employee.parse("employee AB123456 of team pink") is None
