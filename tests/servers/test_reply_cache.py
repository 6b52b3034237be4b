"""Replies outlive the process, hold no secret, and belong to the weights that gave them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.models.server.dialects import NOT_ASKED, Prompt, Reading
from secretaudit.models.server.language_model import ServedModel
from secretaudit.models.server.reply_cache import ReplyCache, default_cache
from tests.servers.conftest import Open, Serve

WHO = ("http://host/v1", "tiny", "vllm")
PROBES = np.array([-1.0, -2.5])


def reading(*log_p: float, following: dict[int, float] | None = None) -> Reading:
    return Reading(log_p=np.array(log_p), following=following or {})


def kept(path: Path | str, probes: np.ndarray = PROBES, who: tuple[str, ...] = WHO) -> ReplyCache:
    """A cache at its generation."""
    cache = ReplyCache(path)
    cache.begin(who, probes, 1e-3)
    return cache


def test_what_was_kept_is_found_in_the_next_run(tmp_path: Path) -> None:
    """Numbers come back bit for bit, NaN included."""
    one, two = Prompt(tokens=(1, 2, 3)), Prompt(tokens=(1, 2, 3), wanted=(7, 9))
    first = kept(tmp_path / "c")
    first.keep(
        [
            (one, reading(np.nan, -0.1, -1 / 3)),
            (two, Reading(log_p=NOT_ASKED, following={7: -0.1, 9: -1 / 7})),
        ]
    )
    first.close()
    again = ReplyCache(tmp_path / "c")
    assert again.begin(WHO, PROBES, 1e-3) == 2
    found = again.find([one, two, Prompt(tokens=(1, 2))])
    assert set(found) == {one, two}
    assert np.array_equal(found[one].log_p, [np.nan, -0.1, -1 / 3], equal_nan=True)
    assert found[two].following == {7: -0.1, 9: -1 / 7}


def test_replies_belong_to_server_model_dialect_and_weights(tmp_path: Path) -> None:
    """Another address, name, dialect, or another cost of a probe: nothing is found."""
    prompt = Prompt(tokens=(1, 2, 3))
    kept(tmp_path / "c").keep([(prompt, reading(np.nan, -1.0, -2.0))])
    for i in range(3):
        who = tuple("other" if i == j else part for j, part in enumerate(WHO))
        assert kept(tmp_path / "c", who=who).find([prompt]) == {}
    assert kept(tmp_path / "c", PROBES + 0.01).find([prompt]) == {}
    assert set(kept(tmp_path / "c", PROBES + 1e-5).find([prompt])) == {prompt}


def test_a_discarded_generation_is_gone(tmp_path: Path) -> None:
    """Answers that drifted are never used again."""
    prompt = Prompt(tokens=(1, 2, 3))
    cache = kept(tmp_path / "c")
    cache.keep([(prompt, reading(np.nan, -1.0, -2.0))])
    cache.discard()
    cache.keep([(prompt, reading(np.nan, -1.0, -2.0))])
    assert cache.find([prompt]) == {}
    assert kept(tmp_path / "c").find([prompt]) == {}


def test_only_the_owner_may_read_it_and_no_prompt_is_in_it(
    serve: Serve, connect: Open, tmp_path: Path
) -> None:
    """Mode 0600 for the file and what SQLite puts beside it; neither text nor token ids of a canary in any."""
    model = connect(serve(), reply_cache=str(tmp_path / "deep" / "c.sqlite"))
    ids = price(model, "the code is 281265017")
    model.close()
    files = list((tmp_path / "deep").iterdir())
    assert files
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = file.read_bytes()
        assert b"281265017" not in content
        assert str(ids).encode() not in content
        assert np.array(ids, dtype=np.int64).tobytes() not in content


def price(model: ServedModel, *texts: str) -> list[int]:
    records = [model.framing.record(ids) for ids in model.tokenizer.encode(texts)]
    model.score(records, model.framing.given)
    return records[0]


def test_an_audit_goes_on_where_it_was_interrupted(
    serve: Serve, connect: Open, tmp_path: Path
) -> None:
    """The second run asks for what is new and nothing else; the numbers are the same."""
    cache = str(tmp_path / "c")
    first = connect(serve(), reply_cache=cache)
    texts = [f"the code is {n}" for n in range(20)]
    records = [first.framing.record(ids) for ids in first.tokenizer.encode(texts)]
    expected = first.score(records[:15], 1)
    first.close()
    # another port is another address: the same server has to be asked again
    fake = serve()
    second = connect(fake, reply_cache=cache)
    assert second.server["replies_kept"] == 0
    second.score(records[:15], 1)
    second.close()
    third = connect(fake, reply_cache=cache)
    assert third.server["replies_kept"] == 15
    before = third.server["prompts"]
    assert third.score(records, 1)[:15].tolist() == expected.tolist()
    assert third.server["prompts"] - before == 5


def test_drift_throws_the_replies_away(serve: Serve, connect: Open, tmp_path: Path) -> None:
    """What was kept before the drift was noticed may be of either model."""
    fake = serve()
    model = connect(fake, reply_cache=str(tmp_path / "c"))
    price(model, "the code is 0412")
    fake.engine.bends.add("drift")
    with pytest.raises(CouldNotMeasure, match="drift"):
        model.verify()
    fake.engine.bends.clear()
    assert connect(fake, reply_cache=str(tmp_path / "c")).server["replies_kept"] == 0


def test_a_killed_process_leaves_what_it_had_kept(tmp_path: Path) -> None:
    """kill −9 in the middle of writing: every reply whose ``keep`` returned is found, and the file opens."""
    program = (
        "import sys, numpy as np\n"
        "from secretaudit.models.server.reply_cache import ReplyCache\n"
        "from secretaudit.models.server.dialects import Prompt, Reading\n"
        "cache = ReplyCache(sys.argv[1])\n"
        f"cache.begin({WHO!r}, np.array({PROBES.tolist()}), 1e-3)\n"
        "for n in range(10**6):\n"
        "    cache.keep([(Prompt(tokens=(n, 1)), Reading(log_p=np.array([np.nan, -float(n)]), following={}))])\n"
        "    print(n, flush=True)\n"
    )
    file = tmp_path / "c"
    process = subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 50:
            break
    os.kill(process.pid, signal.SIGKILL)
    last = int((process.stdout.read().split() or [b"50"])[-1])
    process.wait()
    prompts = [Prompt(tokens=(n, 1)) for n in range(last + 1)]
    found = kept(file).find(prompts)
    assert [found[p].log_p[1] for p in prompts] == [-float(n) for n in range(last + 1)]


def test_two_runs_may_share_a_file(tmp_path: Path) -> None:
    """Both write, both read what the other wrote."""
    one, other = kept(tmp_path / "c"), kept(tmp_path / "c")
    first, second = Prompt(tokens=(1, 2)), Prompt(tokens=(1, 3))
    one.keep([(first, reading(np.nan, -1.0))])
    other.keep([(second, reading(np.nan, -2.0))])
    assert set(one.find([first, second])) == set(other.find([first, second])) == {first, second}


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 99, b"x"])
def test_what_is_no_cache_is_refused(content: bytes, tmp_path: Path) -> None:
    """A file of something else is not overwritten."""
    file = tmp_path / "c"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be used") as caught:
        ReplyCache(file)
    assert "--reply-cache" in caught.value.way_out
    assert file.read_bytes() == content


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A directory stands there."""
    with pytest.raises(UsageError, match="cannot be used"):
        ReplyCache(tmp_path)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """SQLite's own limit stands in for the disk."""
    cache = kept(tmp_path / "c")
    cache._file.execute("PRAGMA max_page_count = 8")
    with pytest.raises(CouldNotMeasure, match="could not be kept") as caught:
        for n in range(1000):
            cache.keep([(Prompt(tokens=(n,)), reading(*([-1.0] * 100)))])
    assert caught.value.why == "The disk is full."


def test_the_usual_place_is_the_users_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """``XDG_CACHE_HOME`` moves it."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/secretaudit/replies.sqlite")
