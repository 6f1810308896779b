"""Compares a run with a stored one of the same machine: the rows that moved by more than noise."""

from dataclasses import dataclass

# Two machines with the same values count as the same for timing; the kernel may differ.
_SAME = ("model", "family", "model_number", "stepping", "cpus", "flags")
_TSC_TOLERANCE = 0.01


@dataclass
class Change:
    name: str
    unit: str
    before: float
    after: float
    worse: bool
    ratio: float  # after / before

    def __str__(self):
        word = "worse" if self.worse else "better"
        return (f"{word:7} {self.ratio:6.2f}x  {self.before:10.1f} -> {self.after:10.1f} "
                f"{self.unit:14} {self.name}")


def difference(old, new):
    """The reason why two machines do not compare, or None."""
    for key in _SAME:
        if old.get(key) != new.get(key):
            return f"{key}: {old.get(key)!r} there, {new.get(key)!r} here"
    there, here = old.get("tsc_hz") or 0, new.get("tsc_hz") or 0
    if there and here and abs(there - here) > _TSC_TOLERANCE * here:
        return f"time-stamp counter: {there / 1e9:.3f} GHz there, {here / 1e9:.3f} GHz here"
    return None


def changes(old_rows, new_rows, threshold):
    """Rows in both runs whose figure moved by more than `threshold` and more than the spread of
    either run, the worst first."""
    found = []
    for new in new_rows:
        old = old_rows.get(new.name)
        if old is None or not old.best or not new.best or old.unit != new.unit:
            continue
        if old.figure <= 0 or new.figure <= 0:
            continue
        ratio = new.figure / old.figure
        size = max(ratio, 1 / ratio) - 1  # symmetric: half as fast counts as much as twice as fast
        if size <= max(threshold, old.spread, new.spread):
            continue
        worse = (ratio > 1) == new.less_is_better
        found.append(Change(new.name, new.unit, old.figure, new.figure, worse, ratio))
    return sorted(found, key=lambda c: (not c.worse, -max(c.ratio, 1 / c.ratio)))


def only_in(a, b):
    """Names of rows of `a` that `b` lacks."""
    return [row.name for row in a if b.get(row.name) is None]
