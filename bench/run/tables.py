"""Tables of a run, as text and as Markdown."""

import machine as machines
from stats import CYCLES

TITLES = {
    "engine": "(a) Raw engine: seal or open, bursts of 1 and 64, one SA",
    "esp": "(a)-(d) ESP: engine, transform, pipeline; `offload`: the device does the crypto",
    "peers": "(b), (d) librte_ipsec (DPDK), the same packets in memory",
    "scale": "(f) Many SAs, many policies, two workers",
    "e2e": "(e) End to end between two namespaces",
}


def _number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _row_cells(row, tsc_hz):
    cells = [row.name, _number(row.figure), _number(row.median), f"{100 * row.spread:.0f} %"]
    if row.unit == CYCLES:
        cells.insert(3, _number(row.figure / tsc_hz * 1e9) if tsc_hz else "-")
    else:
        cells.insert(3, row.unit)
    return cells


def group_table(rows, group, tsc_hz):
    """(heading, header cells, rows of cells)"""
    header = ["row", "figure", "median", "ns, or unit", "spread"]
    return TITLES[group], header, [_row_cells(row, tsc_hz) for row in rows.of(group)]


def _target_cells(answer):
    sign = "≥" if answer.at_least else "≤"
    met = {True: "met", False: "missed", None: "not measured"}[answer.met]
    rounds = "-" if answer.rounds is None else "–".join(f"{r:.2f}" for r in answer.rounds)
    figure = "-" if answer.figure is None else f"{answer.figure:.2f} {answer.unit}"
    return [answer.target, answer.case, figure, rounds, f"{sign} {answer.need:g} {answer.unit}",
            met]


def target_table(answers):
    header = ["target", "case", "figure", "single rounds", "needed", ""]
    return "Targets", header, [_target_cells(a) for a in answers]


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
        first = f"`{cells[0]}`" if ":" in cells[0] else cells[0]
        lines.append("| " + " | ".join([first, *cells[1:]]) + " |")
    return "\n".join(lines)


def all_tables(rows, answers, tsc_hz):
    tables = [target_table(answers)] if answers else []
    tables += [group_table(rows, group, tsc_hz) for group in TITLES if rows.of(group)]
    return tables


MARKDOWN_HEAD = """# Performance

Written by `tools/bench --markdown`; [bench/README.md](../bench/README.md) says what each row runs and how
to read it. **One run on one machine**; every figure here is from this CPU and says nothing of another:

- machine: {machine}; instruction sets: {flags}
- source: commit `{commit}`{changed}, {date}; {rounds} interleaved rounds
- load of the machine while it ran: {load}

Windows of microseconds: *figure* is the fastest round's 5th percentile, *median* the median of the rounds'
medians, in TSC cycles a packet. End to end: both are the median of the rounds. *Spread* is the range of the
middle half of the rounds, as a part of the figure. *Single rounds*: the same ratio, lowest and
highest round.
"""


def markdown(run):
    head = MARKDOWN_HEAD.format(
        machine=machines.title(run["machine"]), flags=", ".join(run["machine"]["flags"]),
        commit=run["source"]["commit"], date=run["source"]["date"], rounds=run["rounds"],
        changed=" with changes not committed" if run["source"]["changed"] else "",
        load=run["load"])
    notes = "".join(f"- {note}\n" for note in run["notes"])
    parts = [head] + ([f"Not complete:\n\n{notes}"] if notes else [])
    parts += [as_markdown(t) + "\n" for t in all_tables(run["rows"], run["answers"],
                                                        run["machine"]["tsc_hz"])]
    return "\n".join(parts)
