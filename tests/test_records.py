"""Records: whole or not there, plain JSON, and refused when they are not what was asked for."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.errors import CouldNotMeasure, RecordError, UsageError
from secretaudit.records import (
    KINDS,
    Record,
    check_record_place,
    directory_being_written,
    directory_lock,
    environment,
    mask,
    write_json,
    write_text,
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4)
    ),
    max_leaves=12,
)


def record(**found: object) -> Record:
    return Record(kind="exposure", asked={"seed": 1}, found=found, environment={})


def left_over(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


class TestRecord:
    @given(found=st.dictionaries(st.text(), PLAIN, max_size=4))
    def test_reads_back_what_was_written(self, tmp_path_factory, found):
        """A record equals what is read from its file, whatever it holds."""
        path = tmp_path_factory.mktemp("record") / "record.json"
        written = Record(kind="insertion", asked=found, found={"all": found}, environment={})
        written.write(path)
        assert Record.read(path, "insertion") == written

    def test_integers_of_any_size_survive(self, tmp_path):
        """|R| of a 128-bit key is not rounded to a float."""
        record(size=16**32 + 1).write(tmp_path / "r.json")
        assert Record.read(tmp_path / "r.json").found["size"] == 16**32 + 1

    def test_library_types_become_plain(self):
        """Numpy scalars, tuples and paths are written as numbers, lists and strings."""
        made = record(rank=np.int64(3), bits=np.float32(1.5), pair=(1, 2), path=Path("a/b"))
        assert json.loads(made.to_json())["found"] == {
            "rank": 3,
            "bits": 1.5,
            "pair": [1, 2],
            "path": "a/b",
        }

    def test_document_has_the_promised_shape(self):
        """Others may rely on these five keys."""
        assert json.loads(record(a=1).to_json()) == {
            "schema": "secretaudit/exposure",
            "version": 1,
            "asked": {"seed": 1},
            "found": {"a": 1},
            "environment": {},
        }

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
    def test_what_is_not_finite_is_refused_with_its_place(self, value):
        """No NaN can reach a comparison later on."""
        with pytest.raises(
            RecordError, match=r"found\.canaries\[1\]\.exposure_bits is -?(nan|inf)"
        ):
            record(canaries=[{}, {"exposure_bits": value}])

    def test_foreign_objects_are_refused(self):
        """An array in a record is a mistake of the caller."""
        with pytest.raises(RecordError, match=r"found\.costs is of type ndarray"):
            record(costs=np.zeros(3))

    def test_unknown_kind_is_refused_when_made(self):
        """A misspelt kind does not reach the disk."""
        with pytest.raises(RecordError, match="'exposures'"):
            Record(kind="exposures", asked={}, found={}, environment={})


class TestReading:
    def test_every_truncation_is_refused(self, tmp_path):
        """A record cut anywhere is an error with a way out, never half a record."""
        path = tmp_path / "r.json"
        whole = record(canaries=[{"id": "pin-1x-00"}]).to_json()
        for length in range(len(whole)):
            path.write_text(whole[:length], encoding="utf-8")
            with pytest.raises(RecordError):
                Record.read(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\xff\xfe\x00", "truncated or not JSON"),
            (b"[1, 2]", "not an object"),
            (b'{"schema": "other/thing"}', "not a record of secretaudit"),
            (b'{"schema": "secretaudit/other", "version": 1}', "not a record of secretaudit"),
            (b'{"schema": ["secretaudit/gate"], "version": 1}', "not a record of secretaudit"),
            (b'{"schema": "secretaudit/gate", "version": 1}', "'asked' is missing"),
            (b'{"schema": "secretaudit/gate", "version": true}', "version is True"),
            (b'{"schema": "secretaudit/gate", "version": 2}', "knows up to 1"),
            (b'{"schema": "secretaudit/gate", "version": NaN}', "it holds NaN"),
            (b"[" * 100_000, "truncated or not JSON"),
        ],
    )
    def test_what_is_not_a_record_is_refused(self, tmp_path, content, message):
        """Each refusal says what stands there instead."""
        path = tmp_path / "r.json"
        path.write_bytes(content)
        with pytest.raises(RecordError, match=message):
            Record.read(path)

    def test_infinity_in_a_file_is_refused(self, tmp_path):
        """Other programs write 1e999 or Infinity; neither may pass as a number."""
        path = tmp_path / "r.json"
        for number in ("Infinity", "1e999"):
            path.write_text(record(bits=7).to_json().replace("7", number), encoding="utf-8")
            with pytest.raises(RecordError):
                Record.read(path)

    def test_missing_file_and_directory_are_refused(self, tmp_path):
        """A wrong path gives a sentence, not a traceback."""
        with pytest.raises(RecordError, match="There is no record"):
            Record.read(tmp_path / "none.json")
        with pytest.raises(RecordError, match="cannot be read"):
            Record.read(tmp_path)

    @pytest.mark.parametrize("kind", KINDS)
    def test_other_kind_is_refused(self, tmp_path, kind):
        """A record of each kind is taken as itself and as nothing else."""
        path = tmp_path / "r.json"
        Record(kind=kind, asked={}, found={}, environment={}).write(path)
        assert Record.read(path, kind).kind == kind
        for other in set(KINDS) - {kind}:
            with pytest.raises(RecordError, match=f"not a record of kind '{other}'"):
                Record.read(path, other)


class TestWriting:
    def test_private_file_is_never_readable_by_others(self, tmp_path, monkeypatch, open_umask):
        """Mode 0600 holds while the file is being written, not only afterwards."""
        seen = []
        sync = os.fsync

        def watching(descriptor: int) -> None:
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", watching)
        write_text(tmp_path / "ledger.json", "secret", mode=0o600)
        assert seen[0] == 0o600
        assert stat.S_IMODE((tmp_path / "ledger.json").stat().st_mode) == 0o600

    def test_replacing_a_public_file_makes_it_private(self, tmp_path, open_umask):
        """The mode that was asked for wins over the mode of the file that stood there."""
        (tmp_path / "r.json").write_text("old")
        record(a=1).write(tmp_path / "r.json", mode=0o600)
        assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o600

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_full_disk_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch, code):
        """What was there is still there, whole, and the error says that the disk is full."""

        def full(descriptor: int) -> None:
            raise OSError(code, "No space left on device")

        write_text(tmp_path / "r.json", "old")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CouldNotMeasure, match="disk is full"):
            write_text(tmp_path / "r.json", "new")
        assert (tmp_path / "r.json").read_text() == "old"
        assert left_over(tmp_path) == ["r.json"]

    def test_interruption_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch):
        """Ctrl-C in the middle of a write is no exception to the rule."""

        def interrupted(descriptor: int) -> None:
            raise KeyboardInterrupt

        write_text(tmp_path / "r.json", "old")
        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_text(tmp_path / "r.json", "new")
        assert left_over(tmp_path) == ["r.json"]

    def test_missing_directory_is_explained(self, tmp_path):
        """The system's reason and a way out, not an OSError."""
        with pytest.raises(UsageError, match="No such file or directory"):
            write_text(tmp_path / "none" / "r.json", "x")

    def test_what_is_no_ordinary_file_is_left_alone(self, tmp_path):
        """Writing to a pipe or a device must not replace it by a file."""
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match="not an ordinary file"):
            write_text(tmp_path / "pipe", "x")
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)

    def test_a_link_stays_a_link(self, tmp_path):
        """The file behind a symbolic link is replaced, not the link."""
        (tmp_path / "real.txt").write_text("old")
        (tmp_path / "link.txt").symlink_to("real.txt")
        write_text(tmp_path / "link.txt", "new")
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "real.txt").read_text() == "new"

    def test_json_refuses_nan(self, tmp_path):
        """Nothing is written when a value cannot be."""
        with pytest.raises(ValueError, match="JSON compliant"):
            write_json(tmp_path / "r.json", {"bits": math.nan})
        assert left_over(tmp_path) == []


