"""The end-to-end part of a run: all systems are set up at once and take short turns, one at a time."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(_HERE, "..", "e2e"),
                os.path.join(_HERE, "..", "..", "test", "interop")]

import systems  # noqa: E402
import traffic  # noqa: E402
from labkit import Cygnet, LabError, reexec_in_user_namespace  # noqa: E402

WIRE_DRIVERS = ("af_packet", "af_xdp")


def become_able():
    """Restarts an ordinary user's run in its own user namespace."""
    try:
        reexec_in_user_namespace()
    except LabError as error:
        raise SystemExit(f"end to end cannot be measured here: {error}\n"
                         "the other groups can: --only engine --only esp --only scale") from None


def available(build, workdir, peers, variants=True):
    """Systems that can run here, and notes on those that cannot."""
    found, notes = [], []
    try:
        cygnet = Cygnet(build)
        found += [systems.Cygnet(workdir, cygnet), systems.CygnetClear(workdir, cygnet)]
        if variants:
            found += [systems.CygnetPort(workdir, cygnet, driver) for driver in WIRE_DRIVERS]
    except LabError as error:
        notes.append(f"Cygnet was not measured end to end: {error}")
    found += [systems.Forwarder(workdir, build), systems.Veth(workdir)]
    for peer in (systems.WireguardGo, systems.KernelLibipsec) if peers else ():
        missing = systems.missing(peer)
        if missing:
            notes.append(f"{peer.name} was not measured: no {', '.join(missing)}")
        else:
            found.append(peer(workdir))
    return found, notes


class EndToEnd:
    def __init__(self, build, quick):
        self.generator = traffic.Generator(build)
        self.sizes = ("64", "1420") if quick else traffic.SIZES
        self.seconds = 1 if quick else 3
        self.trial = 0.25 if quick else 0.5
        self.hints = {}

    def idle(self, system, rows):
        """CPU time of an idle daemon, in percent of one CPU."""
        if not system.daemons:
            return
        seconds = 10 * self.trial
        before = system.cpu_seconds()
        time.sleep(seconds)
        used = (system.cpu_seconds() - before) / seconds / len(system.daemons)
        rows.add("e2e", f"e2e:idle/cpu/{system.name}", "%", 100 * used)

    def tcp(self, system, rows):
        for streams in (1, 4):
            for direction in ("out", "in"):
                rate = traffic.tcp(system, streams, direction == "in", self.seconds)
                rows.add("e2e", f"e2e:tcp/{streams}/{direction}/{system.name}", "Mbit/s", rate,
                         less_is_better=False)

    def udp(self, system, size, rows):
        rate, result = self.generator.lossless(system, size, self.trial,
                                               self.hints.get((system.name, size)))
        rows.add("e2e", f"e2e:udp/{size}/rate/{system.name}", "packets/s", rate,
                 less_is_better=False)
        if not result:
            return
        self.hints[system.name, size] = rate
        rows.add("e2e", f"e2e:udp/{size}/Mbps/{system.name}", "Mbit/s",
                 rate * result["bytes"] / max(1, result["received"]) * 8e-6, less_is_better=False)
        for part in (10, 80):
            at = self.generator.send(system, size, rate * part / 100, 2 * self.trial)
            for key, name in (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9")):
                rows.add("e2e", f"e2e:udp/{size}/latency{part}/{name}/{system.name}", "µs", at[key])


def run(args, rows, progress):
    """Adds the rows; returns notes and errors."""
    workdir = tempfile.mkdtemp(prefix="cygnet-bench-")
    part = EndToEnd(args.build, args.quick)
    candidates, notes = available(args.build, workdir, not args.no_peers)
    errors = []
    try:
        running = started(candidates, workdir, notes, errors, progress)
        for number in range(max(1, args.rounds // 3)):
            _round(part, running, number, rows, errors, progress)
    finally:
        close(candidates, workdir)
    return notes, errors


def started(candidates, workdir, notes, errors, progress):
    """The systems that start and carry packets; all of them are paused."""
    running = []
    for system in candidates:
        progress(f"starting {system.name}")
        try:
            system.start()
            system.check()
            running.append(system)
        except LabError as error:
            text = f"{system.name} was not measured end to end: {_without(workdir, error)}"
            (notes if system.brief else errors).append(text)
        system.pause(True)
    return running


def close(systems_, workdir):
    for system in systems_:
        system.close()
    shutil.rmtree(workdir, ignore_errors=True)


@contextlib.contextmanager
def running_alone(system, errors):
    """Lets the system run while all others are stopped; an error of it ends only its turn."""
    system.pause(False)
    try:
        yield
    except (LabError, OSError, subprocess.SubprocessError) as error:
        errors.append(_without("", error))
    finally:
        system.pause(True)


def _without(workdir, error):
    """The error, without the path of a temporary directory."""
    text = str(error).replace(workdir + "/", "") if workdir else str(error)
    return " ".join(text.split())


def _round(part, running, number, rows, errors, progress):
    turn = number % len(running) if running else 0
    for size in (None, *part.sizes):
        for system in running[turn:] + running[:turn]:
            if system.brief and size not in (None, "64", "1420"):
                continue
            progress(f"end to end, round {number + 1}: {system.name} "
                     f"{'tcp' if size is None else f'udp {size}'}")
            with running_alone(system, errors):
                if size is None:
                    part.idle(system, rows)
                    part.tcp(system, rows)
                else:
                    part.udp(system, size, rows)
