#!/usr/bin/python3
"""How the daemon starts, refuses to start, stops, dies and comes back; and the installed programs."""

import os
import re
import signal
import socket
import subprocess
import time

import labkit
import suite
from labkit import Cygnet
from rawwire import FrameSocket, Peer

GCM = "aead rfc4106(gcm(aes)) 0x" + "31" * 20 + " 128"
STATE = "state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1001 reqid 1 mode tunnel " + GCM
DEVICE = '[[device]]\nname = "nic0"\nwire = "wire0"\n'


class Lifecycle(suite.Case):
    """A host with a wire and no daemon; tests start what they need."""

    def setUp(self):
        self.host = labkit.Host("host", suite.cygnet(), self.workdir)
        self.addCleanup(suite.close_host, self.host)
        self.peer = Peer(self.host)
        self.addCleanup(self.peer.close)
        if os.path.exists(self.host.log_path):
            os.unlink(self.host.log_path)

    def daemon(self, *args, timeout=30):
        """Runs cygnetd to its end."""
        return self.host.ns.run([self.host.cygnet.daemon, *args], check=False,
                                timeout=timeout * suite.SLOWNESS)

    def fails(self, *args):
        """The error of a daemon that refuses to start."""
        result = self.daemon(*args)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertNotIn("cygnetd info: ready", result.stderr)
        return result.stderr

    def file(self, text, name="test.toml"):
        path = os.path.join(self.workdir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def nft(self):
        return self.host.ns.run("nft list ruleset").stdout

    def links(self):
        return re.findall(r"^\d+: ([^:@]+)", self.host.ns.ip("-o link").stdout, re.M)

    def assert_untouched(self):
        self.assertEqual(self.nft(), "")
        self.assertNotIn("nic0", self.links())

    def assert_shut_until_released(self):
        """Only the fence outlives a daemon; an operator removes it."""
        self.assertNotIn("nic0", self.links())
        self.assertIn("cygnet_wire0", self.nft())
        result = self.daemon("--release", "wire0")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_untouched()


class Configuration(Lifecycle):
    def test_errors_name_file_line_and_key(self):
        for text, line, *words in (
                (DEVICE + "offlaod = \"no\"\n", 4, "device.offlaod", "unknown key", "offload"),
                (DEVICE + "offload = \"yes\"\n", 4, "device.offload", "one of"),
                (DEVICE + "sa_limit = 0\n", 4, "device.sa_limit", "between"),
                (DEVICE + "sa_limit = \"many\"\n", 4, "device.sa_limit", "integer"),
                (DEVICE + "mtu = 1279\n", 4, "device.mtu", "1280"),
                (DEVICE + "driver = \"floppy\"\n", 4, "device.driver", "one of"),
                ("[daemon]\nworkers = 99\n" + DEVICE, 2, "daemon.workers", "between"),
                ("[daemon]\nlog_level = 3\n" + DEVICE, 2, "daemon.log_level", "string"),
                ("[demon]\n" + DEVICE, 1, "demon", "unknown table"),
                ("[[device]]\nname = \"nic0\"\n", 1, "device.wire", "missing"),
                ("[[device]]\nname = \"name/of/a/path\"\nwire = \"w\"\n", 2, "device.name",
                 "interface name"),
                (DEVICE + DEVICE, 5, "device.name", "twice"),
                (DEVICE + "mtu = = 3\n", 4),
                (DEVICE + "name = \"nic1\"\n", 4)):
            path = self.file(text)
            for args in (["--config", path], ["--check", "--config", path]):
                with self.subTest(text=text, args=args[0]):
                    message = self.fails(*args)
                    self.assertIn(f"{path}:{line}:", message)
                    for word in words:
                        self.assertIn(word, message)
        # A start still shuts the wires that the file names (`wire = "w"` is in one of them).
        for wire in ("wire0", "w"):
            self.daemon("--release", wire)
        self.assert_untouched()

    def test_no_device(self):
        self.assertIn("at least one [[device]]", self.fails("--config", self.file("[daemon]\n")))

    def test_no_file(self):
        path = os.path.join(self.workdir, "nowhere.toml")
        self.assertIn(f"{path}: No such file", self.fails("--config", path))
        self.assertIn("directory", self.fails("--config", self.workdir))

    def test_check_says_what_would_run_and_touches_nothing(self):
        path = self.file(DEVICE)
        result = self.daemon("--check", "--config", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"name = ['\"]nic0['\"]")
        self.assertRegex(result.stdout, r"offload = ['\"]crypto['\"]")
        self.assert_untouched()
        # It prints the same configuration again.
        again = self.daemon("--check", "--config", self.file(result.stdout, "again.toml"))
        self.assertEqual(again.stdout, result.stdout)

    def test_example_is_valid(self):
        example = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                               "../../etc/cygnetd.toml.example")
        with open(example, encoding="utf-8") as f:
            text = f.read().replace('"eth1"', '"wire0"')
        self.assertEqual(self.daemon("--check", "--config", self.file(text)).returncode, 0)

    def test_files_that_are_the_same_are_refused(self):
        one = os.path.join(self.workdir, "one")
        for restart, ledger, words in ((one, one, "daemon.restart_file and ledger.file are the same file"),
                                       (one, one + ".lock", 'daemon.restart_file with ".lock" appended and ledger.file'),
                                       (one + ".key", one, 'and ledger.file with ".key" appended')):
            path = self.file(f'[daemon]\nrestart_file = "{restart}"\n[ledger]\nfile = "{ledger}"\n{DEVICE}')
            self.assertIn(words, self.fails("--check", "--config", path))
        self.assert_untouched()

    def test_missing_wire_interface(self):
        path = self.file(DEVICE.replace("wire0", "wire7"))
        result = self.daemon("--check", "--config", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("interface 'wire7' does not exist yet: cygnetd would wait for it", result.stderr)
        self.assert_untouched()

    def test_wire_interface_with_an_address(self):
        for address in ("192.0.2.1/24", "2001:db8::1/64"):
            self.host.ns.ip(f"addr add {address} dev wire0")
            message = self.fails("--wire", "wire0")
            self.assertIn("wire0 still has addresses", message)
            self.assertIn(address.split("/", maxsplit=1)[0], message)
            self.assertIn("nic0", message)
            self.assertTrue(message.endswith("to release it: cygnetd --release wire0\n"), message)
            self.host.ns.ip("addr flush dev wire0 scope global")
        self.assert_shut_until_released()

    def test_another_name_of_an_interface_is_refused(self):
        self.host.ns.ip("link property add dev wire0 altname enp3s0")
        text = "enp3s0 is another name of wire0: write wire0"
        path = self.file(DEVICE.replace("wire0", "enp3s0"))
        self.assertIn(f"device nic0: wire: {text}", self.fails("--check", "--config", path))
        self.assert_untouched()
        for args in (["--config", path], ["--fence", "--config", path]):
            self.assertIn(text, self.fails(*args))
            self.assertNotIn("enp3s0", self.nft())
            self.assert_shut_until_released()
        for more in ('inside = ["enp3s0"]\n', 'inside = ["enp3s0.7"]\n', '[[tunnel]]\nname = "enp3s0"\nif_id = 1\n'):
            path = self.file(DEVICE.replace("wire0", "wire1") + more)
            self.assertIn(text, self.fails("--check", "--config", path))

    def test_loopback_is_refused_and_never_shut(self):
        path = self.file(DEVICE.replace("wire0", "lo"))
        for args in (["--wire", "lo"], ["--check", "--wire", "lo"], ["--fence", "--wire", "lo"],
                     ["--fence", "--config", path], ["--check", "--config", self.file(DEVICE.replace("nic0", "lo"), "n")],
                     ["--check", "--config", self.file(DEVICE + 'inside = ["lo"]\n', "i")]):
            self.assertIn("lo is the loopback interface", self.fails(*args))
            self.assert_untouched()

    def test_host_interface_that_is_there_already(self):
        self.host.ns.ip("link add nic0 type veth peer name other")
        self.assertIn("nic0", self.fails("--wire", "wire0"))
        self.assertIn("cygnet_wire0", self.nft(), "it was to be shut, and is")

    def test_usage(self):
        self.assertNotEqual(self.daemon("--wire", "wire0", "--config", "x").returncode, 0)
        self.assertNotEqual(self.daemon("--no-such-option").returncode, 0)
        self.assertIn("cygnetd", self.daemon("--version").stdout)


class Running(Lifecycle):
    def start(self, *args):
        with open(self.host.log_path, "a", encoding="utf-8") as log:
            self.host.daemon = self.host.ns.popen([self.host.cygnet.daemon, *args], stdout=log,
                                                  stderr=log)
        self.host.wait_ready(20 * suite.SLOWNESS)

    def ping_arp(self):
        """Waits until the host answers by nic0: the path through the daemon is up."""
        self.host.ns.ip("addr replace 192.0.2.1/24 dev nic0")
        self.peer.wire.drain()
        arp = (b"\x00\x01\x08\x00\x06\x04\x00\x01" + self.peer.mac + socket.inet_aton("192.0.2.2")
               + bytes(6) + socket.inet_aton("192.0.2.1"))
        self.peer.wire.send(b"\xff" * 6 + self.peer.mac + b"\x08\x06" + arp)
        return self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x06" and f[21] == 2,
                                     timeout=2 * suite.SLOWNESS)

    def test_wire_option_needs_no_file(self):
        self.start("--wire", "wire0")
        device = self.host.show("dev")[0]
        self.assertEqual((device["name"], device["wire"], device["driver"]),
                         ("nic0", "wire0", "sim_nic"))
        self.assertEqual(device["mac"], self.peer.host_mac.hex(":"))
        self.assertTrue(self.ping_arp())
        self.assertIn("esp-hw-offload", self.host.ns.ip("link show nic0").stdout)

    def test_second_daemon_of_a_namespace_fails_and_the_first_continues(self):
        self.host.start()
        self.host.xfrm(STATE)
        before = self.nft(), self.links(), self.host.xfrm("state").stdout
        self.assertIn("cygnet_wire0", before[0])
        for args in (["--wire", "wire0"], ["--config", self.file(DEVICE)],
                     ["--config", self.file(DEVICE.replace("nic0", "nic1"))]):
            self.assertIn("already runs in this network namespace", self.fails(*args))
        self.assertEqual((self.nft(), self.links(), self.host.xfrm("state").stdout), before)
        self.assertIsNone(self.host.daemon.poll())
        self.assertTrue(self.ping_arp())

    def test_terminated_daemon_cleans_up(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.host.start()
            self.host.xfrm(STATE + " offload dev nic0 dir out")
            self.assertIn("nic0", self.links())
            self.assertIn("cygnet_wire0", self.nft())
            began = time.monotonic()
            self.assertEqual(labkit.end(self.host.daemon, number), 0)
            self.assertLess(time.monotonic() - began, 3 * suite.SLOWNESS)
            self.host.daemon = None
            self.assert_shut_until_released()

    def test_killed_daemon_leaves_the_wire_closed_and_starts_again(self):
        self.host.start()
        self.host.xfrm(STATE)
        self.host.daemon.kill()
        self.host.daemon.wait()
        self.assertNotIn("nic0", self.links())
        self.assertIn("cygnet_wire0", self.nft())
        raw = FrameSocket(self.host.ns, "wire0")
        self.addCleanup(raw.close)
        self.peer.wire.drain()
        try:
            raw.send(self.peer.mac + self.peer.host_mac + b"\x88\xb5" + bytes(50))
        except OSError:
            pass
        self.assertEqual(self.peer.wire.frames(lambda f: f[12:14] == b"\x88\xb5", timeout=0.2), [])
        self.host.start()
        self.assertEqual(self.host.xfrm("state").stdout, "")
        self.assertTrue(self.ping_arp())
        self.assertEqual(labkit.end(self.host.daemon), 0)
        self.host.daemon = None
        self.assert_shut_until_released()

    def cygnet(self, *args):
        return self.host.ns.run([self.host.cygnet.command, *args], check=False)

    def test_the_hosts_interface_under_another_name(self):
        self.start("--wire", "wire0")
        self.host.ns.ip("link set nic0 name wan0")
        self.host.xfrm(STATE + " offload dev wan0 dir out")
        self.assertIn("offload requested: crypto dev nic0 dir out", self.host.text("sa"))
        self.assertEqual(self.host.show("sa")[0]["offload_requested"]["device"], "nic0")
        self.assertEqual(self.host.show("dev")[0]["host_side"]["state"], "present")
        for args in (["dev", "wan0"], ["why", "192.0.2.9", "dev", "wan0"]):
            result = self.cygnet(*args)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn('the host calls the interface of device nic0 "wan0" now: write', result.stderr)
        unknown = self.cygnet("ledger", "dev", "nope")
        self.assertNotEqual(unknown.returncode, 0, unknown.stdout)
        self.assertIn('"nope" is not a device or an engine', unknown.stderr)
        self.assertEqual(self.cygnet("ledger", "dev", "nic0").returncode, 0)

    def test_the_hosts_interface_moved_away_and_removed(self):
        away = labkit.Namespace("away")
        self.addCleanup(away.close)
        self.start("--wire", "wire0")
        for state, change, text in (
                ("elsewhere", lambda: self.host.ns.ip(f"link set nic0 netns {away.holder.pid}"),
                 "nic0 is in another network namespace"),
                ("removed", lambda: away.ip("link del nic0"), "nic0 was removed")):
            change()
            self.assertEqual(self.host.show("dev")[0]["host_side"]["state"], state)
            self.assertIn(f"host side {state}: interface {text}", self.host.text("dev"))
            self.assertRegex(self.host.text("metrics"), rf'cygnet_host_side_present{{.*state="{state}"}} 0')
            doctor = self.cygnet("doctor").stdout
            self.assertRegex(doctor, f"FAULT +device: device nic0: interface {text}")
            self.assertIn("restart cygnetd", doctor)
            self.wait_for(lambda what=text: f"device nic0: interface {what}" in self.host.log(), text)

    def test_interface_that_persists(self):
        keys = f'restart_file = "{os.path.join(self.workdir, "persist.restart")}"'
        self.assertIn("persist = true needs daemon.restart_file",
                      self.fails("--config", self.file(DEVICE + "persist = true\n")))
        self.assert_shut_until_released()
        devices = [{"persist": True}]
        self.host.start(devices, keys)
        for command in ("addr add 192.0.2.1/24 dev nic0", "route add 10.2.0.0/16 via 192.0.2.2 dev nic0",
                        "neigh replace 192.0.2.2 dev nic0 lladdr 02:00:00:00:00:02"):
            self.host.ns.ip(command)
        for number in (signal.SIGTERM, signal.SIGKILL):
            labkit.end(self.host.daemon, number)
            self.assertIn("NO-CARRIER", self.host.ns.ip("link show nic0").stdout)
            self.assertIn("dev nic0", self.host.ns.ip("route get 10.2.0.1").stdout)
            self.peer.wire.drain()
            self.host.ns.run("ping -c 1 -W 1 10.2.0.1", check=False)
            self.assertEqual(self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", timeout=0.2), [])
            self.host.start(devices, keys)
            self.assertNotIn("NO-CARRIER", self.host.ns.ip("link show nic0").stdout)
            self.assertIn("192.0.2.1/24", self.host.ns.ip("addr show nic0").stdout)
            self.assertTrue(self.ping_arp())
        labkit.end(self.host.daemon)
        self.assertIn("nic0 exists already", self.fails("--config", self.file(DEVICE)))
        self.host.ns.ip("link del nic0")
        self.host.daemon = None
        self.assert_shut_until_released()

    def test_wire_without_guard(self):
        self.host.start([{"wire_fence": "none"}])
        self.assertEqual(self.nft(), "")
        self.assertIn("wire_fence = none", self.host.log())

    def test_other_namespace_other_daemon(self):
        other = labkit.Host("other", self.host.cygnet, self.workdir)
        self.addCleanup(suite.close_host, other)
        other_peer = Peer(other)
        self.addCleanup(other_peer.close)
        self.host.start()
        other.start()
        self.host.xfrm(STATE)
        self.assertEqual(other.xfrm("state").stdout, "")

    def test_several_workers(self):
        self.host.start(daemon_keys="workers = 3")
        self.assertEqual(self.host.show("stat")["workers"], 3)
        self.assertTrue(self.ping_arp())

    def test_mtu(self):
        self.host.start([{"mtu": 1400}])
        self.assertIn("mtu 1400", self.host.ns.ip("link show nic0").stdout)

    def test_no_core_file_and_no_debugger(self):
        self.host.start()
        with open(f"/proc/{self.host.daemon.pid}/limits", encoding="ascii") as f:
            core = next(line for line in f if line.startswith("Max core file size"))
        self.assertEqual(core.split()[4:6], ["0", "0"])


class Installed(Lifecycle):
    def test_installed_programs_work_from_where_they_are(self):
        if not os.access(os.environ["CYGNET_BUILD"], os.W_OK):
            self.skipTest("cmake --install writes its manifest to the build folder, which belongs to another user")
        prefix = os.path.join(self.workdir, "prefix")
        result = subprocess.run(["cmake", "--install", os.environ["CYGNET_BUILD"], "--prefix", prefix],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        found = {os.path.relpath(os.path.join(folder, name), prefix)
                 for folder, _, names in os.walk(prefix) for name in names}
        for wanted in ("bin/cygnet", "sbin/cygnetd", "libcygnet_xfrm.so", "cygnetd.toml.example"):
            self.assertTrue(any(path.endswith(wanted) for path in found), f"{wanted} in {found}")

        class InPrefix(Cygnet):
            def __init__(self):  # pylint: disable=super-init-not-called
                self.daemon = os.path.join(prefix, "sbin/cygnetd")
                self.command = os.path.join(prefix, "bin/cygnet")

        self.host.cygnet = InPrefix()
        self.host.start()
        self.host.xfrm(STATE)
        self.assertIn("spi 0x00001001", self.host.xfrm("state").stdout)
        self.assertEqual(len(self.host.show("sa")), 1)
        preload = self.host.ns.run([self.host.cygnet.command, "exec", "--", "sh", "-c",
                                    "echo $LD_PRELOAD"]).stdout
        self.assertIn(prefix, preload, "the shim that was built, not the one installed")


if __name__ == "__main__":
    suite.main()
