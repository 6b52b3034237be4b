"""Drawing canaries, and the ledger as a file."""

import dataclasses
import hashlib
import hmac
import json
import os
import stat
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secretaudit.canary.format import Format, parse_format
from secretaudit.canary.ledger import Canary, Ledger, commitment, draw_canaries
from secretaudit.errors import CouldNotMeasure, FormatError, LedgerError, UsageError

SALT = "00112233445566778899aabbccddeeff"


def formats() -> dict[str, Format]:
    return {name: parse_format(name) for name in ("random-number", "pin")}


def ledger(seed: int = 1) -> Ledger:
    drawn = draw_canaries(
        formats(), count=2, repeats=[1, 4], controls=3, rng=np.random.default_rng(seed)
    )
    return Ledger(
        seed=seed,
        formats=formats(),
        canaries=tuple(drawn),
        corpus={"name": "mail.txt", "sha256": "ab" * 32, "records": 1000},
        salt=SALT,
    )


def write_changed(path: Path, **changes: Any) -> None:
    """A ledger file with top-level parts replaced."""
    ledger().write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_group_has_its_number_of_canaries() -> None:
    """``count`` per format and number of insertions, and the controls."""
    drawn = draw_canaries(
        formats(), count=10, repeats=[1, 4, 16], controls=50, rng=np.random.default_rng(0)
    )
    groups = Counter((canary.format, canary.insertions) for canary in drawn)
    expected = {(name, number): 10 for name in formats() for number in (1, 4, 16)}
    assert groups == expected | {(name, 0): 50 for name in formats()}
    assert all(canary.is_control == (canary.insertions == 0) for canary in drawn)


def test_ids_name_format_insertions_and_place() -> None:
    """Unique, and readable."""
    ids = [canary.id for canary in ledger().canaries]
    assert ids[:7] == [
        "random-number-1x-00", "random-number-1x-01", "random-number-4x-00", "random-number-4x-01",
        "random-number-control-00", "random-number-control-01", "random-number-control-02",
    ]  # fmt: skip
    assert len(set(ids)) == len(ids) == 14


def test_all_secrets_of_a_format_are_different() -> None:
    """Even when every secret of the format is used."""
    drawn = draw_canaries(
        [parse_format("{digits:2}")],
        count=20,
        repeats=[1, 2],
        controls=60,
        rng=np.random.default_rng(0),
    )
    assert sorted(canary.secret for canary in drawn) == [f"{number:02}" for number in range(100)]


def test_the_same_seed_draws_the_same_canaries() -> None:
    """And another seed draws others; global state plays no part."""
    np.random.seed(3)  # noqa: NPY002  to show that the global generator has no influence
    assert ledger().canaries == ledger().canaries
    assert {c.secret for c in ledger(1).canaries}.isdisjoint(
        {c.secret for c in ledger(2).canaries if c.format != "pin"}
    )


def test_controls_are_no_different_from_canaries_in_order() -> None:
    """Over many draws, canaries and controls fill the space alike."""
    rng = np.random.default_rng(6)
    pin = parse_format("{digits:1}")
    inserted: Counter[str] = Counter()
    for _ in range(800):
        drawn = draw_canaries([pin], count=3, repeats=[1], controls=5, rng=rng)
        inserted.update(canary.secret for canary in drawn if not canary.is_control)
    expected = 800 * 3 / 10
    assert (
        sum((inserted[digit] - expected) ** 2 / expected for digit in "0123456789") < 27.9
    )  # p = 0.001


def test_impossible_draws_are_refused() -> None:
    """More canaries than secrets, numbers out of range, a format twice."""
    rng = np.random.default_rng(0)
    pin = parse_format("pin")
    with pytest.raises(FormatError, match="10001 distinct secrets"):
        draw_canaries([pin], count=10_000, repeats=[1], controls=1, rng=rng)
    for count, repeats, controls in ((0, [1], 1), (1, [0], 1), (1, [1], -1)):
        with pytest.raises(UsageError, match="must be at least"):
            draw_canaries([pin], count=count, repeats=repeats, controls=controls, rng=rng)
    for repeats in ([], [4, 4]):
        with pytest.raises(UsageError, match="repeats must be distinct"):
            draw_canaries([pin], count=1, repeats=repeats, controls=0, rng=rng)
    with pytest.raises(FormatError, match="'pin' is given twice"):
        draw_canaries([pin, pin], count=1, repeats=[1], controls=0, rng=rng)


