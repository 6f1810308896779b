"""Rows of a run with their statistics: figure, median, spread, ratio.
A row has one entry per round. For timed windows an entry is the 5th percentile (the machine at its
best) and the median (with the load of neighbours). For a throughput or a latency both are the same.
"""

import statistics
from dataclasses import asdict, dataclass, field

CYCLES = "cycles/packet"


@dataclass
class Row:
    group: str
    name: str
    unit: str
    less_is_better: bool = True
    best: list = field(default_factory=list)
    typical: list = field(default_factory=list)

    def add(self, best, typical=None):
        self.best.append(best)
        self.typical.append(best if typical is None else typical)

    @property
    def figure(self):
        """The value that represents the row. Windows of some µs: the fastest round's 5th percentile,
        because neighbours slow the others. Seconds of a whole system: the median of the rounds."""
        return min(self.best) if self.unit == CYCLES else statistics.median(self.best)

    @property
    def median(self):
        return statistics.median(self.typical)

    @property
    def spread(self):
        """Range of the rounds' middle half, as a fraction of the figure."""
        if self.figure == 0:
            return 0.0
        if len(self.best) < 4:
            return (max(self.best) - min(self.best)) / self.figure
        low, _, high = statistics.quantiles(self.best, n=4)
        return (high - low) / self.figure

    def to_json(self):
        return {**asdict(self), "figure": self.figure, "median": self.median, "spread": self.spread}

    @staticmethod
    def from_json(data):
        return Row(**{key: data[key] for key in
                      ("group", "name", "unit", "less_is_better", "best", "typical")})


class Rows:
    """The rows of one run, in the order in which they came."""

    def __init__(self, rows=()):
        self._rows = {row.name: row for row in rows}

    def add(self, group, name, unit, best, typical=None, less_is_better=True):
        row = self._rows.setdefault(name, Row(group, name, unit, less_is_better))
        row.add(best, typical)

    def __iter__(self):
        return iter(self._rows.values())

    def __len__(self):
        return len(self._rows)

    def get(self, name):
        return self._rows.get(name)

    def figure(self, name):
        row = self._rows.get(name)
        return None if row is None else row.figure

    def of(self, group):
        return [row for row in self if row.group == group]


def speedup(ours, theirs):
    """How many times faster `ours` is; None if one was not measured."""
    if ours is None or theirs is None or not ours.best or not theirs.best:
        return None
    if ours.less_is_better:
        return theirs.figure / ours.figure if ours.figure else None
    return ours.figure / theirs.figure if theirs.figure else None


def speedups(ours, theirs):
    """The speed-up of each round, measured side by side."""
    return [(b / a if ours.less_is_better else a / b)
            for a, b in zip(ours.best, theirs.best) if a and b]


def speedup_by_round(ours, theirs):
    """Lowest and highest speed-up of single rounds."""
    ratios = speedups(ours, theirs)
    return (min(ratios), max(ratios)) if ratios else None


def quantile(values, q):
    """The value below which the fraction `q` lies, between neighbours in proportion."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])
