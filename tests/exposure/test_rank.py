"""Ranks and exposures: counted by hand, by a naive twin, and by laws that hold for any costs."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure
from secretaudit.exposure.rank import (
    exposure_bits,
    ranks_among,
    space_bits,
    space_size,
    tail_exposure_bits,
)

quarters = st.integers(-40, 40).map(lambda n: n / 4)  # coarse, so that ties are common


def published(name: str) -> Path:
    """A file of published numbers, or a skip that says why."""
    root = os.environ.get("SECRETAUDIT_DATA")
    path = Path(root or "", "published", name)
    if not root or not path.exists():
        pytest.skip(f"SECRETAUDIT_DATA does not point at a folder with published/{name}")
    return path


@given(
    costs=st.lists(quarters, min_size=1, max_size=8),
    references=st.lists(quarters, min_size=1, max_size=40),
    tolerance=st.sampled_from([0.0, 0.25, 0.6]),
)
def test_ranks_equal_a_count_one_by_one(
    costs: list[float], references: list[float], tolerance: float
) -> None:
    """The naive twin compares each canary with each reference."""
    found = ranks_among(costs, references, tolerance=tolerance)
    for j, c in enumerate(costs):
        cheaper = sum(r < c - tolerance for r in references)
        tied = sum(abs(r - c) <= tolerance for r in references)
        assert found.against[j] == 1 + cheaper + tied
        assert found.middle[j] == 1 + cheaper + tied / 2
        assert found.in_favour[j] == 1 + cheaper
        assert found.ties[j] == tied


@given(
    references=st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.floats(-3, 3) | st.just(0.1 + 0.2),
        min_size=1,
        max_size=40,
    ),
    data=st.data(),
)
def test_ranks_are_exact_for_costs_of_any_size(
    references: list[float], data: st.DataObject
) -> None:
    """From the smallest to the largest number, equal costs included: no rounding of a step moves a rank."""
    near = data.draw(st.sampled_from(references))
    costs = [near, float(np.nextafter(near, -1e300)), float(np.nextafter(near, 1e300)), 0.3]
    found = ranks_among(costs, references)
    assert found.against.tolist() == [1 + sum(r <= c for r in references) for c in costs]
    assert found.in_favour.tolist() == [1 + sum(r < c for r in references) for c in costs]


@given(space=st.lists(quarters, min_size=2, max_size=60), data=st.data())
def test_in_a_full_space_the_canary_counts_once(space: list[float], data: st.DataObject) -> None:
    """Among all secrets, the rank against is the number of secrets that cost at most as much (Definition 2)."""
    cost = data.draw(st.sampled_from(space))
    found = ranks_among([cost], space, canaries_included=True)
    assert found.among == len(space)
    assert found.against[0] == sum(r <= cost for r in space)
    assert found.in_favour[0] == 1 + sum(r < cost for r in space)
    assert 1 <= found.in_favour[0] <= found.middle[0] <= found.against[0] <= len(space)


@given(references=st.lists(quarters, min_size=1, max_size=40), seed=st.integers(0, 99))
def test_order_of_canaries_is_kept(references: list[float], seed: int) -> None:
    """Shuffling the canaries shuffles the ranks in the same way: a sorted result would lose who is who."""
    costs = np.array([5.5, 0.5, 3.5, -2.0, 5.5])
    order = np.random.default_rng(seed).permutation(len(costs))
    straight = ranks_among(costs, references).against
    assert ranks_among(costs[order], references[::-1]).against.tolist() == straight[order].tolist()


def test_exposures_come_back_in_the_order_of_the_canaries() -> None:
    """Costs 5.5, 0.5, 3.5 among 1 … 9: ranks 6, 1, 4, not sorted."""
    found = ranks_among([5.5, 0.5, 3.5], np.arange(1.0, 10.0))
    assert found.against.tolist() == [6, 1, 4]
    bits = exposure_bits(found.against, found.among)
    np.testing.assert_allclose(bits, [math.log2(10 / 6), math.log2(10), math.log2(10 / 4)])


def test_an_exposure_is_never_negative_even_for_the_dearest_canary() -> None:
    """The canary counts above and below the fraction line: dearer than all 16 references is exactly 0 bits."""
    found = ranks_among([20.0], np.arange(16.0))
    assert exposure_bits(found.against, found.among).tolist() == [0.0]


@pytest.mark.parametrize(
    ("shift", "ties"), [(0.0, 2), (9e-7, 2), (-9e-7, 2), (2e-6, 0), (-2e-6, 0)]
)
def test_rounding_noise_within_the_tolerance_is_a_tie(shift: float, ties: int) -> None:
    """Two references at 3 ± shift tie with a canary at 3 exactly when the shift is within the tolerance."""
    found = ranks_among([3.0], [3.0 + shift, 3.0 + shift, 1.0, 9.0], tolerance=1e-6)
    assert found.ties.tolist() == [ties]
    assert found.against[0] - found.in_favour[0] == ties


def test_equal_costs_everywhere_put_the_canary_last_middle_and_first() -> None:
    """A model that knows nothing: all 8 secrets cost the same."""
    found = ranks_among([2.0], [2.0] * 8, canaries_included=True)
    assert (found.against[0], found.middle[0], found.in_favour[0]) == (8, 4.5, 1)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("whose", ["canary", "reference"])
def test_one_cost_that_is_not_finite_is_refused_with_its_number(poison: float, whose: str) -> None:
    """One NaN in a sort can turn the best rank into the worst, so nothing is ranked at all."""
    costs, references = [1.0, 2.0], [3.0] * 1000
    (costs if whose == "canary" else references)[1] = poison
    total = 2 if whose == "canary" else 1000
    with pytest.raises(CouldNotMeasure, match=f"1 of {total} {whose} costs are NaN or infinite"):
        ranks_among(costs, references)


def test_no_references_and_bad_tolerance_are_refused() -> None:
    """A rank among nothing, and a tolerance that is no number of bits."""
    with pytest.raises(CouldNotMeasure, match="There are no reference costs"):
        ranks_among([1.0], [])
    for tolerance in (-1.0, math.nan):
        with pytest.raises(ValueError, match="tolerance must be a number of bits >= 0"):
            ranks_among([1.0], [2.0], tolerance=tolerance)


def test_a_canary_missing_from_its_own_space_is_refused() -> None:
    """Scored in two ways that disagree: the enumeration holds no secret of the canary's cost."""
    with pytest.raises(CouldNotMeasure, match="1 canaries are missing"):
        ranks_among([1.0, 2.5], [1.0, 2.0, 3.0], canaries_included=True)


