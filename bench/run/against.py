"""Before and after of two builds, in interleaved turns of both. See bench/README.md."""

import itertools
import os
import re
import tempfile

import gbench
from pairs import Pairs, rounds_needed
from stats import CYCLES, Rows
from tables import as_text

GROUPS = ("engine", "esp", "scale", "e2e", "chain")
DEFAULT = ("engine", "esp", "e2e")
ROUNDS = 16
NAMES = ("before", "after")
# The rows of the Google Benchmark programs; tables that take seconds to fill are left out.
_ROWS = {
    "engine": ("engine_bench", r"(?!openssl|ipsec_mb)[^/]+/(gcm128|gcm256)/(out|in)/(64|1400)/64/"),
    "esp": ("esp_bench", r"(transform|pipeline)/(software|offload)/(out|in)/(64|1400|imix)/"),
    "scale": ("scale_bench", r"(sas/(out|in)/(1|256|4096)|policies/(new|cached|lookup)/(10|1000))/"),
}


class Step:
    """Something that both builds run: `turn(which, rows)` adds a row or more to `rows`."""

    def __init__(self, name, turn):
        self.name = name
        self.turn = turn

    def pair(self, number, pairs):
        """One pair; which of the two comes first changes every round."""
        found = [Rows(), Rows()]
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            self.turn(which, found[which])
        pairs.add(*found)


def programs(groups, builds, cpu, min_time):
    """Steps of one row each, errors' owners, and notes."""
    found, owners, notes = [], [], []
    for group in (g for g in groups if g in _ROWS):
        program, pattern = _ROWS[group]
        both = [gbench.Program(build, program, cpu if group != "scale" else None) for build in builds]
        missing = [p.path for p in both if not p.there]
        if missing:
            notes.append(f"{group} was not measured: {', '.join(missing)} is not built")
            continue
        owners += both
        lists = [[name for name in p.list() if re.match(pattern, name)] for p in both]
        found += [_row(both, group, name, min_time) for name in lists[0] if name in lists[1]]
        other = set(lists[0]) ^ set(lists[1])
        if other:
            notes.append(f"{group}: {len(other)} rows of only one of the builds were not measured")
    return found, owners, notes


def _row(both, group, name, min_time):
    def turn(which, rows):
        own = Rows()
        both[which].run(own, group, f"^{re.escape(name)}$", min_time)
        for row in own:
            if row.unit == CYCLES:  # no counters
                rows.add(group, row.name, row.unit, row.best[-1])

    return Step(name, turn)


def run(args, cpu, progress):
    """Measures; prints; returns what --json stores."""
    builds = [os.path.abspath(args.against), os.path.abspath(args.build)]
    found, owners, notes = programs(args.groups, builds, cpu, 0.01 if args.quick else 0.02)
    pairs, errors = Pairs(), []
    with tempfile.TemporaryDirectory(prefix="cygnet-against-") as workdir:
        systems = None
        if {"e2e", "chain"} & set(args.groups):
            import against_e2e
            systems = against_e2e.Systems(args.groups, builds, workdir, args.quick, errors, progress)
            found += [Step(*step) for step in systems.steps()]
        try:
            for number, step in itertools.product(range(args.rounds), found):
                progress(f"round {number + 1} of {args.rounds}: {step.name}")
                step.pair(number, pairs)
        finally:
            if systems:
                systems.close()
    errors += sum((owner.errors for owner in owners), [])
    verdicts = pairs.verdicts()
    needed = rounds_needed(len(verdicts))
    if args.rounds < needed:
        notes.append(f"{len(verdicts)} rows need {needed} rounds before anything can be told apart")
    return {"builds": dict(zip(NAMES, builds)), "verdicts": verdicts, "notes": notes,
            "errors": sorted(set(errors))}


def _figure(value):
    return "-" if value is None else f"{value:.1f}"


def table(verdicts):
    return ("Before and after (ratio of times: more than 1 is slower)",
            ["row", "unit", "before", "after", "ratio", "interval", "verdict"],
            [[v.name, v.unit, _figure(v.before), _figure(v.after), f"{v.ratio:.3f}",
              "-" if v.low is None else f"{v.low:.3f} – {v.high:.3f}", v.word] for v in verdicts])


def status(run, limit):
    """Prints the end of the report. 1 if a row is slower beyond the limit, or could not be measured."""
    verdicts = run["verdicts"]
    counts = {word: sum(v.word == word for v in verdicts) for word in ("slower", "faster")}
    print(f"{len(verdicts)} rows: {counts['slower']} slower, {counts['faster']} faster, "
          f"{len(verdicts) - sum(counts.values())} not told apart")
    beyond = [] if limit is None else [v for v in verdicts if v.beyond(limit)]
    for verdict in beyond:
        print(f"slower by more than {100 * limit:g} %: {verdict.name}")
    if limit is not None and not verdicts:
        print("nothing was measured")
        return 1
    return 1 if beyond or run["errors"] else 0


def report(run, limit):
    for name in NAMES:
        print(f"{name}: {run['builds'][name]}")
    if run["verdicts"]:
        print("\n" + as_text(table(run["verdicts"])) + "\n")
    for note in run["notes"]:
        print(f"note: {note}")
    for error in run["errors"]:
        print(f"error: {error}")
    return status(run, limit)
