#!/usr/bin/python3
"""Kernel state shuts the wire to the host's own stack. It survives changes to nftables by others, and
stop, crash and restart of the daemon, until an operator releases the wire by name.
"""

import os
import re
import signal
import unittest

import labkit
import suite
from rawwire import fence_mark

ADDRESS, FAR = "198.51.100.1/24", "198.51.100.2"


class Fence(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if missing := labkit.have("nft", "tc"):
            raise unittest.SkipTest(f"no {', '.join(missing)}")

    def setUp(self):
        super().setUp()
        self.host = labkit.Host("west", suite.cygnet(), self.workdir)
        self.addCleanup(self.host.close)
        self.far = labkit.Namespace("far")
        self.addCleanup(self.far.close)
        self.plug()

    def plug(self, name="wire0"):
        self.host.ns.ip(f"link add {name} type veth peer name far0 netns {self.far.holder.pid}")
        self.host.ns.ip(f"link set {name} up")
        self.far.ip("link set far0 up")
        self.far.ip(f"addr add {FAR}/24 dev far0")

    def is_open(self, name="wire0"):
        """Whether a packet of the host's own stack leaves by the wire."""
        self.host.ns.ip(f"addr add {ADDRESS} dev {name}")
        ping = self.host.ns.run(f"ping -n -c 1 -W 0.3 {FAR}", check=False)
        self.host.ns.ip(f"addr del {ADDRESS} dev {name}")
        return ping.returncode == 0

    def nft(self, command, check=True):
        return self.host.ns.run(["nft", command], check=check).returncode == 0

    def fence(self):
        return self.host.show("dev")[0]["fence"]

    def cygnetd(self, *words, check=True):
        return self.host.ns.run([self.host.cygnet.daemon, "-c", "/nowhere", *words], check=check)

    def kill(self):
        self.host.daemon.send_signal(signal.SIGKILL)
        self.host.daemon.wait()

    def test_others_do_not_open_it(self):
        self.assertTrue(self.is_open(), "before")
        self.host.start()
        for command in ("flush ruleset", "delete table netdev cygnet_wire0",
                        "flush table netdev cygnet_wire0",
                        "delete chain netdev cygnet_wire0 egress",
                        "insert rule netdev cygnet_wire0 egress accept"):
            self.nft(command, check=False)
            self.assertFalse(self.is_open(), command)
        self.host.ns.run("tc qdisc del dev wire0 clsact", check=False)
        self.assertFalse(self.is_open(), "tc")
        fence = self.fence()
        self.assertEqual(fence["state"], "in-force")
        if fence["by_tc"]:
            self.wait_for(lambda: self.fence()["restored"] == 1, "the filters to be restored", 5)
            self.assertIn("restored 1 time", self.host.text("dev"))
            self.assertIn("cygnet_fence_restored_total{device=\"nic0\"} 1", self.host.text("metrics"))
            self.assertIn("had been removed", self.host.log())
        self.wait_for(lambda: not self.fence()["explanation"], "the address to be gone", 5)
        self.assertIn("fence: device nic0, wire wire0: in-force", self.host.text("doctor"))

    def test_a_stopped_daemon_leaves_it_shut(self):
        self.host.start()
        self.host.daemon.send_signal(signal.SIGSTOP)
        self.nft("flush ruleset")
        self.assertFalse(self.is_open(), "SIGSTOP")
        self.host.daemon.send_signal(signal.SIGCONT)
        for end in (self.kill, self.host.stop):
            end()
            self.assertFalse(self.is_open(), end.__name__)
            self.nft("flush ruleset")
            self.assertFalse(self.is_open(), "flushed, with no daemon")
            self.host.start()
        self.assertIn("ready", self.host.log())
        self.host.stop()
        said = re.search(r"stopping; the host's own stack stays shut out of wire wire0 \(of nic0\); to "
                         r"release it: (cygnetd --release wire0)$", self.host.log(), re.M)
        self.assertTrue(said, self.host.log())
        self.host.start()
        refused = self.cygnetd("--release", "wire0", check=False)
        self.assertIn("a cygnetd already runs", refused.stderr)
        self.host.stop()
        self.assertIn("released wire0", self.cygnetd(*said[1].split()[1:]).stdout)
        self.assertTrue(self.is_open(), "released")
        self.assertEqual("", self.host.ns.run("nft list ruleset").stdout.strip())

    def doctor(self):
        result = self.host.ns.run([self.host.cygnet.command, "-j", "doctor"], check=False)
        self.assertEqual(result.returncode, 2, result.stdout)
        self.assertIn("no cygnetd in this network namespace", result.stderr)
        return [row for row in labkit.json.loads(result.stdout) if row["check"] == "fence"]

    def test_the_doctor_without_a_daemon_names_what_is_shut(self):
        none = {"check": "fence", "ok": True, "level": "ok",
                "text": "no wire is shut by Cygnet in this network namespace", "advice": ""}
        self.assertEqual(self.doctor(), [none])
        self.host.start()
        by_tc = self.fence()["by_tc"]
        self.host.stop()
        for flushed in (False, True)[:1 + by_tc]:
            if flushed:
                self.nft("flush ruleset")
            row, = self.doctor()
            self.assertFalse(row["ok"])
            means = "tc" if flushed else "nftables .*" + (", tc" if by_tc else "")
            self.assertRegex(row["text"], rf"^wire wire0 is shut against the host's own stack \({means}\)")
            self.assertFalse(self.is_open())
        command = re.search(r"cygnetd (--release wire0)$", row["advice"])
        self.cygnetd(*command[1].split())
        self.assertTrue(self.is_open())
        self.assertEqual(self.doctor(), [none])

    def test_people_s_addresses_stop_the_start_with_the_wire_shut(self):
        self.host.ns.ip(f"addr add {ADDRESS} dev wire0")
        with self.assertRaisesRegex(labkit.LabError, "still has addresses"):
            self.host.start()
        self.assertNotEqual(self.host.ns.run(f"ping -n -c 1 -W 0.3 {FAR}", check=False).returncode, 0)

    def test_the_kernel_s_addresses_are_removed(self):
        settings = "/proc/sys/net/ipv6/conf/wire0"
        self.host.ns.run(["sh", "-c", f"echo 0 > {settings}/disable_ipv6"])
        self.host.ns.ip("addr add fe80::7/64 dev wire0 nodad")
        # Like an address from which the kernel makes temporary addresses.
        self.host.ns.ip("addr add 2001:db8:77::7/64 dev wire0 nodad mngtmpaddr")
        self.host.start()
        for _ in range(2):
            self.assertEqual("", self.host.ns.run("ip -o addr show dev wire0").stdout)
            values = self.host.ns.run(
                ["sh", "-c", f"cd {settings}; cat accept_ra autoconf addr_gen_mode disable_ipv6"])
            self.assertEqual(values.stdout.split(), ["0", "0", "1", "1"])
            self.host.stop()

    def test_a_late_wire_is_waited_for(self):
        self.host.ns.ip("link del wire0")
        with open(self.host.log_path, "w", encoding="utf-8") as log:
            self.host.daemon = self.host.ns.popen([self.host.cygnet.daemon, "--wire", "wire0"],
                                                  stdout=log, stderr=log)
        self.wait_for(lambda: "waiting for wire0" in self.host.log(), "it to wait", 5)
        self.assertIsNone(self.host.daemon.poll())
        self.plug()
        self.host.wait_ready()
        self.assertFalse(self.is_open())

    def test_one_that_waits_says_at_its_end_what_stays_shut(self):
        self.host.ns.ip("link del wire0")
        with open(self.host.log_path, "w", encoding="utf-8") as log:
            self.host.daemon = self.host.ns.popen([self.host.cygnet.daemon, "--wire", "wire0"],
                                                  stdout=log, stderr=log)
        self.wait_for(lambda: "waiting for wire0" in self.host.log(), "it to wait", 5)
        self.host.stop()
        self.assertRegex(self.host.log(), r"stopped while waiting for wire0; .*: cygnetd --release wire0\n$")

    def test_one_that_comes_back_is_shut(self):
        self.host.start()
        self.host.ns.ip("link del wire0")
        self.wait_for(lambda: "does not exist" in self.fence()["explanation"], "it to be missed", 5)
        self.plug()
        self.assertFalse(self.is_open())
        self.wait_for(lambda: "is back, and shut" in self.host.log(), "it to be seen", 5)
        self.host.ns.ip("link set wire0 down")
        self.host.ns.ip("link set wire0 name other0")
        self.host.ns.ip("link set other0 up")
        self.assertFalse(self.is_open("other0"), "renamed")
        self.wait_for(lambda: "was renamed to other0" in self.host.log(), "it to be seen", 5)

    def lost_events(self):
        """The drops of all netlink sockets of the namespace together."""
        rows = self.host.ns.run("cat /proc/self/net/netlink").stdout.splitlines()[1:]
        return sum(int(row.split()[8]) for row in rows)

    def test_a_wire_that_is_replaced_while_nobody_looks_is_shut(self):
        """A wire with another name and index, after more events than any queue holds."""
        mac = "02:00:00:00:00:77"
        self.host.ns.ip(f"link set wire0 address {mac}")
        self.host.start()
        self.host.daemon.send_signal(signal.SIGSTOP)
        self.host.ns.ip("link del wire0")
        flood = os.path.join(self.workdir, "flood")
        with open(flood, "w", encoding="utf-8") as f:
            f.writelines(f"link set lo mtu {1400 + i}\n" for i in range(2000))
        self.host.ns.ip(f"-batch {flood}")
        self.plug("other0")
        self.host.ns.ip(f"link set other0 address {mac}")
        self.assertTrue(self.lost_events(), "the flood was too small")
        self.host.daemon.send_signal(signal.SIGCONT)
        self.wait_for(lambda: "it became other0" in self.fence()["explanation"], "it to be seen", 5)
        self.assertIn("wire wire0 was renamed to other0: it is shut", self.host.log())
        self.assertFalse(self.is_open("other0"))
        self.assertEqual(self.host.show("dev")[0]["link"]["state"], "gone")
        self.host.daemon.send_signal(signal.SIGSTOP)
        self.host.ns.ip("link del other0")
        self.host.ns.ip(f"-batch {flood}")
        self.plug()
        self.host.daemon.send_signal(signal.SIGCONT)
        self.wait_for(lambda: "is back, and shut" in self.host.log(), "it to be back", 5)
        self.assertFalse(self.is_open())
        self.wait_for(lambda: self.host.show("dev")[0]["link"]["state"] == "up", "it to be taken", 5)

    def marks(self):
        """The marks that the rule and the filter let out; checks that each lets out only one."""
        rules = self.host.ns.run("nft list chain netdev cygnet_wire0 egress").stdout
        by_nft = re.findall(r"mark (0x[0-9a-f]+) accept", rules)
        filters = self.host.ns.run("tc filter show dev wire0 egress").stdout
        self.assertEqual((len(by_nft), filters.count("bytecode")), (1, 1), rules + filters)
        return int(by_nft[0], 16), fence_mark(self.host.ns, "wire0")

    def test_each_start_has_a_mark_of_its_own(self):
        """A mark that another network namespace sets on its packets does not open the fence."""
        seen = set()
        for end in (self.kill, self.host.stop, self.kill):
            self.host.start()
            if not self.fence()["by_tc"]:
                self.skipTest("no tc filters here")
            by_nft, by_tc = self.marks()
            self.assertEqual(by_nft, by_tc)
            self.assertNotIn(by_nft, seen | {0, 0x4379676e})
            seen.add(by_nft)
            end()
            self.assertEqual(self.marks(), (by_nft, by_tc))
        self.assertIn("released wire0", self.cygnetd("--release", "wire0").stdout)
        self.assertNotIn("bytecode", self.host.ns.run("tc filter show dev wire0 egress").stdout)

    def test_a_start_with_a_file_with_a_fault_shuts_what_it_names(self):
        path = os.path.join(self.workdir, "bad.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("[[device]]\nname = \"nic0\"\nwire = \"wire0\"\n[[devise\n")
        daemon = self.host.cygnet.daemon
        check = self.host.ns.run([daemon, "--check", "-c", path], check=False)
        self.assertNotEqual(check.returncode, 0)
        self.assertTrue(self.is_open(), "--check changes nothing")
        start = self.host.ns.run([daemon, "-c", path], check=False)
        self.assertNotEqual(start.returncode, 0)
        self.assertIn("the wires that it names are shut", start.stderr)
        self.assertFalse(self.is_open(), "a file with a fault")
        release = self.host.ns.run([daemon, "--release", "nic0", "-c", path], check=False)
        self.assertIn("no fence of Cygnet's on 'nic0'", release.stderr)
        self.assertIn("the configuration cannot be read", release.stderr)
        self.assertFalse(self.is_open(), "nothing was released")
        self.host.ns.run([daemon, "--release", "wire0", "-c", path])
        self.assertTrue(self.is_open(), "released")
        nowhere = self.cygnetd(check=False)
        self.assertIn("no wire was shut", nowhere.stderr)

    def test_a_release_after_renames_leaves_nothing(self):
        self.host.start()
        for was, now in (("wire0", "wx"), ("wx", "wire0")):
            self.host.ns.ip(f"link set {was} down")
            self.host.ns.ip(f"link set {was} name {now}")
            self.host.ns.ip(f"link set {now} up")
            said = "was renamed to wx" if now == "wx" else "is back, and shut"
            self.wait_for(lambda said=said: said in self.host.log(), "it to be seen", 5)
        self.host.stop()
        self.assertFalse(self.is_open())
        self.cygnetd("--release", "wire0")
        self.assertTrue(self.is_open(), "released")
        self.assertEqual("", self.host.ns.run("nft list ruleset").stdout.strip())

    def test_early_boot(self):
        path = os.path.join(self.workdir, "cygnetd.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("[[device]]\nname = \"nic0\"\nwire = \"wire0\"\n"
                    "[[device]]\nname = \"nic1\"\nwire = \"late0\"\n")
        daemon = self.host.cygnet.daemon
        self.host.ns.run([daemon, "--fence", "-c", path])
        self.assertFalse(self.is_open())
        self.host.ns.ip("link del wire0")
        self.plug("late0")
        self.assertFalse(self.is_open("late0"))
        with open(path, "a", encoding="utf-8") as f:
            f.write("[[devise]]\nwire = \"odd0\"\n")
        self.assertNotEqual(self.host.ns.run([daemon, "--fence", "-c", path], check=False).returncode, 0)
        self.host.ns.ip("link del late0")
        self.plug("odd0")
        self.assertFalse(self.is_open("odd0"), "a file with a fault")


if __name__ == "__main__":
    suite.main()