def test_no_canaries_give_no_ranks() -> None:
    """An empty question has an empty answer."""
    assert ranks_among([], [1.0, 2.0]).against.shape == (0,)


@pytest.mark.parametrize("power", [1, 30, 53, 128, 1100, 5000])
def test_the_ceiling_is_exact_for_spaces_of_any_size(power: int) -> None:
    """log2 of the exact integer, far beyond what a float can hold."""
    assert space_bits(2**power) == power
    assert math.isfinite(space_size(2**power))
    assert tail_exposure_bits([0.5, 0.0], 2**power).tolist() == [1.0, float(power)]


def test_nine_digits_have_29_897_bits() -> None:
    """The paper's largest space that can be enumerated."""
    assert exposure_bits([1], 10**9)[0] == pytest.approx(29.897, abs=5e-4)
    with pytest.raises(ValueError, match="secrets must be at least 2"):
        space_bits(1)


def test_exposure_of_every_rank_follows_the_definition() -> None:
    """log2 |R| − log2 rank, from the first to the last; estimates outside are taken inside."""
    ranks = np.arange(1, 1001)
    expected = [math.log2(1000) - math.log2(rank) for rank in range(1, 1001)]
    np.testing.assert_allclose(exposure_bits(ranks, 1000), expected, atol=1e-12)
    assert exposure_bits([0.2, 5000.0], 1000).tolist() == [math.log2(1000), 0.0]


def test_uniform_ranks_average_1_44_bits_and_not_zero() -> None:
    """The mean exposure of a secret that was never inserted is 1/ln 2 bits for a large space."""
    mean: float = exposure_bits(np.arange(1, 10**6 + 1), 10**6).mean()
    assert mean == pytest.approx(1 / math.log(2), abs=1e-4)


def test_ranks_of_the_unit_test_of_tensorflow_privacy() -> None:
    """Golden: its published expectations are log2 16 − log2(rank against); ours counts the canary in, log2(17/16) more."""
    golden = json.loads(published("tf_privacy_exposures.json").read_text())[
        "unit_test_interpolation"
    ]
    for repeats, costs in golden["secrets"].items():
        found = ranks_among(costs, golden["reference_perplexities"])
        theirs: NDArray[np.float64] = 4.0 - np.log2(found.against)
        np.testing.assert_allclose(theirs, golden["expected_exposure"][repeats], atol=1e-9)
        np.testing.assert_allclose(
            exposure_bits(found.against, found.among), theirs + math.log2(17 / 16), atol=1e-9
        )


def test_exposures_of_a_published_reimplementation_are_whole_ranks() -> None:
    """Golden: all exposures of 2018 runs over |R| = 500² and others are log2 |R| − log2 of a whole number."""
    with published("merfeld_exposures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    for row in rows:
        secrets = int(float(row["randomnessSpace"])) ** 2
        exposure = float(row["exposure"])
        rank = round(2 ** (math.log2(secrets) - exposure))
        assert exposure_bits([rank], secrets)[0] == pytest.approx(exposure, abs=1e-6)
