"""Tables of a run, as text and as Markdown."""

import re
import textwrap

import machine as machines
import opening
from stats import CYCLES, quantile, speedups

TITLES = {
    "engine": "(a) Raw engine",
    "esp": "(a) to (d) Engine, ESP alone, whole pipeline, stack alone",
    "peers": "(b), (d) librte_ipsec",
    "scale": "(f) Many SAs, many policies, two workers",
    "control": "(g) SAs and policies through the socket",
    "e2e": "(e) End to end",
    "chain": "(h) Two gateways between two hosts",
}
_SYSTEMS = ("control", "e2e", "chain")  # groups whose columns are systems, not sizes
_CELLS = "ns a packet: figure / median, ± spread"
# Pairs of systems whose ratios are shown: of what they are, and as which multiple.
_PAIRS = {"chain": (("cygnet-inside", "cygnet-tap"), ("cygnet-tap", "wireguard-go"),
                    ("cygnet-inside", "wireguard-go"), ("cygnet-tap", "kernel"),
                    ("cygnet-inside", "kernel"))}
_RATIO_ROWS = re.compile(r"/(rate|saturated|p50|cpu)$")
# How a name splits into row and column; names that do not match stay a list.
_SPLITS = {
    "engine": re.compile(r"engine_bench:(?P<a>\w+/[\w-]+/(?:out|in))/(?P<column>\w+)/(?P<b>\d+)"),
    "esp": re.compile(r"esp_bench:(?P<a>.+/(?:out|in))/(?P<column>\w+)(?P<b>)"),
    "peers": re.compile(r"librte_ipsec:(?P<a>.+/(?:out|in))/(?P<column>\w+)(?P<b>)"),
    "control": re.compile(r"control:(?P<a>.+)/(?P<column>[\w-]+)(?P<b>)"),
    "e2e": re.compile(r"e2e:(?P<a>.+)/(?P<column>[\w-]+)(?P<b>)"),
    "chain": re.compile(r"chain:(?P<a>.+)/(?P<column>[\w-]+)(?P<b>)"),
}


def _number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cell(row, tsc_hz):
    spread = f"±{100 * row.spread:.0f} %"
    if row.unit == CYCLES and tsc_hz:
        ns = 1e9 / tsc_hz
        return f"{_number(row.figure * ns)} / {_number(row.median * ns)} {spread}"
    return f"{_number(row.figure)} {spread}"


def _column_order(column):
    return (0, int(column), "") if column.isdigit() else (1, 0, column)


def matrix(rows, group, tsc_hz):
    """One line for each row name, one column for each size or system; and the rows that do not
    split."""
    cells, columns, rest = {}, [], []
    for row in rows.of(group):
        found = _SPLITS[group].fullmatch(row.name) if group in _SPLITS else None
        if not found:
            rest.append(row)
            continue
        line = found["a"] + (f", batch of {found['b']}" if found["b"] else "")
        line += f" ({row.unit})" if group in _SYSTEMS else ""
        cells.setdefault(line, {})[found["column"]] = _cell(row, tsc_hz)
        if found["column"] not in columns:
            columns.append(found["column"])
    if group not in _SYSTEMS:
        columns.sort(key=_column_order)
    head = "row" if group in _SYSTEMS else f"bytes ({_CELLS})"
    body = [[line, *(by.get(column, "-") for column in columns)] for line, by in cells.items()]
    return (TITLES[group], [head, *columns], body), rest


def ratio_table(rows, group):
    """Pairs of systems: how many times as fast the first is, by round."""
    body = []
    for first, second in _PAIRS.get(group, ()):
        for row in rows.of(group):
            stem, _, system = row.name.rpartition("/")
            if not _RATIO_ROWS.search(stem):
                continue
            other = rows.get(f"{stem}/{second}")
            ratios = speedups(row, other) if system == first and other else []
            if ratios:
                cells = [f"{quantile(ratios, q):.2f}" for q in (0.5, 0.05, 0.95)]
                body.append([f"{stem.partition(':')[2]}: {first} against {second}", *cells,
                             str(len(ratios))])
    return (TITLES[group] + ", ratios of single rounds (more than 1: the first is better)",
            ["row", "median", "5th percentile", "95th percentile", "rounds"], body)


def _natural(row):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", row.name)]


def _list(title, rows, tsc_hz):
    return (title, ["row", _CELLS + ", or counter"],
            [[row.name, _cell(row, tsc_hz)] for row in sorted(rows, key=_natural)])


