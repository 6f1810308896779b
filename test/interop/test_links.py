#!/usr/bin/python3
"""Wires that lose their carrier, change their size, refuse frames, go and come back while the daemon
runs. Two hosts on one wire, a cygnetd in each, and a tunnel between them."""

import json
import re
import signal
import time

import labkit
import suite
from rawwire import FrameSocket
from test_size import Pair


class Links(Pair):
    def setUp(self):
        if "wire0" not in self.west.ns.ip("-o link").stdout:  # an earlier test failed
            labkit.connect(self.west, self.east)
        for host in (self.west, self.east):
            host.ns.ip("link set wire0 up mtu 1500")
        self.link_is("up", self.west)
        self.link_is("up", self.east)
        self.wire.close()  # the address does not outlive its interface
        type(self).wire = FrameSocket(self.west.ns, "wire0")
        self.use("tunnel", 4, offload=True)

    # --- What the operator sees ---

    def link_is(self, state, host=None):
        host = host or self.west
        return self.wait_for(lambda: host.show("dev")[0]["link"]["state"] == state, f"link {state}")

    def host_link(self, host=None):
        return (host or self.west).ns.ip("-o link show nic0").stdout

    def carrier(self, there, host=None):
        self.wait_for(lambda: ("NO-CARRIER" not in self.host_link(host)) == there,
                      f"carrier of nic0: {there}")

    def placements(self):
        return {half["effective"] + " " + half["reason"] for sa in self.west.show("sa")
                for half in sa["placements"]}

    def log_has(self, text, since=0):
        self.wait_for(lambda: text in self.west.log()[since:], text)

    def doctor(self):
        return next(row for row in self.west_doctor() if row["check"] == "link")

    def west_doctor(self):
        result = self.west.ns.run([self.west.cygnet.command, "-j", "doctor"], check=False)
        return json.loads(result.stdout)

    def sent(self):
        return self.west.show("dev")[0]["wire_stats"]["tx_packets"]

    # --- Cases ---

    def test_the_carrier_of_the_wire_is_the_host_interfaces(self):
        """`ip link set … down` at either end: link-down, software, no carrier, and back."""
        self.assertEqual(self.placements(), {"crypto requested"})
        for name, host, state, text in (
                ("own end", self.west, "down", "wire wire0 is set down"),
                ("far end", self.east, "no-carrier", "wire wire0 has no carrier")):
            with self.subTest(name):
                since = len(self.west.log())
                changes = self.west.show("dev")[0]["link"]["changes"]
                host.ns.ip("link set wire0 down")
                self.link_is(state)
                self.carrier(False)
                self.wait_for(lambda: self.placements() == {"software link-down"}, "software")
                self.assertEqual(self.west.show("dev")[0]["state"], "link-down")
                self.log_has("device nic0: " + text, since)
                self.assertIn(text, self.west.text("dev"))
                self.assertIn(text, self.doctor()["text"])
                self.assertIs(self.doctor()["ok"], False)
                self.assertRegex(self.west.text("metrics"),
                                 rf'cygnet_link_up{{.*state="{state}"}} 0')
                host.ns.ip("link set wire0 up")
                self.link_is("up")
                self.carrier(True)
                self.wait_for(lambda: self.placements() == {"crypto returned"}, "back on the device")
                self.wait_for(self.reached, "an answer")
                self.log_has("device nic0: wire wire0 is up", since)
                self.assertEqual(self.west.show("dev")[0]["link"]["changes"], changes + 2)
                self.assertIs(self.doctor()["ok"], True)

    def test_without_a_far_end_nothing_counts_as_sent(self):
        self.east.ns.ip("link set wire0 down")
        self.link_is("no-carrier")
        sent, before = self.sent(), suite.counters(self.west)
        self.ping(0, "-c 3")
        self.assertEqual(self.sent(), sent)
        self.assertNotIn("port-refused", suite.difference(before, suite.counters(self.west)))

    def test_the_size_of_the_wire_is_the_paths(self):
        """The wire's MTU shrinks while the daemon runs: too large packets are answered, not lost."""
        full = self.explained_mtu()
        self.ping(3, f"-M do -c 3 -s {full - 28}")
        for host in (self.west, self.east):
            host.ns.ip("link set wire0 mtu 1400")
            self.wait_for(lambda h=host: " mtu 1400 " in self.host_link(h), "nic0's MTU")
        narrow = self.explained_mtu()
        self.assertLess(narrow, full)
        self.assertGreaterEqual(narrow, full - 104)
        before = suite.counters(self.west)
        self.assertEqual(self.told_mtu(f"-s {narrow - 27}"), narrow)
        self.ping(3, f"-M do -c 3 -s {narrow - 28}")
        self.ping(3, "-M dont -c 3 -s 3000")
        self.assert_counted(self.west, before, {"out-too-big": 1})
        for host in (self.west, self.east):
            host.ns.ip("link set wire0 mtu 1500")
            self.wait_for(lambda h=host: " mtu 1500 " in self.host_link(h), "nic0's MTU")
        self.west.ns.ip("route flush cache")
        self.ping(3, f"-M do -c 3 -s {full - 28}")

    def test_a_wire_that_becomes_a_jumbo_one_meanwhile(self):
        """The daemon has no packets for jumbo frames: the host's interface stays narrow, and the operator
        reads why."""
        for host in (self.west, self.east):
            host.ns.ip("link set wire0 mtu 9000")
            self.wait_for(lambda h=host: " mtu 2226 " in self.host_link(h), "nic0's MTU")
        row = self.doctor()
        self.assertIs(row["ok"], False)
        self.assertIn("that of nic0 stays at 2226", row["text"])
        self.assertIn("restart it", row["text"])
        self.log_has("the MTU of wire wire0 is 9000, but that of nic0 stays at 2226")
        self.ping(3, f"-M do -c 3 -s {2226 - 28}")  # its ESP packet fits the wire
        self.east.ns.ip("link set nic0 mtu 9000")  # an operator helps himself
        self.west.ns.ip("link set nic0 mtu 9000")
        self.ping(3, "-M do -c 3 -s 8000")
        for host in (self.west, self.east):
            host.ns.ip("link set wire0 mtu 1500")
            self.wait_for(lambda h=host: " mtu 1500 " in self.host_link(h), "nic0's MTU")
        self.assertIs(self.doctor()["ok"], True)

    def test_what_the_far_end_refuses_holds_up_nothing(self):
        """The peer's interface is narrower: only large frames are lost, with a reason."""
        self.east.ns.ip("link set wire0 mtu 1300")
        before = suite.counters(self.west)
        full = self.explained_mtu()
        self.ping(0, f"-M do -c 2 -s {full - 28}")
        began = time.monotonic()
        self.ping(20, "-c 20 -s 56")
        self.assertLess(time.monotonic() - began, 3 * suite.SLOWNESS)
        self.assert_counted(self.west, before, {"port-refused": 2})
        self.assertIn("port-refused", self.west.text("stat"))

    def test_a_wire_that_is_deleted_and_created_again(self):
        for turn in range(2):
            since = len(self.west.log())
            self.west.ns.ip("link del wire0")
            self.link_is("gone")
            self.carrier(False)
            self.log_has("device nic0: wire wire0 is gone", since)
            self.assertIs(self.doctor()["ok"], False)
            before = suite.counters(self.west)
            labkit.connect(self.west, self.east)
            for host in (self.west, self.east):
                self.link_is("up", host)
                self.carrier(True, host)
                self.assertIn("wire0", host.ns.run("nft list ruleset").stdout)
                address = re.search(r"link/ether (\S+)", host.ns.ip("link show wire0").stdout).group(1)
                self.assertIn(address, self.host_link(host))
            self.wait_for(self.reached, "an answer")
            self.assertEqual(self.placements(), {"crypto returned"}, "the SAs are the ones of before")
            self.ping(5, "-c 5 -s 1000")
            self.assertNotIn("port-refused", suite.difference(before, suite.counters(self.west)))

    def test_one_that_came_back_is_shut_before_it_is_up(self):
        """With an address on the wire the host would bypass Cygnet: cygnetd does not use the wire until
        the address is gone, and nothing leaves by it meanwhile."""
        self.west.ns.ip("link del wire0")
        self.link_is("gone")
        self.west.daemon.send_signal(signal.SIGSTOP)  # the address exists before the daemon checks
        labkit.connect(self.west, self.east)
        self.west.ns.ip("addr add 203.0.113.1/24 dev wire0")
        self.west.daemon.send_signal(signal.SIGCONT)
        self.link_is("barred")
        self.assertIn("203.0.113.1", self.doctor()["text"])
        self.assertIn("nic0", self.doctor()["text"])
        self.carrier(False)
        self.assertIn("wire0", self.west.ns.run("nft list ruleset").stdout)
        self.west.ns.ip("addr flush dev wire0")
        self.link_is("up")
        self.wait_for(self.reached, "an answer")

    def test_a_wire_that_is_renamed_is_not_used(self):
        self.west.ns.ip("link set wire0 down")
        self.west.ns.ip("link set wire0 name other0")
        self.link_is("gone")
        self.carrier(False)
        self.west.ns.ip("link set other0 name wire0")
        self.west.ns.ip("link set wire0 up")
        self.link_is("up")
        self.wait_for(self.reached, "an answer")