def test_a_ledger_file_gives_the_ledger_back(tmp_path: Path) -> None:
    """Word lists and all, and its identity does not depend on the place."""
    before = dataclasses.replace(
        ledger(), formats=formats() | {"passphrase": parse_format("passphrase")}
    )
    (tmp_path / "elsewhere").mkdir()
    for path in (tmp_path / "ledger.json", tmp_path / "elsewhere" / "other.json"):
        before.write(path)
        after = Ledger.read(path)
        assert after == before
        assert after.identity == before.identity


def test_identity_tells_ledgers_apart() -> None:
    """Another seed, salt, or number of insertions is another ledger."""
    changed = dataclasses.replace(ledger().canaries[0], insertions=9)
    others = [
        ledger(2),
        dataclasses.replace(ledger(), salt=SALT[::-1]),
        dataclasses.replace(ledger(), canaries=(changed, *ledger().canaries[1:])),
    ]
    assert len({other.identity for other in [ledger(), *others]}) == 4


def test_the_file_is_private(tmp_path: Path) -> None:
    """Mode 0600, also where a public file stood, and no warning on reading."""
    path = tmp_path / "ledger.json"
    path.write_text("old")
    path.chmod(0o644)
    ledger().write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ledger.read(path)


def test_a_file_that_others_can_read_is_read_with_a_warning(tmp_path: Path) -> None:
    """It names the way to make it private."""
    path = tmp_path / "ledger.json"
    ledger().write(path)
    path.chmod(0o640)
    with pytest.warns(UserWarning, match="chmod 600"):
        assert Ledger.read(path) == ledger()


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    """At any length."""
    path = tmp_path / "ledger.json"
    ledger().write(path)
    text = path.read_text()
    path.write_text(text[: int(len(text) * keep)])
    with pytest.raises(LedgerError, match="is not a ledger"):
        Ledger.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "secretaudit/exposure"}, "not a ledger"),
        ({"schema": None}, "not a ledger"),
        ({"version": 2}, "version of this ledger is not known"),
        ({"version": "1"}, "version of this ledger is not known"),
        ({"canaries": None}, "damaged"),
        ({"canaries": [{}]}, "damaged"),
        ({"formats": {}}, "damaged"),
        ({"formats": {"pin": {"name": "pin", "template": "none"}}}, "damaged"),
        ({"formats": {"code": {"name": "pin", "template": "{digits:4}"}}}, "damaged"),
        ({"seed": "1"}, "damaged"),
        ({"corpus": []}, "damaged"),
        ({"salt": "ab"}, "damaged"),
        ({"salt": 5}, "damaged"),
    ],
)
def test_files_of_another_kind_or_shape_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """With what is wrong."""
    path = tmp_path / "ledger.json"
    write_changed(path, **changes)
    path.chmod(0o600)
    with pytest.raises(LedgerError, match=message):
        Ledger.read(path)


@pytest.mark.parametrize("content", ["[]", "3", '"ledger"', "\x00\x01", "[" * 100_000])
def test_other_json_and_other_bytes_are_refused(tmp_path: Path, content: str) -> None:
    """Never another exception."""
    path = tmp_path / "ledger.json"
    path.write_text(content)
    with pytest.raises(LedgerError, match="is not a ledger"):
        Ledger.read(path)


