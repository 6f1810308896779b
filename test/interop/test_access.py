#!/usr/bin/python3
"""Who may use cygnetd, and who can impersonate it: users without CAP_NET_ADMIN, root without it, a
container's root on the host's network, an IKE daemon that left root and kept the capability. The
kernel identifies both sides (doc/decisions/0014-rendezvous.md); meanwhile these processes do not
slow the daemon and its clients down.
"""

import errno
import os
import shutil
import statistics
import subprocess
import time
import unittest

import doorstep
import labkit
import suite
import xfrmclient as nl
from rawwire import inside
from wirehost import WireHost

INFO = nl.message("GETSADINFO", nl.u32(0), nl.REQUEST)
PYTHON = "/usr/bin/python3"
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
AMBIENT = ["--inh-caps", "-all,+net_admin", "--ambient-caps", "-all,+net_admin"]
CONTAINER = ["unshare", "--user", "--map-root-user"]
STATE = ("state add src 192.0.2.9 dst 192.0.2.10 proto esp spi 0x999 reqid 9 mode tunnel aead "
         "rfc4106(gcm(aes)) 0x00112233445566778899aabbccddeeff01020304 128").split()


def without(*capabilities):
    drop = ",".join("-" + c for c in capabilities)
    return ["setpriv", "--bounding-set", drop, "--inh-caps", drop, "--ambient-caps", "-all"]


# Tries everything that a stranger can do at the rendezvous; prints the errno and the answer of each step.
STRANGER = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
import doorstep
def attempt(what, act):
    try:
        print(what, act() or 0, flush=True)
    except OSError as error:
        print(what, error.errno, flush=True)
def mark():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, doorstep.USERSOCK).bind((0, doorstep.GROUPS))
port = doorstep.ports()[0]
attempt("knock", lambda: doorstep.Knock(doorstep.OPERATOR))
attempt("mark", mark)
def confirm():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, doorstep.ROUTE)
    s.sendto(doorstep.message(doorstep.CONFIRM, 1, bytes(16), doorstep.random_name()), (port, 0))
attempt("confirm", confirm)
def connect():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, doorstep.ROUTE)
    s.connect((port, 0))
attempt("connect", connect)
"""

# Shares its sockets with a child that runs a program with file capabilities, and tries again.
SHARER = """
import os, socket, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
import doorstep
port = doorstep.ports()[0]
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, doorstep.ROUTE)
s.bind((0, 0))
s.set_inheritable(True)
child = subprocess.Popen([sys.argv[2], "30"], close_fds=False)
time.sleep(0.3)
with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
    print([line.split()[1] for line in status if line.startswith("CapEff")][0], flush=True)
for step in range(2):
    try:
        s.sendto(doorstep.message(doorstep.KNOCK, 1, bytes(16), doorstep.random_name()), (port, 0))
        print(0, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
    child.terminate()
    child.wait()
"""

FLOOD = """
import socket, sys, time
sys.path.insert(0, sys.argv[1])
import doorstep
port, end = doorstep.ports()[0], time.monotonic() + float(sys.argv[2])
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, doorstep.ROUTE)
knock, count = doorstep.message(doorstep.KNOCK, 1, bytes(16), doorstep.random_name()), 0
while time.monotonic() < end:
    for _ in range(50):
        count += 1
        try:
            s.sendto(knock, (port, 0))
        except OSError:
            pass
    with open("/proc/self/net/unix", encoding="ascii") as table:
        names = [line.split()[-1] for line in table if "@cygnet" in line]
    for name in names:
        u = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        u.setblocking(False)
        try:
            u.connect("\\0" + name[1:])
            u.send(b"x")
        except OSError:
            pass
        u.close()
print(count, flush=True)
"""

# An impostor of cygnetd: takes its former names, and every other that it can bind.
IMPOSTOR = """
import select, socket, sys
sys.path.insert(0, sys.argv[1])
import doorstep
ears = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
for s, name in zip(ears, ("xfrm", "operator", "instance")):
    s.bind("\\0cygnet/" + name)
    s.listen(8)
mark = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, doorstep.USERSOCK)
try:
    mark.bind((0, doorstep.GROUPS))
    print("marked", flush=True)
except OSError as error:
    print(error.errno, flush=True)
