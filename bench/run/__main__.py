"""tools/bench: every measurement in interleaved rounds, tables, JSON, comparison. See bench/README.md."""

import argparse
import json
import os
import sys

import against
import callgrind
import compare
import machine
import steps
import tables
import targets
from stats import Row, Rows

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
FORMAT = 1


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/release"), help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, fewer rows")
    parser.add_argument("--only", action="append", choices=steps.GROUPS, metavar="GROUP",
                        help=f"a part: {', '.join(steps.GROUPS)} (may be repeated)")
    parser.add_argument("--rounds", type=int, help="rounds (12; end to end: a third of them)")
    parser.add_argument("--no-peers", action="store_true", help="measure only Cygnet")
    parser.add_argument("--json", metavar="FILE", help="write the run to FILE")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables to FILE, as in doc/performance.md")
    parser.add_argument("--compare", metavar="FILE",
                        help="compare with a stored run of this machine; status 1 if a row got worse")
    parser.add_argument("--load", metavar="FILE", help="do not measure; use a stored run")
    parser.add_argument("--threshold", type=float, default=0.1,
                        help="relative change that counts, besides the spread (0.1)")
    parser.add_argument("--against", metavar="BUILD",
                        help="measure this build and BUILD, another build directory, in turns: "
                        f"{', '.join(against.GROUPS)} (without --only: {', '.join(against.DEFAULT)})")
    parser.add_argument("--limit", type=_fraction, metavar="PERCENT",
                        help="with --against: status 1 if a row is slower by more")
    parser.add_argument("--instructions", action="store_true",
                        help="count the instructions of a packet by stage; with --against, of both builds")
    args = parser.parse_args(argv)
    if args.limit is not None and not args.against:
        parser.error("--limit needs --against")
    if args.against:
        _check_against(parser, args)
        args.rounds = args.rounds or (3 if args.quick else against.ROUNDS)
        args.groups = args.only or list(against.DEFAULT)
        return args
    args.rounds = args.rounds or (3 if args.quick else 12)
    args.groups = args.only or list(steps.GROUPS)
    return args


def _fraction(text):
    """"2%", "2" and "0.5 %" are percents."""
    value = float(text.rstrip("% ")) / 100
    if not 0 <= value < 10:
        raise ValueError
    return value


def _check_against(parser, args):
    other = [group for group in args.only or () if group not in against.GROUPS]
    if other:
        parser.error(f"--against does not measure {', '.join(other)}; it measures {', '.join(against.GROUPS)}")
    for option in ("markdown", "compare", "load"):
        if getattr(args, option):
            parser.error(f"--{option} does not go with --against")
    if not os.path.isdir(os.path.join(args.against, "bench")):
        parser.error(f"{args.against} is not a build directory of Cygnet with benchmarks: build there "
                     "what is to be measured (esp_bench engine_bench cygnetd cygnet cygnet_xfrm_shim)")


def measure(args):
    """A run: machine, source, rows, notes."""
    flags = machine.describe()["flags"]
    rows = Rows()
    bench = steps.Bench(args.build, str(os.cpu_count() - 1), args.quick,
                        args.rounds, flags, not args.no_peers)
    load_before = os.getloadavg()
    source = machine.source(ROOT)  # before the programs run
    try:
        plan = bench.steps(args.groups)
        for number in range(args.rounds):
            turn = number % len(plan) if plan else 0  # so that the first one changes
            for name, step in plan[turn:] + plan[:turn]:
                progress(f"round {number + 1} of {args.rounds}: {name}")
                step(rows)
    finally:
        bench.close()
    notes, errors = bench.notes, bench.errors()
    if "control" in args.groups:
        import control_steps  # needs namespaces, like end to end
        more_notes, more_errors = control_steps.run(args, rows, progress)
        notes, errors = notes + more_notes, errors + more_errors
    if "e2e" in args.groups:
        import e2e_steps  # needs namespaces; the other groups do not
        more_notes, more_errors = e2e_steps.run(args, rows, progress)
        notes, errors = notes + more_notes, errors + more_errors
    if "chain" in args.groups:
        import chain_steps
        more_notes, more_errors = chain_steps.run(args, rows, progress)
        notes, errors = notes + more_notes, errors + more_errors
    progress("")
    return {"format": FORMAT, "machine": machine.describe(bench.tsc_hz),
            "source": source, "rounds": args.rounds, "quick": args.quick,
            "load": f"{load_before[0]:.1f} at the start, {os.getloadavg()[0]:.1f} at the end",
            "notes": notes, "errors": sorted(set(errors)), "rows": rows}