class Memory(suite.Case):
    def test_pools_that_do_not_fit_are_named(self):
        if suite.SLOWNESS > 1:
            self.skipTest("a sanitizer needs the whole address space")
        host = self.make_host()
        host.ns.ip("link add wire0 type veth peer name far0")
        path = f"{self.workdir}/large.toml"
        with open(path, "w", encoding="utf-8") as f:
            f.write('[pools]\nsmall = 1048576\n[[device]]\nname = "nic0"\nwire = "wire0"\n')
        for check in ([], ["--check"]):
            result = host.ns.run(["prlimit", "--as=2000000000", host.cygnet.daemon, "--config", path,
                                  *check], check=False)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertRegex(result.stderr, r"pools.small = 1048576, pools.large = 0, pools.jumbo = 256"
                                            r".*: \d+ MiB of memory are needed.*address space.*is 1908 MiB")

    def test_jumbo_frames_have_packets_where_an_mtu_needs_them(self):
        host = self.make_host()
        path = f"{self.workdir}/jumbo.toml"

        def check(wire_mtu, pools="", keys=""):
            host.ns.ip(f"link set wire0 mtu {wire_mtu}")
            with open(path, "w", encoding="utf-8") as f:
                f.write(f'[pools]\n{pools}\n[[device]]\nname = "nic0"\nwire = "wire0"\n{keys}\n')
            result = host.ns.run([host.cygnet.daemon, "--config", path, "--check"], check=False)
            return result.stdout + result.stderr

        host.ns.ip("link add wire0 type veth peer name far0")
        self.assertRegex(check(1500), r"# memory: \d+ MiB: packets small 50 MiB \(16384\), large 0 MiB "
                                      r"\(0\), jumbo 17 MiB \(256\); flow caches \d+ MiB")
        self.assertIn("large 41 MiB (4096)", check(9000))
        self.assertIn("large 41 MiB (4096)", check(1500, keys="mtu = 9216"))
        self.assertIn("large 3 MiB (256)", check(9000, "large = 256"))
        self.assertIn("large 0 MiB (0)", check(9000, keys="mtu = 1500"))
        self.assertIn("device nic0: mtu = 9000 needs pools.large, which is 0",
                      check(1500, "large = 0", "mtu = 9000"))
        with open(path, "w", encoding="utf-8") as f:
            f.write('[pools]\nlarge = 0\n[[device]]\nname = "nic0"\nwire = "wire0"\n'
                    'driver = "af_packet"\n')
        host.ns.ip("link set wire0 mtu 9000")
        result = host.ns.run([host.cygnet.daemon, "--config", path], check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("MTU 9000 is above 2226, because pools.large is 0: set it (10 KiB each), or set "
                      "mtu = 1500", result.stderr)


if __name__ == "__main__":
    suite.main()