def group_tables(rows, group, tsc_hz):
    table, rest = matrix(rows, group, tsc_hz)
    found = [table] if table[2] else []
    if rest:
        title = TITLES[group] if not found else TITLES[group] + ", counters"
        found.append(_list(title, rest, tsc_hz))
    return found


def _target_cells(answer):
    sign = "≥" if answer.at_least else "≤"
    met = {True: "met", False: "missed", None: "not measured"}[answer.met]
    rounds = "-" if answer.rounds is None else "–".join(f"{r:.2f}" for r in answer.rounds)
    figure = "-" if answer.figure is None else f"{answer.figure:.2f} {answer.unit}"
    return [answer.target, answer.case, figure, rounds, f"{sign} {answer.need:g} {answer.unit}",
            met]


def target_table(answers, title="Targets"):
    header = ["target", "case", "figure", "single rounds", "needed", ""]
    return title, header, [_target_cells(a) for a in answers]


def as_text(table):
    title, header, body = table
    lines = [title]
    widths = [max(len(r[i]) for r in [header, *body]) for i in range(len(header))]
    for cells in [header, *body]:
        lines.append("  " + "  ".join(
            c.ljust(w) if i == 0 or not c.strip("-")[:1].isdigit() else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths))).rstrip())
    return "\n".join(lines)


def as_markdown(table):
    title, header, body = table
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |",
             "|---" + "|--:" * (len(header) - 1) + "|"]
    for cells in body:
        first = f"`{cells[0]}`" if "/" in cells[0] else cells[0]
        lines.append("| " + " | ".join([first, *cells[1:]]) + " |")
    return "\n".join(lines)


def all_tables(rows, answers, tsc_hz):
    tables = [target_table(answers)] if answers else []
    for group in TITLES:
        tables += group_tables(rows, group, tsc_hz)
        ratios = ratio_table(rows, group)
        tables += [ratios] if ratios[2] else []
    return tables


MARKDOWN_HEAD = """# Performance

{opening}

Written by `tools/bench --markdown`; [bench/README.md](../bench/README.md) explains what each row runs and how to read it. **One run on one machine**; every figure is from this CPU and does not apply to another:

- machine: {machine}; instruction sets: {flags}
- source: commit `{commit}`{changed}, {date}; {rounds} interleaved rounds
- load of the machine: {load}{busy}

Windows of microseconds: *figure* is the fastest round's 5th percentile, *median* the median of the rounds' medians. End to end: both are the median of the rounds. *Spread* is the range of the middle half of the rounds, as a fraction of the figure. *Single rounds*: the same ratio, lowest and highest round.
"""


def _busy(run):
    """A high load at the start comes from others or from the build; the load at the end includes the run."""
    if float(run["load"].split()[0]) <= run["machine"]["cpus"]:
        return ""
    return (". The load at the start is high: others used the machine, or the build had just ended. If it was others, "
            "rows that need both CPUs (end to end, two workers) are lower and spread wider than on an idle machine")


def _wrapped(text):
    """Each line at most 100 columns, as Markdown is written here. A list item's rest is indented."""
    lines = []
    for line in text.split("\n"):
        indent = "  " if line.startswith("- ") else ""
        lines += textwrap.wrap(line, 100, subsequent_indent=indent, break_long_words=False,
                               break_on_hyphens=False) or [""]
    return "\n".join(lines)


def markdown(run):
    head = _wrapped(MARKDOWN_HEAD.format(
        opening="\n".join(opening.sentences(run)),
        machine=machines.title(run["machine"]), flags=", ".join(run["machine"]["flags"]),
        commit=run["source"]["commit"], date=run["source"]["date"], rounds=run["rounds"],
        changed="  with uncommitted changes" if run["source"]["changed"] else "",
        load=run["load"], busy=_busy(run)))
    notes = "".join(f"- {note}\n" for note in run["notes"])
    parts = [head] + ([f"Not complete:\n\n{notes}"] if notes else [])
    tables = all_tables(run["rows"], [], run["machine"]["tsc_hz"])
    for title, wanted in (("Targets that are met", (True,)), ("Targets that are missed", (False, None))):
        answers = [a for a in run["answers"] if a.met in wanted]
        tables += [target_table(answers, title)] if answers else []
    parts += [as_markdown(t) + "\n" for t in tables]
    return "\n".join(parts)
