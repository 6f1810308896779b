"""Network namespaces, daemons and unmodified clients for the lab and the integration tests.

A namespace lives as long as its holder process; holder, daemons and clients die with the process that
made them (parent-death signal), so nothing is left behind, even after SIGKILL. Works as root and,
through `reexec_in_user_namespace`, as an ordinary user.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import schemakit


class LabError(Exception):
    """Something that the lab needs failed; the text says what."""


def reexec_in_user_namespace():
    """An ordinary user gets a user namespace in which it may make network namespaces."""
    if os.geteuid() == 0:
        return
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise LabError("/dev/net/tun cannot be opened by this user (as root: chmod 666 /dev/net/tun, "
                       "which is what udev does on an installed system)")
    os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", "--",
                          sys.executable, *sys.argv])


def in_user_namespace():
    with open("/proc/self/uid_map", encoding="ascii") as f:
        return f.read().split()[1:] != ["0", "4294967295"]


def capture_command(interface, path, expression=""):
    """tcpdump, writing pcap. If there is only one user, tcpdump as root cannot become the user that it
    insists on; dumpcap does not try to."""
    if in_user_namespace():
        return ["dumpcap", "-q", "-P", "-i", interface, "-s", "0", "-w", path,
                *(["-f", expression] if expression else [])]
    return ["tcpdump", "-i", interface, "-n", "-U", "--immediate-mode", "-s", "0", "-w", path,
            *expression.split()]


def tcpdump_command(path, *options):
    """tcpdump, reading a capture; not as root if it cannot drop root."""
    argv = ["tcpdump", "-r", path, "-n", *options]
    return ["unshare", "--user", "--map-user=1000", "--", *argv] if in_user_namespace() else argv


class Namespace:
    """One network namespace, and commands in it."""

    def __init__(self, name, keep=False):
        self.name = name
        self.keep = keep
        self.holder = subprocess.Popen(self._bound(["unshare", "--net", "sleep", "infinity"]),
                                       stdin=subprocess.DEVNULL)
        self.procs = []
        own = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 5
        while True:  # wait until the holder is in its own namespace
            try:
                if os.readlink(f"/proc/{self.holder.pid}/ns/net") != own:
                    break
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise LabError("cannot make a network namespace (unshare --net)")
            time.sleep(0.01)
        self.ip("link set lo up")

    def _bound(self, argv):
        """The command, ended when this process ends; with keep, left to itself."""
        if self.keep:
            return ["setsid", *argv]
        return ["setpriv", "--pdeathsig", "KILL", *argv]

    def enter(self):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    def run(self, argv, check=True, timeout=60, **kwargs):
        if isinstance(argv, str):
            argv = argv.split()
        result = subprocess.run([*self.enter(), *argv], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=timeout, **kwargs)
        if check and result.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(argv)}: exit {result.returncode}: "
                           f"{result.stderr.strip() or result.stdout.strip()}")
        return result

    def popen(self, argv, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        proc = subprocess.Popen(self._bound([*self.enter(), *argv]), **kwargs)
        self.procs.append(proc)
        return proc

    def ip(self, args, **kwargs):
        return self.run(["ip", *args.split()], **kwargs)

    def close(self):
        for proc in self.procs:
            end(proc)
        end(self.holder, signal.SIGKILL)


def end(proc, sig=signal.SIGTERM, timeout=10):
    """Ends one process of ours, by its pid."""
    if proc.poll() is None:
        proc.send_signal(sig)
        try:
            proc.wait(timeout)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()
    return proc.returncode


class Cygnet:
    """The built programs."""

    def __init__(self, build):
        self.daemon = os.path.join(build, "src/daemon/cygnetd/cygnetd")
        self.command = os.path.join(build, "src/cli/cygnet")
        self.web = os.path.join(build, "src/web/cygnet-web")
        for path in (self.daemon, self.command):
            if not os.path.exists(path):
                raise LabError(f"{path} is not there: build first")


class Host:
    """A namespace with cygnetd in it: wire0 is the wire, nic0 (nic1 …) what the host uses."""

    def __init__(self, name, cygnet, workdir, keep=False):
        self.name = name
        self.cygnet = cygnet
        self.workdir = workdir
        self.ns = Namespace(name, keep)
        self.daemon = None
        self.options = []  # of cygnetd, besides --config
        self.log_path = os.path.join(workdir, f"{name}.log")

    def start(self, devices=None, daemon_keys="", config=None):
        """Starts the daemon. devices: list of dicts of [[device]] keys."""
        devices = devices or [{}]
        if config is None:
            lines = ["[daemon]", daemon_keys]
            for i, device in enumerate(devices):
                keys = {"name": f"nic{i}", "wire": f"wire{i}", **device}
                lines.append("[[device]]")
                lines += [f"{k} = {json.dumps(v)}" for k, v in keys.items()]
            config = "\n".join(lines) + "\n"
        path = os.path.join(self.workdir, f"{self.name}.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(config)
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.daemon = self.ns.popen([self.cygnet.daemon, *self.options, "--config", path],
                                        stdout=log, stderr=log)
        self.wait_ready()

    def wait_ready(self, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.daemon.poll() is not None:
                raise LabError(f"{self.name}: cygnetd stopped: {self.log()[-500:]}")
            if self.ns.run([self.cygnet.command, "-j", "dev"], check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise LabError(f"{self.name}: cygnetd is not ready after {timeout} s: {self.log()[-500:]}")

    # --- Under `cygnetd --supervise` ---

    def child(self):
        """The daemon's pid; 0: between two."""
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children", encoding="ascii") as f:
            return int((f.read().split() or ["0"])[0])

    def restart(self, sig, timeout=20):
        """Ends the daemon, orderly (SIGUSR1) or not, and waits until the next one serves."""
        before = self.child()
        os.kill(before if sig == signal.SIGKILL else self.daemon.pid, sig)
        wait_for(lambda: self.child() not in (0, before), timeout, "the next cygnetd")
        self.wait_ready(timeout)

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def xfrm(self, args, check=True, options=(), **kwargs):
        """Debian's `ip OPTIONS xfrm ARGS`, unmodified, through the shim."""
        argv = ["ip", *options, "xfrm", *(args.split() if isinstance(args, str) else args)]
        return self.ns.run([self.cygnet.command, "exec", "--", *argv], check=check, **kwargs)

    def show(self, *args):
        """`cygnet -j ARGS` as Python data, which is as its schema says."""
        output = json.loads(self.ns.run([self.cygnet.command, "-j", *args]).stdout)
        schemakit.check(args, output)
        return output

    def text(self, *args):
        return self.ns.run([self.cygnet.command, *args]).stdout

    def drops(self):
        return {k: v for k, v in self.show("stat")["drops"].items() if v}

    def xfrm_stat(self):
        return {k: v for k, v in self.show("stat")["xfrm"].items() if v}

    def stop(self):
        return end(self.daemon) if self.daemon is not None else None

    def close(self):
        if self.daemon is not None:
            end(self.daemon)
        self.ns.close()


def connect(a, b, index=0, mtu=1500):
    """A veth pair as the wire between two hosts."""
    name = f"wire{index}"
    a.ns.ip(f"link add {name} mtu {mtu} type veth peer name {name} mtu {mtu} "
            f"netns {b.ns.holder.pid}")
    a.ns.ip(f"link set {name} up")
    b.ns.ip(f"link set {name} up")


def with_own_run(directory, argv):
    """`argv` with a /run of its own, where daemons keep sockets and pid files under fixed names."""
    return ["unshare", "--mount", "sh", "-c",
            'mount --make-rprivate / && mount --bind "$0" /run && exec "$@"', directory, *argv]


def wait_for(condition, timeout=10, what="a condition"):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise LabError(f"waited {timeout} s for {what}")


def have(*programs):
    """Programs that are not installed."""
    return [p for p in programs if shutil.which(p) is None]
