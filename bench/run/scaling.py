#!/usr/bin/env python3
"""How one SA scales over many workers: an event simulation of what workers share.

    bench/run/scaling.py                      # the tables of doc/scaling.md
    bench/run/scaling.py --hand-over 600      # cores that are far from each other

A worker processes runs: packets of one SA in one batch. Per run it does private work and visits
shared places. A place is a cache line, or a section under a lock: one worker at a time. A worker that
was not the last one to visit waits until the line has come to its core. Times are TSC cycles. The
defaults were measured with `scale_bench --benchmark_filter=workers/` (see doc/scaling.md).
"""

import argparse
import heapq
import random
from dataclasses import dataclass

WORKERS = (1, 2, 4, 8, 16)
RUNS = (64, 16, 4, 1)  # packets of the SA in a batch
_LOCAL = 20            # a visit of a line that is already here: one locked instruction


@dataclass
class Machine:
    hand_over: float = 159   # a cache line that changes its core
    jitter: float = 0.1      # private work varies by so much, evenly


@dataclass
class Packet:
    """Cycles of a packet."""

    before: float = 80   # parse, policy, SA, before the first shared place
    crypto: float = 190  # ESP and cryptography
    check: float = 3     # inbound, under the window's lock
    commit: float = 6    # inbound, under the window's lock
    send: float = 10     # outbound, in the order of the numbers


class Line:
    """A place that one worker visits at a time."""

    def __init__(self, machine):
        self.machine = machine
        self.free_at = 0.0
        self.owner = None

    def visit(self, worker, now, inside=0.0):
        """The time at which the worker has left."""
        begin = max(now, self.free_at)
        cost = _LOCAL if self.owner == worker else self.machine.hand_over
        self.free_at = begin + cost + inside
        self.owner = worker
        return self.free_at


def simulate_out(machine, packet, workers, run, runs, rng):
    """Packets a cycle. Numbers are reserved in order of time, and runs leave in that order."""
    numbers, lifetime, departed = (Line(machine) for _ in range(3))
    reserve, leave_at = [(rng.random() * run, w) for w in range(workers)], 0.0
    heapq.heapify(reserve)
    end = 0.0
    for _ in range(runs):
        now, worker = heapq.heappop(reserve)
        now = numbers.visit(worker, now)
        now = lifetime.visit(worker, now)
        now += _work(machine, rng) * packet.crypto * run
        # It waits for its turn, sends, and tells the next one.
        leave_at = departed.visit(worker, max(now, leave_at), packet.send * run)
        end = max(end, leave_at)
        heapq.heappush(reserve, (leave_at + _work(machine, rng) * packet.before * run, worker))
    return runs * run / end


def simulate_in(machine, packet, workers, run, runs, rng):
    """Packets a cycle: check the window, open, commit to the window, charge the lifetime."""
    window, lifetime = Line(machine), Line(machine)
    events = [(rng.random() * run, w, "check") for w in range(workers)]
    heapq.heapify(events)
    done, end = 0, 0.0
    while done < runs:
        now, worker, step = heapq.heappop(events)
        if step == "check":
            now = window.visit(worker, now, packet.check * run)
            heapq.heappush(events, (now + _work(machine, rng) * packet.crypto * run, worker, "commit"))
            continue
        now = window.visit(worker, now, packet.commit * run)
        now = lifetime.visit(worker, now)
        done, end = done + 1, max(end, now)
        heapq.heappush(events, (now + _work(machine, rng) * packet.before * run, worker, "check"))
    return runs * run / end


def _work(machine, rng):
    return 1 + machine.jitter * (2 * rng.random() - 1)


def table(simulate, machine, packet, runs=4000):
    """{packets a run: {workers: times one worker}}"""
    rows = {}
    for run in RUNS:
        one = simulate(machine, packet, 1, run, runs, random.Random(1))
        rows[run] = {n: simulate(machine, packet, n, run, runs, random.Random(n)) / one
                     for n in WORKERS}
    return rows


def text(title, rows):
    head = " | ".join(str(n) for n in WORKERS)
    lines = [f"| {title}: packets a run, workers | {head} |", "|---|" + "--:|" * len(WORKERS)]
    for run, row in rows.items():
        lines.append(f"| {run} | " + " | ".join(f"{row[n]:.2f}" for n in WORKERS) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    machine, packet = Machine(), Packet()
    for part in (machine, packet):
        for name, value in vars(part).items():
            parser.add_argument("--" + name.replace("_", "-"), type=float, default=value)
    args = vars(parser.parse_args())
    machine = Machine(**{name: args[name] for name in vars(machine)})
    packet = Packet(**{name: args[name] for name in vars(packet)})
    print(text("outbound", table(simulate_out, machine, packet)))
    print()
    print(text("inbound", table(simulate_in, machine, packet)))


if __name__ == "__main__":
    main()
