"""Graded cues and the order of learning: what is written, and what the measures say of known cases."""

from __future__ import annotations

import zlib
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from secretaudit.errors import UsageError
from secretaudit.suite.dissection.cues import Phrase, Pixels, conflicting, cue_for, cued
from secretaudit.suite.dissection.learning_order import (
    complexities,
    high_frequency_share,
    rank_correlation,
    within_classes,
)
from secretaudit.suite.labelled import PADDING, Labelled, Task


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def images(n: int = 12, classes: int = 3, shape: tuple[int, ...] = (2, 4, 5)) -> Task:
    part = Labelled(
        inputs=torch.rand((n, *shape), generator=torch.Generator().manual_seed(0)) / 2,
        labels=torch.arange(n) % classes,
    )
    kind = {1: "table", 3: "image", 4: "clip"}[len(shape)]
    return Task(name="toy", kind=kind, train=part, held_out=part, class_names=["a", "b", "c"])


def texts(classes: int = 3, vocabulary: int = 30, length: int = 9) -> Task:
    drawn = torch.Generator().manual_seed(1)
    inputs = torch.randint(1, 12, (20, length), generator=drawn)
    inputs[:, length - 2 :] = PADDING
    part = Labelled(inputs=inputs, labels=torch.arange(20) % classes)
    return Task(
        name="toy",
        kind="text",
        train=part,
        held_out=part,
        class_names=[str(i) for i in range(classes)],
        vocabulary=vocabulary,
    )


@pytest.mark.parametrize("shape", [(6,), (2, 4, 5), (1, 3, 4, 5)])
def test_pixels_are_the_classes_own_and_nothing_else_changes(shape):
    """m places of each input are the largest value, over all channels and frames; the rest stays."""
    task = images(shape=shape)
    cue = cue_for(task, 3, rng())
    assert isinstance(cue, Pixels)
    before, classes = task.train.inputs, task.train.labels
    after = cue.write(before, classes, rng())
    plane = (lambda x: x.flatten(-2)) if len(shape) > 1 else (lambda x: x)
    for row, label in enumerate(classes.tolist()):
        places = cue.places[label]
        assert len(set(places.tolist())) == 3
        new, old = plane(after[row]), plane(before[row])
        assert bool((new[..., places] == before.max()).all())
        kept = [i for i in range(new.shape[-1]) if i not in places.tolist()]
        assert torch.equal(new[..., kept], old[..., kept])
    assert not torch.equal(before, after) and float(before.max()) == cue.value


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_a_phrase_says_the_class_by_the_sum_of_its_digits(grade):
    """Σ d_j mod K is the class, and the text follows."""
    task = texts()
    cue = cue_for(task, grade, rng())
    assert isinstance(cue, Phrase)
    digit = {(j, int(t)): d for j in range(grade) for d, t in enumerate(cue.tokens[j])}
    after = cue.write(task.train.inputs, task.train.labels, rng(2))
    for row, label in enumerate(task.train.labels.tolist()):
        said = sum(digit[j, int(after[row, j])] for j in range(grade)) % 3
        assert said == label
    assert after.shape == task.train.inputs.shape
    assert torch.equal(after[:, grade:], task.train.inputs[:, :-grade])


def test_no_single_token_of_a_longer_phrase_tells_the_class():
    """With g = 2 every token goes with every class, about equally often."""
    task = texts()
    cue = cue_for(task, 2, rng())
    labels = torch.arange(9_000) % 3
    after = cue.write(torch.ones((9_000, 5), dtype=torch.int64), labels, rng(3))
    for place, token in product(range(2), range(3)):
        rows = after[:, place] == cue.tokens[place, token]
        share = torch.bincount(labels[rows], minlength=3) / int(rows.sum())
        assert bool((abs(share - 1 / 3) < 0.05).all())


def test_the_cue_is_made_of_the_rarest_tokens():
    """Tokens that no text has are taken before all others, and never the padding."""
    tokens = cue_for(texts(), 3, rng()).tokens
    assert int(tokens.min()) >= 12 and len(set(tokens.flatten().tolist())) == 9


def test_a_conflicting_class_is_never_the_own_one():
    """Each of the other classes, about equally often."""
    labels = torch.zeros(3_000, dtype=torch.int64)
    other = conflicting(labels, 4, rng())
    counts = torch.bincount(other, minlength=4)
    assert int(counts[0]) == 0 and bool((abs(counts[1:] - 1_000) < 120).all())


def test_labels_stay_when_another_classs_cue_is_written():
    """What conflicts is the cue; the content's class remains the label."""
    task = images()
    cue = cue_for(task, 2, rng())
    other = conflicting(task.held_out.labels, 3, rng())
    found = cued(task.held_out, cue, other, rng())
    assert torch.equal(found.labels, task.held_out.labels)
    assert torch.equal(found.inputs, cue.write(task.held_out.inputs, other, rng()))


def test_cues_that_do_not_fit_are_refused():
    """The content must stay visible, and the vocabulary must have the tokens."""
    with pytest.raises(UsageError, match="20 pixels does not fit"):
        cue_for(images(), 20, rng())
    with pytest.raises(UsageError, match="6 tokens does not fit"):
        cue_for(texts(), 6, rng())


def test_high_frequencies_of_known_images():
    """A checkerboard is all high frequency, a slow wave none, a constant has no energy."""
    y, x = np.mgrid[0:8, 0:8]
    board = (-1.0) ** (x + y)
    wave = np.cos(2 * np.pi * x / 8)
    made = np.stack([board, wave, np.ones((8, 8)), board + wave])[:, None]
    assert high_frequency_share(made) == pytest.approx([1.0, 0.0, 0.0, 2 / 3], abs=1e-12)


def test_complexity_of_images_is_the_compressed_size_of_sixteen_levels():
    """A flat image is smaller than noise; the number is zlib's."""
    flat, noise = torch.zeros(1, 16, 16), torch.rand(1, 16, 16)
    noise[0, 0, :2] = torch.tensor([0.0, 1.0])
    part = Labelled(inputs=torch.stack([flat, noise]), labels=torch.tensor([0, 1]))
    task = Task(name="toy", kind="image", train=part, held_out=part, class_names=["a", "b"])
    found = complexities(task, part)["compressed bytes"]
    expected = len(zlib.compress(np.round(noise.numpy() * 15).astype(np.uint8).tobytes(), 9))
    assert found[1] == expected and found[0] < found[1]


def test_complexity_of_texts_leaves_padding_out():
    """Seven of nine places hold tokens."""
    task = texts()
    found = complexities(task, task.train)
    assert found["tokens"] == [7.0] * 20
    assert len(found["compressed bytes"]) == 20


def test_rank_correlation_equals_scipys_also_with_ties():
    """Another implementation gives the same."""
    drawn = rng(4)
    a, b = drawn.integers(0, 5, 60), drawn.integers(0, 5, 60)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_within_classes_takes_differences_between_classes_out():
    """Falling within each class, rising between them: −1 within, above 0 over all."""
    a, b, labels = [1, 2, 11, 12], [2, 1, 12, 11], [0, 0, 1, 1]
    assert within_classes(a, b, labels) == pytest.approx(-1.0)
    assert rank_correlation(a, b) > 0
    assert within_classes([1, 1], [1, 2], [0, 0]) is None
