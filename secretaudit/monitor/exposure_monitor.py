"""A watcher that measures the exposure of the ledger's canaries while a model trains.

Looks are due every ``every`` steps, or at the end of every epoch, and once more when the training ends. Each costs model time, so one that
would bring the time spent looking above ``share`` of the time spent training is left out, and counted; the first and the last look are
always taken. Which looks are left out depends on the clock, and nothing else does: the draws of a look are seeded by (seed, step), so a look at
the same weights gives the same numbers. With ``stop_over`` no look is left out, since the training would then depend on the clock as well.

What is seen, per look, as one JSON object without any secret:

    exposures            per canary: id, format, insertions, exposure_bits with low_bits and high_bits (95 %), cost_bits, method
    largest_bits         the largest exposure among canaries that were inserted
    control_mean_bits    the mean among controls; 1/ln 2 ≈ 1.44 when nothing is memorized
    seconds, skipped     what the look took, and how many due ones were left out since the last

(Carlini et al., The Secret Sharer, sections 4 and 5: memorization as training goes on.)
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from secretaudit import _checks
from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.errors import UsageError
from secretaudit.exposure.importance import LEAST_PER_ROUND, TEMPERATURES
from secretaudit.models.language_model import LanguageModel
from secretaudit.monitor.watched_format import Standing, WatchedFormat
from secretaudit.training.watching import Moment, Sight
from secretaudit.tree.scored_space import SecretScorer

#: Secrets drawn per format and look when nothing else is asked for.
DRAWS = 1536
#: Most of the training time that looks may take when nothing else is asked for.
SHARE = 0.1
#: An epoch's end is met to within this fraction of an epoch.
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """When to look, and how closely.

    Attributes:
        every: Steps between looks; ``None``: the end of every epoch.
        draws: Secrets drawn per format and look, at least 300; the default leaves intervals of some tenths of a bit to either side.
        share: Most of the training time that looks may take; ``None``: any.
        formats: Names of the formats to watch; ``None``: all of the ledger.
        stop_over: Bits; when an inserted canary's exposure is above with 97.5 % confidence, the training stops. ``None`` never stops.
        seed: Of the draws, with the step.

    Raises:
        UsageError: A value out of its range.
    """

    every: int | None = None
    draws: int = DRAWS
    share: float | None = SHARE
    formats: tuple[str, ...] | None = None
    stop_over: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every is not None:
            _checks.at_least("every", self.every, 1)
        _checks.at_least("draws", self.draws, LEAST_PER_ROUND * len(TEMPERATURES))
        if self.share is not None:
            _checks.positive("share", self.share)
        if self.stop_over is not None:
            _checks.at_least("stop_over", self.stop_over, 0)
        _checks.at_least("seed", self.seed, 0)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What is remembered of a look, to know when the next is due: where it was, and what it took."""

    step: int
    epoch: float
    seconds: float


