"""The control part of a run: SAs and policies through the socket of cygnetd and, if possible, of the
running kernel, each with the same unmodified programs."""

import contextlib
import mmap
import os
import re
import select
import signal
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
from labkit import Cygnet, Host, LabError, Namespace, end  # noqa: E402

# A kernel that keeps policies with different prefixes in lists is slow with many; the wait is bounded.
PATIENCE = 120

# More than a daemon and a client take with 100,000 SAs or policies.
MOST_MEMORY = 384 << 20


class Cygnetd:
    """One daemon with a device on a wire, as in a deployment."""

    name = "cygnet"
    kinds = ("sas", "policies")

    def __init__(self, workdir, build, options=(), daemon_keys=""):
        self.host = Host("west", Cygnet(build), workdir)
        self.host.options = list(options)
        self.other = Namespace("east")
        self.host.ns.ip(f"link add wire0 type veth peer name wire0 netns {self.other.holder.pid}")
        self.host.ns.ip("link set wire0 up")
        self.other.ip("link set wire0 up")
        self.host.start(daemon_keys=daemon_keys)
        self.ns = self.host.ns

    def client(self, argv):
        return [self.host.cygnet.command, "exec", "--", *argv]

    def memory(self):
        with open(f"/proc/{self.host.daemon.pid}/smaps_rollup", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Rss:")) * 1024

    def close(self):
        self.host.close()
        self.other.close()


class Kernel:
    """The running kernel's own tables, in a fresh namespace. SAs need its ESP, which not every
    kernel has; policies always work."""

    name = "kernel"
    kinds = ("policies",)

    def __init__(self, _workdir, _build):
        self.ns = Namespace("kernel")

    def client(self, argv):
        return argv

    def memory(self):
        return None

    def close(self):
        self.ns.close()


def run(args, rows, progress):
    """Adds the rows; returns notes and errors."""
    notes, errors = [], []
    program = os.path.join(args.build, "bench", "control", "xfrm_load")
    counts = (2_000,) if args.quick else (10_000, 100_000)
    workdir = tempfile.mkdtemp(prefix="cygnet-bench-")
    try:
        for number in range(max(1, args.rounds // 4)):
            for system_class in (Cygnetd, Kernel)[:: 1 if number % 2 == 0 else -1]:
                for count in counts:
                    progress(f"control, round {number + 1}: {system_class.name} {count}")
                    _measure(system_class, workdir, args.build, program, count, rows, notes)
            progress(f"control, round {number + 1}: migration of {counts[-1]}")
            _migrate(workdir, args.build, program, counts[-1], rows, notes)
            progress(f"control, round {number + 1}: restart with {counts[-1]}")
            _restart(os.path.join(workdir, f"restart{number}"), args.build, program, counts[-1], rows)
            progress(f"control, round {number + 1}: forwarding meanwhile")
            _forward(os.path.join(workdir, str(number)), args, program, counts[-1], rows)
            progress(f"control, round {number + 1}: a forwarder beside it")
            _forward_by_others(os.path.join(workdir, f"others{number}"), args, program, counts[-1], rows)
    except (LabError, OSError) as error:
        errors.append(f"control: {error}")
    finally:
        shutil.rmtree(workdir, ignore_errors=True)
    return sorted(set(notes)), errors


def _fetch_memory():
    """Takes memory and gives it back. A hypervisor takes away what is free for some seconds, and brings
    each page again when it is used: that would be measured, and not who uses it."""
    size = min(MOST_MEMORY, os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE // 2)
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)  # as the daemon's tables
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


def _measure(system_class, workdir, build, program, count, rows, notes):
    for kind in system_class.kinds:
        system = system_class(workdir, build)
        try:
            _load(system, program, kind, count, rows)
            if kind == "policies":
                _batch(system, workdir, count, rows)
        except subprocess.TimeoutExpired:
            notes.append(f"control: {system.name}: {count} {kind} took more than {PATIENCE} s")
        finally:
            system.close()


def _load(system, program, kind, count, rows):
    """xfrm_load: between adding and dumping it waits for a line on its standard input."""
    _fetch_memory()
    before = system.memory()
    argv = [*system.ns.enter(), *system.client([program, kind, str(count)])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            added = _line(process, deadline)
            if before is not None and added:
                time.sleep(0.3)  # the daemon has freed what it can
                rows.add("control", f"control:{kind}/{count}/memory, bytes each/{system.name}",
                         "bytes", (system.memory() - before) / count)
            out, err = process.communicate("\n", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    if process.returncode != 0:
        raise LabError(f"{system.name}: xfrm_load {kind} {count}: {err.strip()}")
    for line in [added, *out.splitlines()]:
        what, number, seconds = line.split()
        rows.add("control", f"control:{kind}/{number}/{what}/{system.name}", "per second",
                 int(number) / float(seconds), less_is_better=False)


def _line(process, deadline):
    """The first line of its output, if it comes in time."""
    ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        raise subprocess.TimeoutExpired(process.args, PATIENCE)
    return process.stdout.readline()


def _batch(system, workdir, count, rows):
    """The same policies with an unmodified `ip -batch`, which also reads and prints text."""
    path = os.path.join(workdir, "policies.batch")
    with open(path, "w", encoding="ascii") as f:
        for i in range(count):
            prefix = (24, 25, 28)[i % 3]
            address = f"{11 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0"
            f.write(f"xfrm policy add src 10.1.0.0/16 dst {address}/{prefix} dir out priority "
                    f"{1000 - prefix} tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 1 mode tunnel\n")
    argv = [*system.ns.enter(), *system.client(["ip", "-batch", path])]
    begin = time.monotonic()
    result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE)
    seconds = time.monotonic() - begin
    if result.returncode != 0:
        raise LabError(f"{system.name}: ip -batch: {result.stderr.strip()[-300:]}")
    rows.add("control", f"control:policies/{count}/add by ip -batch/{system.name}", "per second",
             count / seconds, less_is_better=False)


def _migrate(workdir, build, program, count, rows, notes):
    """Every SA, and its policy, moves to another address of its peer, by one MIGRATE for each pair."""
    system = Cygnetd(workdir, build)
    try:
        _fetch_memory()
        argv = [*system.ns.enter(), *system.client([program, "migrate", str(count)])]
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                                timeout=PATIENCE)
        if result.returncode != 0:
            raise LabError(f"xfrm_load migrate {count}: {result.stderr.strip()}")
        rows.add("control", f"control:sas/{count}/migrated", "s", float(result.stdout.split()[2]))
    except subprocess.TimeoutExpired:
        notes.append(f"control: migration of {count} SAs took more than {PATIENCE} s")
    finally:
        system.close()


def _restart(workdir, build, program, count, rows):
    """An orderly restart under `cygnetd --supervise`: how long the next daemon takes for the SAs of the
    one before, and how long it is from the signal until it serves clients."""
    os.makedirs(workdir)
    system = Cygnetd(workdir, build, ("--supervise",), f'restart_file = "{workdir}/restart"')
    try:
        argv = [*system.ns.enter(), *system.client([program, "sas", str(count)])]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            added = _line(process, time.monotonic() + PATIENCE)
            end(process, signal.SIGKILL)  # the SAs stay
        if not added:
            raise LabError(f"xfrm_load sas {count} added nothing")
        _fetch_memory()
        begin = time.monotonic()
        system.host.restart(signal.SIGUSR1, PATIENCE)
        rows.add("control", f"control:sas/{count}/restart", "s", time.monotonic() - begin)
        said = re.search(rf"{count} SAs and .* it took (\d+) ms", system.host.log())
        if said is None:
            raise LabError(f"not all of {count} SAs went on: {system.host.log()[-300:]}")
        rows.add("control", f"control:sas/{count}/restored", "s", int(said.group(1)) / 1000)
    finally:
        system.close()


def _forward(workdir, args, program, count, rows):
    """Latency at a tenth of the lossless rate: alone, and while SAs or policies are added and deleted on
    the sender's side."""
    os.makedirs(workdir)
    system = systems.Cygnet(workdir, Cygnet(args.build))
    try:
        system.start()
        system.check()
        _forward_beside(system, system.hosts[0], "forwarding", args, program, count, rows)
    finally:
        system.close()


def _forward_by_others(workdir, args, program, count, rows):
    """The same of a program that reads no packet, beside a daemon that it has nothing to do with: what
    the scheduler of this machine does to whoever forwards."""
    os.makedirs(workdir)
    with contextlib.ExitStack() as stack:
        system = systems.Forwarder(workdir, args.build)
        stack.callback(system.close)
        system.start()
        system.check()
        beside = Cygnetd(workdir, args.build)
        stack.callback(beside.close)
        _forward_beside(system, beside.host, "forwarder", args, program, count, rows)


def _forward_beside(system, host, name, args, program, count, rows):
    generator = traffic.Generator(args.build)
    rate, _ = generator.lossless(system, "64", 0.5)
    for kind in (None, "sas", "policies"):
        with _churn(host, program, kind, count, rows, name):
            result = generator.send(system, "64", rate / 10, 2 if args.quick else 6)
        meanwhile = f"{kind} change" if kind else "alone"
        for key, part in (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9")):
            rows.add("control", f"control:{name}/latency10/{part}/{meanwhile}", "µs", result[key])
        rows.add("control", f"control:{name}/lost/{meanwhile}", "packets", result["lost"])


@contextlib.contextmanager
def _churn(host, program, kind, count, rows, name):
    if kind is None:
        yield
        return
    process = host.ns.popen([host.cygnet.command, "exec", "--", program, kind, str(count), "churn"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield
        out, _ = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            raise LabError(f"xfrm_load {kind} {count} churn: exit {process.returncode}")
        _, number, passed = out.split()
        rows.add("control", f"control:{name}/requests/{kind} change", "per second",
                 int(number) / float(passed), less_is_better=False)
    finally:
        end(process)
