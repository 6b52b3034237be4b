"""Video clips: folders, columns, tracks and generated shapes."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.data import decoding
from secretaudit.suite.data.clips import has_clips, read_clips
from secretaudit.suite.data.decoding import even_places, sampled_frames, write_video
from secretaudit.suite.data.moving_shapes import (
    moving_shapes,
    moving_shapes_task,
    write_moving_shapes,
)
from secretaudit.suite.data.saved_datasets import read_saved_dataset
from secretaudit.suite.data.tracks import is_tracks, normalized, read_tracks, resampled
from secretaudit.suite.fitting import FitSettings, fit
from secretaudit.suite.learner import Architecture

av = pytest.importorskip("av")


def grey_video(path: Path, levels: list[int], size: int = 32) -> Path:
    """A clip whose frames are of one grey each."""
    write_video(path, [np.full((size, size, 3), level, np.uint8) for level in levels])
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_frames_are_taken_evenly(tmp_path: Path, suffix: str) -> None:
    """Twelve frames of rising grey, four taken: the middles of the four quarters."""
    levels = list(range(10, 250, 20))
    found = sampled_frames(grey_video(tmp_path / f"clip{suffix}", levels), 4, 16)
    assert found.shape == (3, 4, 16, 16)
    expected = [levels[1], levels[4], levels[7], levels[10]]
    assert np.abs(found.mean((0, 2, 3)) - expected).max() < 6


def test_short_clips_repeat_frames() -> None:
    """Three frames for six places."""
    assert even_places(3, 6) == [0, 0, 1, 1, 2, 2]
    assert even_places(7, 1) == [3]


def test_long_clips_are_sampled_as_short_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into memory is decoded twice: the same frames."""
    path = grey_video(tmp_path / "clip.mp4", list(range(0, 240, 6)))
    whole = sampled_frames(path, 5, 16)
    monkeypatch.setattr(decoding, "_KEPT", 3)
    assert np.array_equal(sampled_frames(path, 5, 16), whole)


def test_bytes_are_read_like_files(tmp_path: Path) -> None:
    """As a column of video holds them."""
    path = grey_video(tmp_path / "clip.mp4", [0, 100, 200])
    assert np.array_equal(sampled_frames(path.read_bytes(), 3, 16), sampled_frames(path, 3, 16))


def test_a_folder_of_class_folders_becomes_a_task(tmp_path: Path) -> None:
    """Classes by name, colours in [0, 1], a part held out; what is read is what was written."""
    write_moving_shapes(tmp_path, 3, size=32, frames=6)
    assert has_clips(tmp_path)
    task = read_clips(tmp_path, frames=6, size=32)
    assert (task.kind, task.shape, task.pixel) == ("clip", (3, 6, 32, 32), 1 / 255)
    assert task.class_names == ["down", "left", "right", "up"]
    assert len(task.train) + len(task.held_out) == 12
    x, y, names = moving_shapes(3, size=32, frames=6)
    written = torch.from_numpy(x).permute(0, 4, 1, 2, 3) / 255.0
    for clip, label in zip(task.train.inputs, task.train.labels.tolist(), strict=True):
        nearest = int((written - clip).abs().flatten(1).mean(1).argmin())
        assert names[y[nearest]] == task.class_names[label]


def test_parts_of_a_folder_stay_apart(tmp_path: Path) -> None:
    """train is trained on, test is held out."""
    write_moving_shapes(tmp_path / "train", 2, classes="shape")
    write_moving_shapes(tmp_path / "test", 1, classes="shape", seed=1)
    task = read_clips(tmp_path, size=16)
    assert (len(task.train), len(task.held_out)) == (6, 3)
    (tmp_path / "test" / "ghost").mkdir()
    with pytest.raises(UsageError, match="has a class 'ghost'"):
        read_clips(tmp_path)