def test_a_missing_ledger_is_refused(tmp_path: Path) -> None:
    """And so is a directory."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(LedgerError, match="cannot be read"):
            Ledger.read(path)


def test_the_public_part_is_not_mistaken_for_the_ledger(tmp_path: Path) -> None:
    """It has no secrets to measure."""
    path = tmp_path / "ledger.public.json"
    path.write_text(json.dumps(ledger().public()))
    path.chmod(0o600)
    with pytest.raises(LedgerError, match="public part"):
        Ledger.read(path)


def canary(**changes: Any) -> Canary:
    whole = {
        "id": "pin-1x-00",
        "format": "pin",
        "secret": "0042",
        "text": "my pin is 0042",
        "insertions": 1,
    }
    return Canary(**(whole | changes))


@pytest.mark.parametrize(
    ("canaries", "why"),
    [
        ([canary(text="my pin is 0043")], "does not match its format"),
        ([canary(secret="42", text="my pin is 42")], "does not match its format"),
        ([canary(text="my pin is 0042 ")], "does not match its format"),
        ([canary(format="ssn")], "is not in it"),
        ([canary(insertions=-1)], "negative"),
        ([canary(), canary(secret="0043", text="my pin is 0043")], "same id"),
        ([canary(), canary(id="pin-1x-01")], "same text"),
    ],
)
def test_inconsistent_canaries_are_refused_without_showing_them(
    canaries: list[Canary], why: str
) -> None:
    """The id is named, the secret is not."""
    with pytest.raises(LedgerError) as caught:
        Ledger(seed=1, formats=formats(), canaries=tuple(canaries), corpus={}, salt=SALT)
    assert why in caught.value.why
    assert "0042" not in str(caught.value)


def test_secrets_do_not_show_in_representations() -> None:
    """Neither in a debugger's nor in a log's."""
    text = repr(ledger()) + repr(ledger().canaries[0])
    assert SALT not in text
    assert all(entry.secret not in text for entry in ledger().canaries)


def test_canaries_are_found_by_id() -> None:
    """An unknown id gets a suggestion."""
    assert ledger()["pin-4x-01"].insertions == 4
    with pytest.raises(LedgerError, match="no canary 'pin-4x-1'") as caught:
        ledger()["pin-4x-1"]
    assert "pin-4x-" in caught.value.way_out


def test_the_public_part_holds_no_secret_and_no_salt() -> None:
    """Neither a secret nor what would let one be guessed."""
    text = json.dumps(ledger().public())
    assert SALT not in text
    assert all(
        entry.text not in text and f'"{entry.secret}"' not in text for entry in ledger().canaries
    )
    shown = ledger().public()["canaries"]
    assert [(c["id"], c["format"], c["insertions"]) for c in shown] == [
        (c.id, c.format, c.insertions) for c in ledger().canaries
    ]
    assert ledger().public()["formats"]["random-number"]["size"] == 10**9


def test_one_canary_can_be_opened_without_the_others() -> None:
    """Key and text give the commitment by HMAC-SHA256; the key says nothing about other keys."""
    own, public = ledger(), ledger().public()
    opened = own.canaries[3]
    key = own.opening_key(opened.id)
    expected = hmac.new(bytes.fromhex(key), opened.text.encode(), hashlib.sha256).hexdigest()
    assert public["canaries"][3]["commitment"] == expected == commitment(key, opened.text)
    assert len({own.opening_key(entry.id) for entry in own.canaries}) == len(own.canaries)
    assert public["seed_commitment"] == hashlib.sha256(f"{SALT}|1".encode()).hexdigest()


def test_the_holder_can_verify_a_public_part() -> None:
    """Its own, read from JSON, is accepted; a changed or foreign one is refused by name."""
    public = json.loads(json.dumps(ledger().public()))
    ledger().verify(public)
    with pytest.raises(LedgerError, match="identity differs"):
        ledger(2).verify(public)
    public["canaries"][0]["insertions"] = 2
    with pytest.raises(LedgerError, match="canaries differs"):
        ledger().verify(public)


def test_a_failed_write_leaves_the_old_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or not at all."""
    path = tmp_path / "ledger.json"
    ledger(1).write(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CouldNotMeasure, match=r"ledger\.json"):
        ledger(2).write(path)
    monkeypatch.undo()
    assert Ledger.read(path) == ledger(1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger.json"]
