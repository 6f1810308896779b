"""Rows of two builds' daemons between namespaces, for --against. Both run at once; the one whose turn it
is not is stopped."""

import os

import e2e_steps  # sets the paths to labkit and to the systems
import chains
import systems
import traffic
from labkit import Cygnet, LabError

_MOST = 4_000_000  # packets per second; no generator reaches it
_LIGHT = 5_000     # packets per second that every build carries, for latency and CPU time


class Systems:
    def __init__(self, groups, builds, workdir, quick, errors, progress):
        self.errors = errors
        self.trial = 0.1 if quick else 0.3
        self.generators = {"e2e": traffic.Generator(builds[1]),
                           "chain": traffic.Generator(builds[1], chains.GENERATOR_CPU)}
        classes = {"e2e": systems.Cygnet, "chain": chains.CygnetChain}
        self.pairs = {}
        self.all = []
        for group in (g for g in groups if g in classes):
            try:
                pair = [self._make(classes[group], group, which, build, workdir)
                        for which, build in enumerate(builds)]
            except LabError as error:
                errors.append(f"{group} was not measured: {error}")
                continue
            if len(e2e_steps.started(pair, workdir, errors, errors, progress)) == 2:
                self.pairs[group] = pair

    def _make(self, system_class, group, which, build, workdir):
        folder = os.path.join(workdir, f"{group}{which}")
        os.makedirs(folder)
        system = system_class(folder, Cygnet(build))
        self.all.append(system)
        return system

    def steps(self):
        """(name, turn)"""
        found = []
        for group in self.pairs:
            if group == "e2e":
                found += [self._step(group, f"tcp/1/{d}", self._tcp, d == "in") for d in ("out", "in")]
            for size in ("64", "1400"):
                found.append(self._step(group, f"udp/{size}", self._udp, size))
        return found

    def _step(self, group, name, measure, argument):
        def turn(which, rows):
            system = self.pairs[group][which]
            with e2e_steps.running_alone(system, self.errors):
                measure(group, name, system, argument, rows)

        return f"{group} {name}", turn

    def _tcp(self, group, name, system, reverse, rows):
        rows.add(group, f"{group}:{name}", "Mbit/s",
                 traffic.tcp(system, 1, reverse, 1), less_is_better=False)

    def _udp(self, group, name, system, size, rows):
        send = self.generators[group].send
        before = system.daemon_seconds()
        full = send(system, size, _MOST, self.trial)
        rows.add(group, f"{group}:{name}/saturated, cpu in daemons", "ns/packet",
                 (system.daemon_seconds() - before) * 1e9 / max(1, full["received"]))
        rows.add(group, f"{group}:{name}/saturated", "packets/s", full["received_pps"],
                 less_is_better=False)
        light = send(system, size, _LIGHT, 2 * self.trial)
        rows.add(group, f"{group}:{name}/latency at {_LIGHT}/s, p50", "µs", light["p50_us"])

    def close(self):
        for system in self.all:
            system.close()