def cut_after(path: Path, packets: int, of: int) -> bytes:
    """The beginning of a clip, cut between two frames: it opens, and ends early without a word."""
    grey_video(path, [40, 80] * (of // 2))
    with av.open(str(path)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    return path.read_bytes()[: ends[packets - 1]]


def broken_files(folder: Path) -> dict[str, str]:
    """Files that do not decode, with a part of the reason that is to be given."""
    whole = grey_video(folder / "whole.mp4", [40, 80, 120]).read_bytes()
    contents = {
        "empty.mp4": b"",
        "text.avi": b"no video at all " * 50,
        "half.mp4": whole[: len(whole) // 2],
        "short.avi": cut_after(folder / "short.avi", packets=20, of=80),
        "notes.txt": b"a note",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {
        "empty.mp4": "FFmpeg says",
        "text.avi": "FFmpeg says",
        "half.mp4": "FFmpeg says",
        "short.avi": "20 of 80 frames decode",
        "notes.txt": "does not end like a video's",
    }


def test_files_that_do_not_decode_are_named_and_refused(tmp_path: Path) -> None:
    """All of them at once, each with its reason."""
    write_moving_shapes(tmp_path, 2, classes="shape")
    reasons = broken_files(tmp_path / "disc")
    with pytest.raises(UsageError, match="5 of 12 clips do not decode") as refused:
        read_clips(tmp_path)
    for name, reason in reasons.items():
        told = next(part for part in refused.value.why.split("; ") if name in part)
        assert reason in told


def test_files_that_do_not_decode_are_left_out_by_name(tmp_path: Path) -> None:
    """When that is asked for; the task says which."""
    write_moving_shapes(tmp_path, 2, classes="shape")
    reasons = broken_files(tmp_path / "disc")
    task = read_clips(tmp_path, size=16, undecodable="report")
    assert len(task.train) + len(task.held_out) == 7
    assert "5 clips left out" in task.source
    assert all(name in task.source for name in reasons)


def test_sound_without_pictures_is_no_clip(tmp_path: Path) -> None:
    """A file that FFmpeg opens and that has no video."""
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(decoding.Undecodable, match="it has no video"):
        sampled_frames(path, 2, 16)


def test_a_class_without_a_clip_is_refused(tmp_path: Path) -> None:
    """An empty folder, or one of which nothing decodes."""
    write_moving_shapes(tmp_path, 2, classes="shape")
    (tmp_path / "void").mkdir()
    with pytest.raises(UsageError, match="The class 'void' has no clip that decodes"):
        read_clips(tmp_path)
    (tmp_path / "void" / "a.mp4").write_bytes(b"x")
    with pytest.raises(UsageError, match="The class 'void' has no clip that decodes"):
        read_clips(tmp_path, undecodable="report")


def test_hidden_files_and_folders_are_not_looked_at(tmp_path: Path) -> None:
    """What a file manager leaves behind is no clip."""
    write_moving_shapes(tmp_path, 1, classes="direction")
    (tmp_path / "up" / ".DS_Store").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    assert read_clips(tmp_path).classes == 4


def test_clips_that_would_not_fit_are_refused_before_the_first_is_read(tmp_path: Path) -> None:
    """The size is in the message; the files are not even video."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        UsageError, match=r"4 clips of 100 frames of 1000×1000 pixels take 5\.6 GiB"
    ):
        read_clips(tmp_path, frames=100, size=1000)


def test_questions_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    """No folders, no frames, and a treatment that does not exist."""
    with pytest.raises(UsageError, match="has no folders of clips"):
        read_clips(tmp_path)
    with pytest.raises(UsageError, match="frames must be at least 1"):
        read_clips(tmp_path, frames=0)
    with pytest.raises(UsageError, match="undecodable must be one of refuse, report"):
        read_clips(tmp_path, undecodable="skip")


def test_without_pyav_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the extra."""
    path = grey_video(tmp_path / "clip.mp4", [0, 100])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModelError, match=r"pip install 'secretaudit\[suite\]'"):
        sampled_frames(path, 2, 16)


def saved_clips(tmp_path: Path, *, broken: bool = False) -> Path:
    """A saved dataset with a column of video."""
    from datasets import ClassLabel, Dataset, Features, Video

    files = [grey_video(tmp_path / f"{i}.mp4", [20 + 30 * i] * 5) for i in range(6)]
    if broken:
        files[2].write_bytes(b"not video")
    features = Features(
        {"video": Video(decode=False), "label": ClassLabel(names=["dark", "light"])}
    )
    rows: dict[str, Any] = {
        "video": [{"path": str(p), "bytes": p.read_bytes()} for p in files],
        "label": [int(i >= 3) for i in range(6)],
    }
    Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_a_column_of_video_is_read_without_torchcodec(tmp_path: Path) -> None:
    """Bytes decoded by PyAV; the grey of each clip tells its row."""
    task = read_saved_dataset(saved_clips(tmp_path), frames=2, size=16)
    assert (task.kind, task.shape) == ("clip", (3, 2, 16, 16))
    for part in (task.train, task.held_out):
        bright = part.inputs.flatten(1).mean(1) > (20 + 75) / 255
        assert bright.long().tolist() == part.labels.tolist()


def test_a_row_that_does_not_decode_is_named(tmp_path: Path) -> None:
    """Refused by its number, or left out with it."""
    place = saved_clips(tmp_path, broken=True)
    with pytest.raises(UsageError, match="row 2"):
        read_saved_dataset(place, frames=2, size=16)
    task = read_saved_dataset(place, frames=2, size=16, undecodable="report")
    assert "row 2" in task.source and len(task.train) + len(task.held_out) == 5


def test_shapes_move_as_their_class_says() -> None:
    """Each frame's brightness is the frame before it, moved by two pixels, apart from the noise."""
    x, y, names = moving_shapes(3, size=16, noise=0.0)
    ways = {"right": (0, 2), "left": (0, -2), "down": (2, 0), "up": (-2, 0)}
    for clip, label in zip(x, y, strict=True):
        for before, after in pairwise(clip):
            assert np.array_equal(np.roll(before, ways[names[label]], (0, 1)), after)


def test_moving_shapes_follow_from_the_seed_and_can_be_learned() -> None:
    """A small 3-D network tells the directions apart on clips that it never saw."""
    assert np.array_equal(moving_shapes(2)[0], moving_shapes(2)[0])
    assert not np.array_equal(moving_shapes(2)[0], moving_shapes(2, seed=1)[0])
    task = moving_shapes_task(40, frames=4, size=12)
    model = Architecture(task=task, options={"filters": 8}).fresh(0)
    settings = FitSettings(epochs=20, batch_size=8, optimizer="adam", learning_rate=0.003)
    found = fit(model, task.train, settings, 0, held_out=task.held_out)
    assert found.held_out_accuracy is not None and found.held_out_accuracy > 0.9


def tracks_file(path: Path, **other: Any) -> Path:
    """Four clips of three joints in the plane."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "frames": rng.normal(size=(22, 3, 2)).astype(np.float32),
        "lengths": np.array([5, 6, 1, 10]),
        "y": np.array([0, 1, 0, 1], np.uint8),
        "classes": np.array(["sit", "run"]),
    }
    np.savez(path, **arrays | other)
    return path


def test_tracks_become_clips_or_rows(tmp_path: Path) -> None:
    """Coordinates are channels, joints are pixels; a row has all of them."""
    path = tracks_file(tmp_path / "tracks.npz")
    assert is_tracks(path)
    clip, table = read_tracks(path, frames=8), read_tracks(path, frames=8, kind="table")
    assert (clip.shape, table.shape) == ((2, 8, 3, 1), (48,))
    assert clip.class_names == ["sit", "run"]
    as_rows = clip.train.inputs.squeeze(-1).permute(0, 2, 3, 1).flatten(1)
    assert torch.equal(as_rows, table.train.inputs)


def test_tracks_are_interpolated_in_time() -> None:
    """A joint that moves evenly does so at any number of frames; ends stay ends."""
    track = np.arange(5.0)[:, None, None] * np.ones((1, 2, 2))
    assert resampled(track, 9)[:, 0, 0].tolist() == pytest.approx([i / 2 for i in range(9)])
    assert np.array_equal(resampled(track[:1], 3), np.zeros((3, 2, 2)))


def test_place_and_size_of_a_track_do_not_count() -> None:
    """Moved and enlarged it is the same; a track that stands in one point is 0."""
    track = np.random.default_rng(1).normal(size=(6, 3, 2)).astype(np.float32)
    assert np.allclose(normalized(4 * track + 7), normalized(track), atol=1e-5)
    assert (normalized(track) ** 2).sum(2).mean() == pytest.approx(1.0, rel=1e-4)
    assert not normalized(np.full((6, 3, 2), 5.0, np.float32)).any()


def test_tracks_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """Lengths that do not add up, and a file without labels."""
    wrong = tracks_file(tmp_path / "wrong.npz", lengths=np.array([5, 6, 1, 9]))
    with pytest.raises(UsageError, match="do not belong together"):
        read_tracks(wrong)
    np.savez(tmp_path / "none.npz", frames=np.zeros((2, 3, 2)))
    assert not is_tracks(tmp_path / "none.npz")
    with pytest.raises(UsageError, match="It lacks lengths, y"):
        read_tracks(tmp_path / "none.npz")
    with pytest.raises(UsageError, match="kind must be one of clip, table"):
        read_tracks(wrong, kind="image")


@pytest.mark.data
def test_tracks_and_clips_of_real_bodies_are_read() -> None:
    """433 clips of HMDB51 as joints; two real clips as frames."""
    data = Path(os.environ["SECRETAUDIT_DATA"]) / "video"
    task = read_tracks(data / "jhmdb_joints_train1.npz")
    assert len(task.train) + len(task.held_out) == 433
    assert (task.classes, task.shape) == (14, (2, 32, 15, 1))
    for name in ("demo.mp4", "test.avi"):
        assert sampled_frames(data / "clips" / name, 8, 32).std() > 10