ready, _, _ = select.select(ears, [], [], float(sys.argv[2]))
print("somebody came" if ready else "nobody came", flush=True)
"""


class Access(WireHost, suite.Case):
    window = 64

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The programs and doorstep.py, where every user may read and run them.
        cls.open = os.path.join(cls.workdir, "open")
        os.chmod(cls.workdir, 0o755)
        os.mkdir(cls.open, 0o755)
        build = os.environ["CYGNET_BUILD"]
        for path in (cls.host.cygnet.command, os.path.join(build, "src/shim/libcygnet_xfrm.so"),
                     doorstep.__file__):
            shutil.copy(path, cls.open)
        cls.command = [os.path.join(cls.open, "cygnet")]

    def setUp(self):
        super().setUp()
        self.polite = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(self.polite.close)
        self.number = self.polite.open()

    def run_as(self, argv, command, **kwargs):
        environment = {**os.environ, "CYGNET_SHIM": os.path.join(self.open, "libcygnet_xfrm.so")}
        return self.host.ns.run([*argv, *command], check=False, env=environment, **kwargs)

    def script(self, argv, text, *arguments):
        return self.host.ns.popen([*argv, PYTHON, "-c", text, self.open, *arguments],
                                  stdout=subprocess.PIPE, text=True)

    def said(self, proc, timeout=60):
        out, _ = proc.communicate(timeout=timeout)
        return out.split("\n")[:-1]

    def assert_served(self):
        reply = self.polite.ask(self.number, INFO)
        self.assertEqual([m[0] for m in reply], ["NEWSADINFO"])

    def need_a_second_user(self):
        if labkit.in_user_namespace():
            self.skipTest("one user only in this user namespace")

    # --- Refused clients ---

    def assert_nobody(self, who):
        steps = self.said(self.script(who, STRANGER))
        self.assertEqual(steps, [f"{s} {errno.EPERM}"
                                 for s in ("knock", "mark", "confirm", "connect")])
        for command in (["dev"], ["-j", "sa", "--show-keys"], ["offload", "disable", "dev", "nic0"],
                        ["exec", "--", "ip", "xfrm", "state", "flush"]):
            result = self.run_as(who, [*self.command, *command])
            self.assertIn(result.returncode, (2, 125), result)
            self.assertIn("CAP_NET_ADMIN", result.stderr)
        # The shim without `cygnet exec`: nothing is sent, and the kernel's XFRM is not used instead.
        result = self.run_as(who, ["env", f"LD_PRELOAD={self.open}/libcygnet_xfrm.so", "ip", "xfrm", *STATE])
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("CAP_NET_ADMIN", result.stderr)
        self.assert_served()
        self.assertEqual(len(self.host.show("sa")), 2)

    def test_root_without_net_admin(self):
        self.assert_nobody(without("net_admin"))

    def test_ordinary_user(self):
        self.need_a_second_user()
        self.assert_nobody(NOBODY)

    def test_root_of_a_container_on_the_hosts_network(self):
        self.assert_nobody(CONTAINER)

    # The kernel judges the sender, not the socket's owner or another holder of the socket.
    def test_program_with_file_capabilities_lends_none(self):
        self.need_a_second_user()
        helper = os.path.join(self.open, "sleep")
        shutil.copy("/usr/bin/sleep", helper)
        subprocess.run(["setcap", "cap_net_admin+ep", helper], check=True)
        said = self.said(self.script(NOBODY, SHARER, helper))
        self.assertEqual(int(said[0], 16), 1 << 12, "the child has the capability")
        self.assertEqual(said[1:], [str(errno.EPERM)] * 2)
        self.assert_served()

    # --- Accepted clients ---

    def test_daemon_that_left_root_and_kept_the_capability(self):
        self.need_a_second_user()
        result = self.run_as([*NOBODY, *AMBIENT], [*self.command, "exec", "--", "ip", "xfrm", "state"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("0x00001001", result.stdout)
        self.assertEqual(self.run_as([*NOBODY, *AMBIENT], [*self.command, "dev"]).returncode, 0)

    # --- Impostors ---

    def test_impostors(self):
        other = suite.Host("other", self.host.cygnet, self.workdir)
        self.addCleanup(other.close)
        other.ns.ip("link add wire0 type veth peer name far0")
        who = [without("net_admin"), CONTAINER]
        who += [] if labkit.in_user_namespace() else [NOBODY]
        for argv in who:
            proc = other.ns.popen([*argv, PYTHON, "-c", IMPOSTOR, self.open, "3"],
                                  stdout=subprocess.PIPE, text=True)
            self.assertEqual(proc.stdout.readline(), f"{errno.EPERM}\n")
            result = other.ns.run([self.host.cygnet.command, "exec", "--", "ip", "xfrm", *STATE], check=False)
            self.assertEqual(result.returncode, 125)
            self.assertIn("no cygnetd in this network namespace", result.stderr)
            result = other.ns.run([self.host.cygnet.command, "offload", "disable", "dev", "nic0"],
                                  check=False)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            # Although all these names are taken, the daemon starts and is found.
            other.start()
            self.assertEqual(other.show("dev")[0]["name"], "nic0")
            other.stop()
            self.assertEqual(self.said(proc), ["nobody came"])
            proc.stdout.close()

    def test_start_without_capability_names_it(self):
        other = suite.Host("poor", self.host.cygnet, self.workdir)
        self.addCleanup(other.close)
        other.ns.ip("link add wire0 type veth peer name far0")
        for name in ("net_admin", "net_raw"):
            result = other.ns.run([*without(name), self.host.cygnet.daemon, "--wire", "wire0"], check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"needs CAP_{name.upper()} in the user namespace", result.stderr)
            self.assertNotIn("wire_fence", result.stderr)
        result = self.host.ns.run([self.host.cygnet.daemon, "--wire", "wire0"], check=False)
        self.assertIn("a cygnetd already runs in this network namespace", result.stderr)

    # --- Floods ---

    def round_trips(self, count):
        """Milliseconds, each with a new connection."""
        times = []
        with inside(self.host.ns):
            for _ in range(count):
                started = time.monotonic()
                with doorstep.meet() as s:
                    s.settimeout(10)
                    s.send(INFO)
                    s.recv(4096)
                times.append((time.monotonic() - started) * 1000)
        return times

    def test_flood_of_strangers_keeps_nobody_waiting(self):
        who = without("net_admin") if labkit.in_user_namespace() else NOBODY
        before, log = self.round_trips(50), len(self.host.log())
        floods = [self.script(who, FLOOD, "2") for _ in range(2)]
        time.sleep(0.5)
        during = self.round_trips(100)
        counts = [int(self.said(f)[0]) for f in floods]
        print(f"\n  a client's connection and answer: {statistics.median(before):.2f} ms; "
              f"while {sum(counts)} knocks of strangers: {statistics.median(during):.2f} ms, "
              f"at most {max(during):.1f} ms", end=" ", flush=True)
        self.assertGreater(min(counts), 1000)
        self.assertLess(statistics.median(during), 20 * suite.SLOWNESS)
        self.assertEqual(len(self.host.log()), log, "strangers write no line of the log")
        self.assert_served()


if __name__ == "__main__":
    suite.main()
