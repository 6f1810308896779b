#!/usr/bin/python3
"""Inside interfaces, seen from outside: a host behind lan0 of a gateway, and a peer behind the wire.
Protected packets skip the gateway's stack in both directions; everything else goes by it. The tests of
VLANs need the kernel's module 8021q.
"""

import json
import os
import signal
import socket
import subprocess

import suite
from insidekit import CLEAR, FAR, FAR6, LAN, MARK, VLAN, WIRE, InsideByPolicy

BURST = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(int(sys.argv[2])):
    s.sendto(bytes(8), (sys.argv[1], 9))
"""


class Inside(InsideByPolicy):

    @classmethod
    def start_daemons(cls):
        cls.gw.start(devices=[{"inside": ["lan0", "lan0.7"]}])
        cls.peer.start()

    def test_both_directions_skip_the_host(self):
        for target, name, options in ((f"{FAR}.2", "lan0", ()), (f"{FAR6}:2", "lan0", ()),
                                      (f"{FAR}.2", "lan0.7", ("-I", f"{VLAN}.2"))):
            if name != "lan0" and not self.vlans:
                continue
            with self.subTest(target, interface=name):
                self.learn(target, *options)
                before = self.inside(name)
                self.ping(target, *options, count=5)
                after = self.inside(name)
                self.assertEqual(self.forwarded(), 0)
                self.assertGreaterEqual(after["rx_packets"] - before["rx_packets"], 5)
                self.assertGreaterEqual(after["tx_packets"] - before["tx_packets"], 5)

    def test_why_knows_it(self):
        """By the interface named, and by the source that is behind it."""
        self.learn()
        self.ping(f"{FAR}.2")
        words = ("proto", "icmp", "sport", "8", "dport", "0", "src", f"{LAN}.2")
        for dev in (("dev", "lan0"), ()):
            answer = json.loads(self.gw.ns.run([self.gw.cygnet.command, "-j", "why", f"{FAR}.2", *words, *dev]).stdout)
            self.assertEqual((answer["verdict"], answer["inside"], answer["device"]), ("protected", "lan0", "nic0"))
            self.assertEqual(answer["host_mtu_of"], "the inside interface lan0")
        answer = json.loads(self.gw.ns.run([self.gw.cygnet.command, "-j", "why", CLEAR, *words, "dev", "lan0"]).stdout)
        self.assertEqual(answer["verdict"], "clear")
        self.assertNotIn("inside", answer)

    def test_a_hop_is_counted_in_both_directions(self):
        self.learn()
        self.assertIn("ttl=63", self.ping(f"{FAR}.2").stdout)
        answer = self.ping(f"{FAR}.2", "-t1", check=False)
        self.assertIn(f"From {LAN}.1", answer.stdout)
        self.assertIn("Time to live exceeded", answer.stdout)
        self.ping(f"{FAR}.2", "-t2")

    def test_what_no_policy_protects_goes_by_the_host(self):
        self.learn()
        self.lan.run(["ping", "-c3", "-i0.1", "-W3", CLEAR])
        self.assertGreaterEqual(self.forwarded(), 3)

    def test_tcp_is_whole_and_nothing_clear_is_on_the_wire(self):
        """The host's checksums are unfinished and its packets too large at first: it learns the path
        MTU from the gateway."""
        self.learn()
        wire = os.path.join(self.workdir, "wire.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire, "not esp and not arp and not icmp6")
        before = self.inside()
        self.forwarded()
        self.tcp(f"{FAR}.2")
        self.tcp(f"{FAR6}:2")
        self.assertLess(self.forwarded(), 20, "hardly anything goes by the host")
        self.assertGreater(self.inside()["rx_bytes"] - before["rx_bytes"], 3000000)
        self.assertGreater(self.inside()["tx_bytes"] - before["tx_bytes"], 3000000)
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertNotIn(b"xxxxxxxx", frames)
        self.assertNotIn(b"yyyyyyyy", frames)
        route = self.lan.ip(f"route get {FAR}.2").stdout
        self.assertRegex(route, r"mtu 1[34]\d\d")

    def test_too_big_is_answered_by_the_gateway(self):
        self.learn()
        self.lan.ip("route flush cache")
        answer = self.ping(f"{FAR}.2", "-Mdo", "-s1472", check=False)
        self.assertRegex(answer.stdout + answer.stderr, rf"From {LAN}.1.*Frag needed.*mtu = 1[34]\d\d")
        self.lan.ip("route flush cache")

    def test_a_policy_that_goes_leaves_nothing_clear(self):
        self.learn()
        wire = os.path.join(self.workdir, "policy.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire, "icmp")
        policy = f"src {LAN}.0/24 dst {FAR}.0/24 dir out"
        flood = self.lan.popen(["ping", "-i0.002", "-c1000", "-W1", "-p", MARK[:8].hex(), f"{FAR}.2"],
                               stdout=subprocess.DEVNULL)
        self.gw.xfrm(f"policy update {policy} action block")
        self.wait_for(lambda: self.gw.drops().get("out-policy-block"), "packets to be blocked")
        flood.wait(60 * suite.SLOWNESS)
        self.gw.xfrm(f"policy update {policy} tmpl src {WIRE['gw']} dst {WIRE['peer']} proto esp reqid 1 "
                     "mode tunnel")
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertNotIn(MARK[:8], frames)
        self.learn()

    def test_a_port_policy_is_left_to_the_host(self):
        """A policy that lets some packets of the network pass: no packet of it is taken."""
        self.learn()
        policy = f"src {LAN}.0/24 dst {FAR}.0/24 proto udp dport 9 dir out priority 0"
        before = self.inside()["prefixes"]
        self.gw.xfrm(f"policy update src {LAN}.0/24 dst {FAR}.0/24 dir out priority 9 tmpl src {WIRE['gw']} "
                     f"dst {WIRE['peer']} proto esp reqid 1 mode tunnel")
        self.gw.xfrm(f"policy add {policy}")
        self.wait_for(lambda: self.inside()["prefixes"] == before - 1, "the prefix to be left")
        self.assertGreaterEqual(self.inside()["left_to_host"], 1)
        self.forwarded()
        self.ping(f"{FAR}.2", count=2)
        self.assertGreaterEqual(self.forwarded(), 2)
        self.gw.xfrm(f"policy delete {policy.replace(' priority 0', '')}")
        self.learn()

    def test_a_source_is_accepted_from_its_own_interface_only(self):
        """The address of a VLAN's host, without the tag: the kernel gets the packet."""
        if not self.vlans:
            self.skipTest("the kernel has no VLANs")
        self.learn(f"{FAR}.2", "-I", f"{VLAN}.2")
        before = self.inside(), self.inside("lan0.7")
        self.lan.ip(f"route replace default via {LAN}.1 dev eth0 table 7")
        self.ping(f"{FAR}.2", "-I", f"{VLAN}.2", check=False)
        self.lan.ip(f"route replace default via {VLAN}.1 table 7")
        after = self.inside(), self.inside("lan0.7")
        self.assertEqual([a["rx_packets"] for a in before], [a["rx_packets"] for a in after])

    def test_a_route_that_blocks_within_a_protected_network(self):
        self.learn()
        for kind in ("blackhole", "prohibit", "unreachable"):
            with self.subTest(kind):
                self.gw.ns.ip(f"route add {kind} {FAR}.2/32")
                self.wait_for(lambda: self.taken(f"{FAR}.2") == (0, 0), "the host to decide")
                self.gw.ns.ip(f"route del {kind} {FAR}.2/32")
                self.learn()

    def test_a_network_that_a_route_gives_to_the_host_itself(self):
        self.learn()
        self.gw.ns.ip(f"route add local {FAR}.0/30 dev lo")
        self.wait_for(lambda: self.taken(f"{FAR}.2")[0] == 0, "the host to get its packets")
        self.gw.ns.ip(f"route del local {FAR}.0/30 dev lo")
        self.learn()

    def test_a_rule_for_one_host_of_the_lan(self):
        """Policy treats both hosts alike, the host's routing does not."""
        self.lan.ip(f"addr add {LAN}.3/24 dev eth0")
        self.addCleanup(self.lan.ip, f"addr del {LAN}.3/24 dev eth0")
        self.learn()
        self.learn(f"{FAR}.2", "-I", f"{LAN}.3")
        self.gw.ns.ip(f"rule add pref 50 from {LAN}.3 prohibit")
        self.wait_for(lambda: self.taken(f"{FAR}.2", "-I", f"{LAN}.3") == (0, 0), "the rule to hold")
        self.learn()
        self.gw.ns.ip("rule del pref 50")

    def test_a_rule_by_protocol_leaves_everything_to_the_host(self):
        self.learn()
        self.gw.ns.ip("rule add pref 50 ipproto icmp prohibit")
        self.wait_for(lambda: self.taken(f"{FAR}.2") == (0, 0), "the rule to hold")
        self.assertIn("selects by protocol", self.inside()["explanation"])
        self.gw.ns.ip("rule del pref 50 ipproto icmp prohibit")
        self.learn()

    def test_the_mtu_of_a_route(self):
        """To the far network, and to a host of the lan: the host answers what exceeds it, the rest skips
        it."""
        self.learn()
        self.gw.ns.ip(f"route replace {FAR}.0/24 via {WIRE['peer']} mtu 1200")
        self.wait_for(lambda: "mtu = 1200" in self.ping(f"{FAR}.2", "-Mdo", "-s1250", check=False).stdout,
                      "an error with the route's MTU")
        before = self.inside()["rx_packets"]
        self.ping(f"{FAR}.2", "-Mdo", "-s1172", count=3)
        self.assertGreaterEqual(self.inside()["rx_packets"] - before, 3, "1200 bytes are taken")
        self.ping(f"{FAR}.2", "-Mdont", "-s1250")
        self.gw.ns.ip(f"route replace {FAR}.0/24 via {WIRE['peer']}")
        self.lan.ip("route flush cache")
        self.learn()
        self.gw.ns.ip(f"route add {LAN}.2/32 dev lan0 mtu 1200")
        self.wait_for(lambda: "mtu = 1200" in self.peer.ns.run(
            ["ping", "-c1", "-W1", "-Mdo", "-s1250", "-I", f"{FAR}.2", f"{LAN}.2"], check=False).stdout,
                      "an error with the MTU of the host's route")
        self.learn()
        self.gw.ns.ip(f"route del {LAN}.2/32 dev lan0")
        self.peer.ns.ip("route flush cache")
        self.learn()

    def test_a_port_of_a_bridge_is_the_bridges(self):
        self.learn()
        self.gw.ns.ip("link add br0 type bridge")
        self.gw.ns.ip("link set lan0 master br0")
        self.wait_for(lambda: self.inside()["explanation"].startswith("it is a port of br0"), "a reason")
        self.assertEqual(self.taken(f"{FAR}.2")[0], 0)
        self.gw.ns.ip("link del br0")
        self.learn()

    def test_an_mtu_that_is_too_large_is_named(self):
        self.learn()
        self.gw.ns.ip("link set lan0 mtu 5000")
        self.wait_for(lambda: "MTU 5000 of lan0 is above 2222" in self.inside()["explanation"], "a reason")
        self.ping(f"{FAR}.2")
        self.gw.ns.ip("link set lan0 mtu 1500")
        self.learn()

    def test_an_interface_that_comes_back(self):
        self.learn()
        self.gw.ns.ip("link del lan0")
        self.wait_for(lambda: self.inside()["state"] == "gone", "lan0 to be gone")
        self.assertEqual(self.inside()["hosts"], 0)
        self.make_lan()
        self.wait_for(lambda: self.inside()["state"] == "native", "lan0 to be opened")
        self.learn()
        self.burst(600)
        self.tcp(f"{FAR}.2")

    def burst(self, packets):
        """None is lost while no worker runs: the kernel has room for them (682 buffers here)."""
        before = self.inside()
        self.gw.daemon.send_signal(signal.SIGSTOP)
        try:
            self.lan.run(["python3", "-c", BURST, f"{FAR}.2", str(packets)])
        finally:
            self.gw.daemon.send_signal(signal.SIGCONT)
        taken = lambda: self.inside()["rx_packets"] - before["rx_packets"]
        self.wait_for(lambda: taken() >= packets, f"{packets} packets, not {taken()}")
        self.assertEqual(self.inside()["rx_dropped"], before["rx_dropped"])


if __name__ == "__main__":
    suite.main()