class TestDirectoryBeingWritten:
    def test_appears_whole(self, tmp_path):
        """Nothing under the final name before the end, everything after it."""
        with directory_being_written(tmp_path / "deep" / "out") as directory:
            (directory / "corpus.txt").write_text("line")
            assert not (tmp_path / "deep" / "out").exists()
        assert (tmp_path / "deep" / "out" / "corpus.txt").read_text() == "line"
        assert left_over(tmp_path / "deep") == ["out"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
    def test_failure_leaves_nothing(self, tmp_path, error):
        """However the block ends, only its good end leaves something."""
        with pytest.raises(error), directory_being_written(tmp_path / "out") as directory:
            (directory / "half.txt").write_text("half")
            raise error
        assert left_over(tmp_path) == []

    def test_full_disk_is_explained_and_leaves_nothing(self, tmp_path):
        """A full disk inside the block is one error with a way out."""
        with (
            pytest.raises(CouldNotMeasure, match="disk is full"),
            directory_being_written(tmp_path / "out") as directory,
        ):
            (directory / "half.txt").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
        assert left_over(tmp_path) == []

    def test_nothing_is_overwritten_unasked(self, tmp_path):
        """A directory with something in it is refused, and stays."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("years")
        with (
            pytest.raises(UsageError, match="already exists"),
            directory_being_written(tmp_path / "out"),
        ):
            pytest.fail("the block must not run")
        assert (tmp_path / "out" / "thesis.txt").read_text() == "years"

    def test_force_replaces_only_what_we_wrote(self, tmp_path):
        """--force with the wrong path does not remove somebody's home."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("years")
        with (
            pytest.raises(UsageError, match="not even with --force"),
            directory_being_written(tmp_path / "out", force=True),
        ):
            pytest.fail("the block must not run")
        assert (tmp_path / "out" / "thesis.txt").read_text() == "years"

    def test_force_replaces_the_whole_of_an_earlier_run(self, tmp_path):
        """No file of the earlier run survives among the new ones."""
        for name in ("first.txt", "second.txt"):
            with directory_being_written(tmp_path / "out", force=True) as directory:
                (directory / name).write_text(name)
                record(a=1).write(directory / "insertion.json")
        assert left_over(tmp_path / "out") == ["insertion.json", "second.txt"]
        assert left_over(tmp_path) == ["out"]

    def test_a_failed_replacement_keeps_the_earlier_run(self, tmp_path):
        """The old directory is given up only when the new one is complete."""
        with directory_being_written(tmp_path / "out") as directory:
            record(a=1).write(directory / "insertion.json")
        with (
            pytest.raises(ValueError, match="in the middle"),
            directory_being_written(tmp_path / "out", force=True),
        ):
            raise ValueError("in the middle")
        assert left_over(tmp_path / "out") == ["insertion.json"]
        assert left_over(tmp_path) == ["out"]

    def test_a_kill_between_two_renames_is_healed(self, tmp_path):
        """The next run puts the earlier directory back before it looks."""
        (tmp_path / ".out.old").mkdir()
        record(a=1).write(tmp_path / ".out.old" / "insertion.json")
        with (
            pytest.raises(UsageError, match="already exists"),
            directory_being_written(tmp_path / "out"),
        ):
            pytest.fail("the block must not run")
        assert left_over(tmp_path / "out") == ["insertion.json"]

    def test_empty_directory_is_taken_over(self, tmp_path):
        """A mkdir before the command is a habit, not an obstacle."""
        (tmp_path / "out").mkdir()
        with directory_being_written(tmp_path / "out") as directory:
            (directory / "a").write_text("a")
        assert left_over(tmp_path / "out") == ["a"]

    def test_file_and_current_directory_are_refused(self, tmp_path, monkeypatch):
        """A place that cannot be replaced as a whole is refused with the reason."""
        (tmp_path / "file").write_text("x")
        (tmp_path / "here" / "below").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here" / "below")
        for place, message in [
            (tmp_path / "file", "file of that name"),
            (".", "current directory"),
            ("..", "current directory"),
        ]:
            with pytest.raises(UsageError, match=message), directory_being_written(place):
                pytest.fail("the block must not run")

    def test_second_run_into_one_directory_is_refused(self, tmp_path):
        """Two runs cannot mix their files; the first goes on undisturbed."""
        with directory_being_written(tmp_path / "out") as directory:
            with (
                pytest.raises(UsageError, match="another run"),
                directory_being_written(tmp_path / "out", force=True),
            ):
                pytest.fail("the block must not run")
            (directory / "a").write_text("a")
        assert left_over(tmp_path / "out") == ["a"]

    def test_a_killed_run_blocks_nobody(self, tmp_path):
        """SIGKILL leaves no final directory, and the next run cleans up what was left."""
        program = (
            "import os, signal\n"
            "from secretaudit.records import directory_being_written\n"
            "with directory_being_written('out') as directory:\n"
            "    (directory / 'half').write_text('half')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        root = Path(__file__).parents[1]
        killed = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert killed.returncode == -9
        assert not (tmp_path / "out").exists()
        assert left_over(tmp_path) == [".out.lock", ".out.partial"]
        with directory_being_written(tmp_path / "out") as directory:
            (directory / "whole").write_text("whole")
        assert left_over(tmp_path / "out") == ["whole"]
        assert left_over(tmp_path) == ["out"]

    def test_lock_is_free_again_after_use(self, tmp_path):
        """One run after the other is fine, and no lock file stays."""
        for _ in range(2):
            with directory_lock(tmp_path / "out"):
                pass
        assert left_over(tmp_path) == []


class TestRecordPlace:
    def test_record_of_the_same_kind_may_be_replaced(self, tmp_path):
        """Measuring again is the rule."""
        record(a=1).write(tmp_path / "exposure.json")
        check_record_place(tmp_path / "exposure.json", "exposure")

    def test_anything_else_is_kept(self, tmp_path):
        """A ledger or a thesis is not overwritten by an exposure record, not even when forced."""
        for content in ("my thesis", '{"schema": "secretaudit/ledger"}'):
            (tmp_path / "x.json").write_text(content)
            for force in (False, True):
                with pytest.raises(UsageError, match="not a whole record of kind 'exposure'"):
                    check_record_place(tmp_path / "x.json", "exposure", force=force)

    def test_record_of_another_kind_is_replaced_when_forced(self, tmp_path):
        """An extraction in the way of an exposure is ours, and --force is enough."""
        Record(kind="gate", asked={}, found={}, environment={}).write(tmp_path / "x.json")
        with pytest.raises(UsageError, match="--force"):
            check_record_place(tmp_path / "x.json", "exposure")
        check_record_place(tmp_path / "x.json", "exposure", force=True)

    def test_missing_directory_is_refused_before_the_work(self, tmp_path):
        """An hour of measuring does not end with a place that never existed."""
        with pytest.raises(UsageError, match="missing or closed"):
            check_record_place(tmp_path / "none" / "exposure.json", "exposure")


class TestMask:
    @given(secret=st.text(min_size=0, max_size=40))
    def test_shows_at_most_the_ends_and_never_the_length(self, secret):
        """Eight characters wide; the six in the middle are dots."""
        masked = mask(secret)
        assert len(masked) == 8
        assert masked[1:-1] == "•" * 6
        if len(secret) < 8:
            assert masked == "•" * 8
        else:
            assert masked == secret[0] + "•" * 6 + secret[-1]


class TestEnvironment:
    def test_says_when_where_and_how_long(self):
        """Seconds are counted from the start that was given, and the date is the start's, in UTC."""
        started = time.time() - 100
        found = environment(seed=7, started=started, device="cuda:0")
        assert 100 <= found["seconds"] < 160
        assert found["seed"] == 7
        assert found["device"] == "cuda:0"
        assert found["date"].endswith("+00:00")
        assert found["versions"]["numpy"] == np.__version__

    def test_clock_that_went_back_gives_no_negative_seconds(self):
        """A started time in the future counts as now."""
        assert environment(seed=None, started=time.time() + 50)["seconds"] == 0

    def test_imports_nothing(self):
        """Asking for versions does not load the libraries asked for."""
        program = (
            "import sys, time\n"
            "from secretaudit.records import environment\n"
            "found = environment(seed=0, started=time.time())\n"
            "assert 'numpy' not in found['versions'] and 'numpy' not in sys.modules\n"
            "assert 'python' in found['versions']\n"
        )
        root = Path(__file__).parents[1]
        subprocess.run(
            [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(root)}
        )
