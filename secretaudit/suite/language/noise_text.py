"""Text without anything to learn, made of text that has it: the noise of language models.

Predicting the next unit is classification, so both kinds of noise of Arpit et al. 2017 have a counterpart (which one, is ours to say: the paper
has classifiers only). Let p(u) be how often unit u, a character or a word, stands in the lines.

``tokens``    every unit is drawn anew, independently, from p. The counterpart of random inputs. The text has a known entropy,
              H(p) = −Σ p(u) log2 p(u) bits a unit, and nothing that predicts the next unit better than p does holds for any other text: what a model
              takes off those bits on lines that it trained on, it has memorized.
``shuffled``  the units of each line in a new order. The counterpart of shuffled targets: every line keeps its own units, and what follows what
              is chance. A model may still learn from a line's units which of them are left.

Lines keep their number of units. With ``fraction`` < 1 only so many of the lines, chosen at random, are noise. A word is what stands between
white space; the white space stays where it is, and tokens of words are drawn for the words alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from secretaudit._checks import fraction as check_fraction
from secretaudit._checks import one_of
from secretaudit.errors import CorpusError

__all__ = ["KINDS", "UNITS", "noisy_lines", "unigram_bits", "unit_entropy_bits"]

KINDS = ("tokens", "shuffled")
UNITS = ("character", "word")
_WORD = re.compile(r"\S+")


def noisy_lines(
    lines: Sequence[str], kind: str, unit: str, fraction: float, rng: np.random.Generator
) -> tuple[str, ...]:
    """Lines of which a share is noise; the others, and the order of all, stay.

    Args:
        lines: The text.
        kind: "tokens" or "shuffled".
        unit: "character" or "word".
        fraction: Share of the lines that become noise, in [0, 1], rounded to a number of lines.
        rng: Of everything that is drawn.

    Returns:
        As many lines, each with as many units.

    Raises:
        UsageError: An unknown kind or unit, or a share out of its range.
        CorpusError: The lines have no unit.

    >>> noisy_lines(["ab", "ba"], "shuffled", "character", 0.0, np.random.default_rng(0))
    ('ab', 'ba')
    >>> sorted(noisy_lines(["one two"], "shuffled", "word", 1.0, np.random.default_rng(0))[0].split())
    ['one', 'two']
    """
    one_of("kind", kind, KINDS)
    one_of("unit", unit, UNITS)
    if fraction != 0:
        check_fraction("fraction", fraction)
    units = [_units(line, unit) for line in lines]
    counts = _counted(units)
    chosen = rng.permutation(len(lines))[: round(fraction * len(lines))]
    known = sorted(counts)
    weights = np.array([counts[u] for u in known], dtype=float)
    made = list(lines)
    for place in sorted(chosen.tolist()):
        own = units[place]
        if kind == "shuffled":
            new = [own[i] for i in rng.permutation(len(own))]
        else:
            new = [known[i] for i in rng.choice(len(known), len(own), p=weights / weights.sum())]
        made[place] = _put(lines[place], new, unit)
    return tuple(made)


def unit_entropy_bits(lines: Sequence[str], unit: str) -> float:
    """H(p) of the lines' own units, in bits a unit: what each unit of "tokens" text costs whoever knows p and nothing else.

    Raises:
        UsageError: An unknown unit.
        CorpusError: The lines have no unit.

    >>> unit_entropy_bits(["abab"], "character")
    1.0
    """
    one_of("unit", unit, UNITS)
    counts = _counted([_units(line, unit) for line in lines])
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values())


def unigram_bits(lines: Sequence[str], of: Sequence[str], unit: str) -> list[float]:
    """−Σ log2 p(u) over the units of each line: what it costs whoever knows how often units stand in other lines, and nothing else.

    Args:
        lines: What is priced.
        of: The lines that p is counted in; every unit of ``lines`` must stand there.
        unit: "character" or "word".

    Raises:
        UsageError: An unknown unit.
        CorpusError: No units, or one that ``of`` lacks.

    >>> unigram_bits(["aab"], ["ab"], "character")
    [3.0]
    """
    one_of("unit", unit, UNITS)
    counts = _counted([_units(line, unit) for line in of])
    total = sum(counts.values())
    bits = {u: math.log2(total / n) for u, n in counts.items()}
    try:
        return [math.fsum(bits[u] for u in _units(line, unit)) for line in lines]
    except KeyError:
        raise CorpusError(
            "A line has a character or a word that does not stand in the text it is priced by.",
            "It would cost infinitely many bits.",
            "Price lines by a text that has all of their units.",
        ) from None


def _units(line: str, unit: str) -> list[str]:
    return list(line) if unit == "character" else _WORD.findall(line)


def _counted(units: Sequence[Sequence[str]]) -> Counter[str]:
    counts = Counter(u for own in units for u in own)
    if not counts:
        raise CorpusError(
            "The text has nothing to make noise of.",
            "None of its lines has a character or a word.",
            "Give a text with words in it.",
        )
    return counts


def _put(line: str, new: Sequence[str], unit: str) -> str:
    """The line with these units in the places of its own."""
    if unit == "character":
        return "".join(new)
    following = iter(new)
    return _WORD.sub(lambda _: next(following), line)
