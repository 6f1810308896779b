"""Before and after of one row, measured in pairs: one directly after the other, so that a slow minute
of the machine meets both. Nothing is assumed about the noise but that it prefers neither of the two.

The ratio of a row is the median of its pairs' ratios. Its interval runs between two of the ratios in
order, chosen by the sign test: if the true ratio were outside, so many pairs would not lie on one side.
"""

import math
from dataclasses import asdict, dataclass
from typing import Optional

from stats import quantile

# Chance that a run of unchanged code calls any of its rows faster or slower; the rows share it.
DOUBT = 0.05


@dataclass
class Verdict:
    name: str
    unit: str
    before: float  # medians
    after: float
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
        doubt = DOUBT / max(1, len(self._rows))
        return [_verdict(name, *entry, doubt) for name, entry in self._rows.items()]


def _verdict(name, unit, less_is_better, values, doubt):
    times = sorted(after / before if less_is_better else before / after for before, after in values)
    rank = _rank(len(times), doubt)
    low, high = (times[rank], times[-1 - rank]) if rank is not None else (None, None)
    before, after = (quantile([pair[i] for pair in values], 0.5) for i in (0, 1))
    return Verdict(name, unit, before, after, quantile(times, 0.5), low, high, len(times))


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