def progress(text):
    """On a terminal one line that is rewritten, elsewhere (a log) one line each."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def store(run, path):
    data = {**run, "rows": [row.to_json() for row in run["rows"]],
            "answers": [a.to_json() for a in run["answers"]]}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(data, f, indent=1)
        f.write("\n")


def load(path):
    with open(path, encoding="utf-8") as f:
        run = json.load(f)
    if run.get("format") != FORMAT:
        raise SystemExit(f"{path}: not a run of this program (format {run.get('format')})")
    run["rows"] = Rows(Row.from_json(row) for row in run["rows"])
    return run


def report(run):
    print(machine.title(run["machine"]))
    print(f"commit {run['source']['commit']}{' (changed)' if run['source']['changed'] else ''}, "
          f"{run['source']['date']}, {run['rounds']} rounds, load {run['load']}\n")
    for table in tables.all_tables(run["rows"], run["answers"], run["machine"]["tsc_hz"]):
        print(tables.as_text(table), end="\n\n")
    for note in run["notes"]:
        print(f"note: {note}")
    for error in run["errors"]:
        print(f"error: {error}")


def compare_with(run, path, threshold):
    """Prints the rows that moved. Returns 0 if none got worse, 1 if one did, 2 if the runs do not compare."""
    old = load(path)
    why = compare.difference(old["machine"], run["machine"])
    if why:
        print(f"{path} is from another machine, so its figures do not compare with these.\n  {why}")
        return 2
    found = compare.changes(old["rows"], run["rows"], threshold)
    print(f"against {path} (commit {old['source']['commit']}, {old['source']['date']}):")
    for change in found:
        print(f"  {change}")
    worse = sum(change.worse for change in found)
    print(f"  {len(run['rows'])} rows, {worse} worse, {len(found) - worse} better, beyond "
          f"{100 * threshold:.0f} % and their spread")
    missing = compare.only_in(old["rows"], run["rows"])
    if missing:
        print(f"  {len(missing)} rows of the stored run were not measured now")
    return 1 if worse else 0


def count_instructions(builds, limit):
    """Prints a table for each row; what --json stores of them, and 1 if a build takes more than the limit
    allows, or cannot be counted."""
    stored, status = [], 0
    for title, program, pattern in callgrind.ROWS:
        progress(f"counting instructions: {title}")
        try:
            counted = [callgrind.count(build, program, pattern) for build in builds]
        except RuntimeError as error:
            progress("")
            print(f"error: {error}")
            status = 1
            continue
        progress("")
        print(tables.as_text(callgrind.table(title, counted)), end="\n\n")
        stored.append({"row": title, "stages": counted})
        totals = [callgrind.total(stages, callgrind.INSTRUCTIONS) for stages in counted]
        if limit is not None and totals[-1] > totals[0] * (1 + limit):
            print(f"more instructions, by more than {100 * limit:g} %: {title}")
            status = 1
    return stored, status


def before_and_after(args):
    """--against and --instructions: one build or both."""
    load_before = os.getloadavg()[0]
    if args.instructions:
        builds = [args.against, args.build] if args.against else [args.build]
        for name, build in zip(against.NAMES if args.against else ("build",), builds):
            print(f"{name}: {os.path.abspath(build)}")
        stored, status = count_instructions(builds, args.limit)
        result = {"instructions": stored}
    else:
        run = against.run(args, str(sorted(os.sched_getaffinity(0))[-1]), progress)
        progress("")
        print(machine.title(machine.describe()))
        status = against.report(run, args.limit)
        result = {**run, "verdicts": [verdict.to_json() for verdict in run["verdicts"]]}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"format": "against 1", "machine": machine.describe(), "rounds": args.rounds,
                       "load": [load_before, os.getloadavg()[0]], **result}, f, indent=1)
            f.write("\n")
    return status


def main(argv):
    args = arguments(argv)
    if args.instructions:
        return before_and_after(args)
    if not args.load and {"e2e", "chain"} & set(args.groups):
        import e2e_steps
        e2e_steps.become_able()
    if args.against:
        return before_and_after(args)
    run = load(args.load) if args.load else measure(args)
    run["answers"] = list(targets.check(run["rows"], run["machine"]))
    report(run)
    if args.json:
        store(run, args.json)
    if args.markdown:
        with open(args.markdown, "w", encoding="utf-8") as f:
            f.write(tables.markdown(run))
    status = compare_with(run, args.compare, args.threshold) if args.compare else 0
    return status or (1 if run["errors"] else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
