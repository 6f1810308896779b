"""The chains of a run: two gateways between two hosts, by every way that this machine has."""

import os
import tempfile
import time

import e2e_steps  # sets the paths to labkit and to the systems
import chains
import traffic
from labkit import Cygnet, LabError, in_user_namespace

SIZES = ("64", "512", "1400")
_MOST = 4_000_000  # packets per second; no generator reaches it, so that it sends as fast as it can
_GATEWAYS = 2
_LEAST_IDLE = 0.05  # of all CPUs; with less, the CPU time of gateways cannot be told from that of others


def available(build, workdir, peers):
    """Chains that can run here, and notes on those that cannot. The generator alone comes first."""
    found, notes = [chains.Direct(workdir), chains.KernelChain(workdir)], []
    try:
        cygnet = Cygnet(build)
        found.append(chains.CygnetChain(workdir, cygnet))
        if not chains.has_inside(cygnet, workdir):
            notes.append("chain: cygnet-inside is not built: this cygnetd does not know the key `inside`")
        elif in_user_namespace():
            notes.append("chain: cygnet-inside was not measured: its XDP program needs root")
        else:
            found.append(chains.InsideChain(workdir, cygnet))
    except LabError as error:
        notes.append(f"chain: Cygnet was not measured: {error}")
    found.append(chains.ForwarderChain(workdir, build))
    missing = e2e_steps.systems.missing(chains.WireguardChain)
    if peers and missing:
        notes.append(f"chain: wireguard-go was not measured: no {', '.join(missing)}")
    elif peers:
        found.append(chains.WireguardChain(workdir))
    return found, notes


class Busy:
    """CPU time since its creation, in seconds. A CPU that is not idle and not taken by the hypervisor
    is busy; the kernel counts idle time without sampling."""

    def __init__(self):
        self.begin = time.monotonic()
        self.before = self._not_ours()

    @staticmethod
    def _not_ours():
        with open("/proc/stat", encoding="ascii") as f:
            fields = [int(field) for field in f.readline().split()[1:]]
        return (fields[3] + fields[4] + fields[7]) / os.sysconf("SC_CLK_TCK")  # idle, iowait, steal

    def seconds(self):
        """None if the machine was hardly ever idle: then others took what would have been idle."""
        wall = (time.monotonic() - self.begin) * os.cpu_count()
        idle = self._not_ours() - self.before
        return wall - idle if idle > _LEAST_IDLE * wall else None


class Chains:
    def __init__(self, build, quick, rows):
        self.notes = set()
        self.generator = traffic.Generator(build, chains.GENERATOR_CPU)
        self.trial = 0.15 if quick else 0.3
        self.hints = {}
        self.rows = rows
        self.direct = None

    def _add(self, size, what, system, unit, value, less_is_better=True):
        self.rows.add("chain", f"chain:udp/{size}/{what}/{system.name}", unit, value,
                      less_is_better=less_is_better)

    def turn(self, system, size):
        """One system with one size."""
        rate, result = self.generator.lossless(system, size, self.trial,
                                               self.hints.get((system.name, size)))
        self._add(size, "rate", system, "packets/s", rate, less_is_better=False)
        if result and rate == result["sent_pps"] and system is not self.direct:
            self.notes.add(f"chain: {system.name} reached what the generator can send with {size} bytes: "
                           "its rate is at least that of the table")
        full = self.generator.send(system, size, _MOST, self.trial)
        self._add(size, "saturated", system, "packets/s", full["received_pps"],
                  less_is_better=False)
        if system is self.direct:
            self._add(size, "cpu of the generator", system, "ns/packet",
                      full["send_ns"] + full["receive_ns"])
        if not result:
            return
        self.hints[system.name, size] = rate
        at = self.generator.send(system, size, rate / 10, 2 * self.trial)
        for key, name in (("p50_us", "p50"), ("p99_us", "p99")):
            self._add(size, f"latency10/{name}", system, "µs", at[key])
        if system is not self.direct:
            self._cpu(system, size, 0.5 * rate)

    def _cpu(self, system, size, rate):
        """CPU time that the gateways take, from all of the machine's: what the generator takes at the
        same rate without gateways is subtracted. So it does not matter whose CPU a softirq runs on."""
        total, daemons = self._cpu_of(system, size, rate)
        alone, _ = self._cpu_of(self.direct, size, rate)
        found = [("cpu in daemons", daemons)]
        if total is None or alone is None:
            self.notes.add("chain: CPU time of gateways was not measured in rounds in which others used "
                           "all CPUs")
        else:
            found.append(("cpu", total - alone))
        for what, seconds in found:
            self._add(size, what, system, "ns/packet and gateway", seconds * 1e9 / _GATEWAYS)

    def _cpu_of(self, system, size, rate):
        """Seconds a packet that arrived: of the machine (None if unknown), and of the daemons."""
        busy, before = Busy(), system.daemon_seconds()
        result = self.generator.send(system, size, rate, 2 * self.trial)
        received = max(1, result["received"])
        total = busy.seconds()
        return (None if total is None else total / received,
                (system.daemon_seconds() - before) / received)


def run(args, rows, progress):
    """Adds the rows; returns notes and errors."""
    workdir = tempfile.mkdtemp(prefix="cygnet-bench-")
    part, errors = Chains(args.build, args.quick, rows), []
    candidates, notes = available(args.build, workdir, not args.no_peers)
    try:
        running = e2e_steps.started(candidates, workdir, notes, errors, progress)
        part.direct = candidates[0]
        if part.direct not in running:
            return notes + sorted(part.notes), errors
        if not all(system.steered for system in running):
            notes.append("chain: the receive work could not be steered to the gateways' CPU: it ran on "
                         "the generator's too")
        for number in range(max(1, args.rounds // 2)):
            turn = number % len(running)
            for size in SIZES:
                for system in running[turn:] + running[:turn]:
                    progress(f"chain, round {number + 1}: {system.name} {size}")
                    with e2e_steps.running_alone(system, errors):
                        part.turn(system, size)
    finally:
        e2e_steps.close(candidates, workdir)
    return notes + sorted(part.notes), errors
