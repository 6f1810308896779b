"""Before and after of one row, measured in pairs: one directly after the other, so that a slow minute
of the machine meets both. Nothing is assumed about the noise but that it prefers neither of the two.

The ratio of a row is the median of its pairs' ratios. Its interval runs between two of the ratios in
order, chosen by the sign test: if the true ratio were outside, so many pairs would not lie on one side.
"""

import math
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Optional

from stats import CYCLES, quantile

# Chance that a run of unchanged code calls any of its rows faster or slower; the rows share it.
DOUBT = 0.05
_FAMILY = 4  # the fewest rows that are judged together


@dataclass
class Verdict:
    name: str
    unit: str
    before: Optional[float]  # medians; None: of several rows
    after: Optional[float]
    ratio: float   # of the times, after to before: more than 1 is slower
    low: Optional[float]  # None: too few pairs for an interval
    high: Optional[float]
    pairs: int

    @property
    def word(self):
        if self.low is None:
            return "too few rounds"
        if self.low > 1:
            return "slower"
        return "faster" if self.high < 1 else "not told apart"

    def beyond(self, limit):
        """True if it is slower for certain, and by more than `limit` as far as is known."""
        return self.word == "slower" and self.ratio > 1 + limit

    def to_json(self):
        return {**asdict(self), "word": self.word}


class Pairs:
    """Pairs of all rows, in the order in which the rows came."""

    def __init__(self):
        self._rows = {}  # name → (unit, less is better, [(before, after)])

    def add(self, before, after):
        """Two rows of the same name, each with the entry of this pair as its last. A pair without one of
        them counts for nothing."""
        for row in before:
            other = after.get(row.name)
            if other is None or row.best[-1] <= 0 or other.best[-1] <= 0:
                continue
            entry = self._rows.setdefault(row.name, (row.unit, row.less_is_better, []))
            entry[2].append((row.best[-1], other.best[-1]))

    def verdicts(self):
        """Of all rows, then of families: rows whose names begin alike."""
        families = self._families()
        doubt = DOUBT / max(1, len(self._rows) + len(families))
        found = [_verdict(name, unit, values, _times(less, values), doubt)
                 for name, (unit, less, values) in self._rows.items()]
        return found + [_verdict(name, "rows together", [], times, doubt)
                        for name, times in families.items()]

    def _families(self):
        """Name → the middle one of its rows' ratios, by round. The noise of single rows cancels out."""
        members = defaultdict(list)
        for name, (unit, less, values) in self._rows.items():
            if unit != CYCLES:  # a rate and a latency have nothing in common
                continue
            members[name.partition("/")[0]].append(_times(less, values))
        return {f"{name}/…": [_middle(ratios) for ratios in zip(*rows)]
                for name, rows in members.items()
                if len(rows) >= _FAMILY and len({len(times) for times in rows}) == 1}


def _times(less_is_better, values):
    return [after / before if less_is_better else before / after for before, after in values]


def _middle(ratios):
    """The median; between two, the mean of their logarithms, so that the inverse ratios have the inverse."""
    return math.exp(statistics.median(math.log(ratio) for ratio in ratios))


def _verdict(name, unit, values, times, doubt):
    times = sorted(times)
    rank = _rank(len(times), doubt)
    low, high = (times[rank], times[-1 - rank]) if rank is not None else (None, None)
    before, after = (quantile([pair[i] for pair in values], 0.5) if values else None for i in (0, 1))
    return Verdict(name, unit, before, after, _middle(times), low, high, len(times))


def _rank(count, doubt):
    """How many of `count` values to leave out at each end, so that the median lies between the rest but
    for a chance of `doubt`. None if all of them are too few."""
    tail, found = 0.0, None
    for left_out in range(count // 2):
        tail += math.comb(count, left_out) / 2 ** count
        if 2 * tail > doubt:
            break
        found = left_out
    return found


def rounds_needed(rows):
    """The fewest rounds that tell anything apart in a run of so many rows."""
    return 1 + math.ceil(math.log2(max(1, rows) / DOUBT))