class ExposureMonitor:
    """Measures exposure while a model trains; a ``Watcher``.

    Args:
        every: Steps between looks; ``None``: the end of every epoch.
        draws: Secrets drawn per format and look.
        share: Most of the training time that looks may take; ``None``: any.
        formats: Names of the formats to watch; ``None``: all of the ledger.
        stop_over: Bits of exposure over which the training stops; ``None`` never stops.
        seed: Of the draws, with the step.

    Raises:
        UsageError: A value out of its range.

    >>> ExposureMonitor(every=200).asked()["share"]
    0.1
    """

    def __init__(
        self,
        *,
        every: int | None = None,
        draws: int = DRAWS,
        share: float | None = SHARE,
        formats: Sequence[str] | None = None,
        stop_over: float | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = MonitorSettings(
            every=every,
            draws=draws,
            share=share,
            formats=None if formats is None else tuple(formats),
            stop_over=stop_over,
            seed=seed,
        )
        self._watched: list[WatchedFormat] = []
        self._language_model: Callable[[], LanguageModel | SecretScorer] | None = None
        self._last: _Look | None = None

    def begin(
        self,
        ledger: Ledger | None,
        language_model: Callable[[], LanguageModel | SecretScorer],
        earlier: list[dict[str, Any]],
    ) -> None:
        """Make the formats ready; see ``Watcher.begin``.

        Raises:
            UsageError: There is no ledger, no canary, or no format of a name that was asked for.
            ModelError: The model cannot be measured: the same refusals as those of ``secretaudit.expose``.
        """
        canaries = _watched_canaries(ledger, self.settings)
        self._language_model = language_model
        model = language_model()
        self._watched = [
            WatchedFormat.made_for(form, canaries[name], model)
            for name, form in (ledger.formats.items() if ledger else ())
            if name in canaries
        ]
        self._last = None
        if earlier:
            last = earlier[-1]
            self._last = _Look(step=last["step"], epoch=last["epoch"], seconds=last["seconds"])

    def wants(self, moment: Moment) -> bool:
        """Whether to look: a look is due, and there is time for it."""
        if not (self._is_due(moment) or moment.ends_training):
            return False
        settings = self.settings
        always = moment.ends_training or self._last is None or settings.stop_over is not None
        if always or settings.share is None:
            return True
        expected = moment.watching_seconds + (self._last.seconds if self._last else 0.0)
        return expected <= settings.share * moment.training_seconds

    def look(self, moment: Moment) -> Sight:
        """Measure every canary that is watched.

        Raises:
            ModelError: The model gives no usable probabilities.
            CouldNotMeasure: Two ways of pricing a canary disagree.
        """
        if self._language_model is None:
            raise ValueError("begin() must be called before look()")
        started = time.perf_counter()
        model = self._language_model()
        standings = [
            standing
            for watched in self._watched
            for standing in watched.measure(model, self.settings.draws, self._rng(watched, moment))
        ]
        seconds = time.perf_counter() - started
        entry = _entry(standings, seconds, self._skipped(moment))
        self._last = _Look(step=moment.step, epoch=moment.epoch, seconds=seconds)
        figures = {"exposure_bits": entry["largest_bits"]}
        return Sight(entry=entry, figures=figures, stop=self._stop(standings))

    def asked(self) -> dict[str, Any]:
        """The settings, as plain JSON."""
        given = asdict(self.settings)
        return given | {"formats": given["formats"] and list(given["formats"])}

    def _is_due(self, moment: Moment) -> bool:
        every = self.settings.every
        return moment.ends_epoch if every is None else moment.step % every == 0

    def _skipped(self, moment: Moment) -> int:
        """Looks that were due after the last one and before this, and not taken."""
        every, last = self.settings.every, self._last
        if every is None:
            before = 0 if last is None else math.floor(last.epoch + _ROUNDING)
            until = math.ceil(moment.epoch - _ROUNDING) - 1
        else:
            before = 0 if last is None else last.step // every
            until = (moment.step - 1) // every
        return max(0, until - before)

    def _rng(self, watched: WatchedFormat, moment: Moment) -> np.random.Generator:
        """The draws of a format at a step, the same whatever came before."""
        name = zlib.crc32(watched.form.name.encode())
        return np.random.default_rng([self.settings.seed, moment.step, name])

    def _stop(self, standings: list[Standing]) -> str:
        limit = self.settings.stop_over
        inserted = [s for s in standings if not s.canary.is_control]
        over = limit is not None and any(_bits(s)[1] > limit for s in inserted)
        return "exposure" if over else ""


def _watched_canaries(
    ledger: Ledger | None, settings: MonitorSettings
) -> dict[str, tuple[Canary, ...]]:
    """The canaries to watch, by format.

    Raises:
        UsageError: There are none, or none that could ever stop the training that is to stop.
    """
    if ledger is None:
        raise UsageError(
            "There is nothing to watch: the corpus has no ledger of canaries.",
            "Exposure is measured of canaries, and a ledger says which there are.",
            "Insert canaries first: secretaudit insert CORPUS -o DIRECTORY --format FORMAT.",
        )
    for name in settings.formats or ():
        _checks.one_of("format", name, ledger.formats)
    found: dict[str, tuple[Canary, ...]] = {}
    for name in ledger.formats:
        canaries = tuple(c for c in ledger.canaries if c.format == name)
        if canaries and (settings.formats is None or name in settings.formats):
            found[name] = canaries
    every_canary = [canary for canaries in found.values() for canary in canaries]
    if not every_canary:
        raise UsageError(
            "There is nothing to watch: the ledger has no canary.",
            "None was drawn for the formats that are to be watched.",
            "Name other formats, or insert canaries.",
        )
    if settings.stop_over is not None and all(canary.is_control for canary in every_canary):
        raise UsageError(
            "The training could never stop for exposure.",
            "None of the canaries that are watched was inserted, and controls stop nothing.",
            "Leave stop_over out, or watch a format whose canaries were inserted.",
        )
    return found


def _entry(standings: list[Standing], seconds: float, skipped: int) -> dict[str, Any]:
    """What one look leaves in the record."""
    inserted = [_largest(s) for s in standings if not s.canary.is_control]
    controls = [_bits(s)[0] for s in standings if s.canary.is_control]
    known = [bits for bits in controls if bits is not None]
    return {
        "exposures": [_row(standing) for standing in standings],
        "largest_bits": max(inserted, default=None),
        "control_mean_bits": float(np.mean(known)) if known else None,
        "seconds": round(seconds, 4),
        "skipped": skipped,
    }


def _row(standing: Standing) -> dict[str, Any]:
    exposure, low, high = _bits(standing)
    return {
        "id": standing.canary.id,
        "format": standing.canary.format,
        "insertions": standing.canary.insertions,
        "exposure_bits": exposure,
        "low_bits": low,
        "high_bits": high,
        "cost_bits": standing.cost_bits,
        "method": standing.estimate.method,
    }


def _bits(standing: Standing) -> tuple[float | None, float, float]:
    """(exposure, lower end, upper end) in bits; no exposure where only an interval is known."""
    found = standing.estimate.to_dict()
    return found["exposure_bits"], found["exposure_low_bits"], found["exposure_high_bits"]


def _largest(standing: Standing) -> float:
    """The exposure, or what it is at least."""
    exposure, low, _ = _bits(standing)
    return low if exposure is None else exposure
