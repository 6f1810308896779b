#!/usr/bin/python3
"""Inside interfaces and tunnel interfaces: what a route sends from lan0 into a tunnel, and what comes
out of one for a host behind lan0, skips the gateway's stack. Two tunnels, by if_id and by mark.
"""

import os
import re
import socket
import subprocess

import suite
from insidekit import FAR, FAR6, KEY, LAN, LAN6, MARK, WIRE, InsideCase

# name: (what policies and SAs are selected by, SPI, network behind it)
TUNNELS = {"red": ("if_id 7", 0x7000, FAR), "blue": ("mark 0x2a mask 0xffffffff", 0x2a00, "10.4.0"),
           "bare": (None, None, "10.5.0")}  # without a policy
GONE = "10.6.0"  # behind a tunnel that a test deletes
CONFIG = """[daemon]
[[device]]
name = "nic0"
wire = "wire0"
{inside}
[[tunnel]]
name = "red"
if_id = 7
mtu = 1400
[[tunnel]]
name = "blue"
mark = 0x2a
[[tunnel]]
name = "bare"
if_id = 9
[[tunnel]]
name = "gone"
if_id = 10
"""


def protect(side, name):
    """Everything that enters the tunnel, whatever its addresses."""
    peer = "peer" if side == "gw" else "gw"
    here, there = WIRE[side], WIRE[peer]
    select, spi, _ = TUNNELS[name]
    lines = []
    for any_net in ("0.0.0.0/0", "::/0"):
        for direction, src, dst in (("out", here, there), ("in", there, here), ("fwd", there, here)):
            lines.append(f"policy add src {any_net} dst {any_net} dir {direction} {select} tmpl src {src} "
                         f"dst {dst} proto esp reqid {spi} mode tunnel")
    return lines + states(side, name)


def states(side, name):
    peer = "peer" if side == "gw" else "gw"
    select, spi, _ = TUNNELS[name]
    return [f"state add src {src} dst {dst} proto esp spi {spi + (dst == WIRE['gw'])} reqid {spi} mode tunnel "
            f"flag af-unspec {select} aead rfc4106(gcm(aes)) {KEY} 128 replay-window 32"
            for src, dst in ((WIRE[side], WIRE[peer]), (WIRE[peer], WIRE[side]))]


class InsideTunnels(InsideCase):

    @classmethod
    def start_daemons(cls):
        cls.gw.start(config=CONFIG.format(inside='inside = ["lan0"]'))
        cls.peer.start(config=CONFIG.format(inside=""))

    @classmethod
    def protect_networks(cls):
        for host in (cls.gw, cls.peer):
            suite.xfrm_batch(host, protect(host.name, "red") + protect(host.name, "blue"))
        cls.peer.ns.ip("addr add 10.4.0.2/32 dev lo")
        cls.make_ways()

    @classmethod
    def make_ways(cls):
        for name, (_, _, net) in TUNNELS.items():
            for host in (cls.gw, cls.peer):
                host.ns.ip(f"link set {name} up")
            cls.gw.ns.ip(f"route replace {net}.0/24 dev {name}")
        cls.gw.ns.ip(f"-6 route replace {FAR6}:/64 dev red")
        cls.peer.ns.ip(f"route replace {LAN}.0/24 dev red src {FAR}.2")
        cls.peer.ns.ip(f"-6 route replace {LAN6}:/64 dev red")
        cls.peer.ns.ip("rule del pref 100", check=False)
        cls.peer.ns.ip("rule add pref 100 from 10.4.0.2 lookup 7")
        cls.peer.ns.ip(f"route replace {LAN}.0/24 dev blue table 7")

    def tunnel(self, name, host=None):
        return next(t for t in (host or self.gw).show("tunnel") if t["name"] == name)

    def test_both_directions_skip_the_host(self):
        for target, name in ((f"{FAR}.2", "red"), (f"{FAR6}:2", "red"), ("10.4.0.2", "blue")):
            with self.subTest(target):
                self.learn(target)
                before, tunnels = self.inside(), self.tunnel(name)
                self.assertIn("ttl=63" if "." in target else "icmp_seq", self.ping(target, count=5).stdout)
                after, grown = self.inside(), self.tunnel(name)
                self.assertEqual(self.forwarded(), 0)
                for key in ("rx_packets", "tx_packets"):
                    self.assertGreaterEqual(after[key] - before[key], 5)
                    self.assertGreaterEqual(grown[key] - tunnels[key], 5, f"{key} of {name}")
                self.assertGreaterEqual(grown["rx_bytes"] - tunnels["rx_bytes"], 5 * 84)

    def test_tcp_is_whole_and_nothing_clear_is_on_the_wire(self):
        self.learn()
        wire = os.path.join(self.workdir, "wire.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire, "not esp and not arp and not icmp6")
        self.forwarded()
        self.tcp(f"{FAR}.2")
        self.tcp(f"{FAR6}:2")
        self.assertLess(self.forwarded(), 40, "hardly anything goes by the host")
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertNotIn(b"xxxxxxxx", frames)
        self.assertNotIn(b"yyyyyyyy", frames)

    def test_the_mtu_of_the_tunnel(self):
        """The host cuts what is too large, or tells its sender."""
        self.learn()
        answer = self.ping(f"{FAR}.2", "-Mdo", "-s1380", check=False)
        self.assertRegex(answer.stdout + answer.stderr, rf"From {LAN}.1.*Frag needed.*mtu = 1400")
        self.lan.ip("route flush cache")
        self.ping(f"{FAR}.2", "-Mdont", "-s1380")
        before = self.inside()["rx_packets"]
        self.ping(f"{FAR}.2", "-Mdo", "-s1372", count=3)
        self.assertGreaterEqual(self.inside()["rx_packets"] - before, 3)
        self.gw.ns.ip("link set red mtu 1300")
        self.wait_for(lambda: "mtu = 1300" in self.ping(f"{FAR}.2", "-Mdo", "-s1372", check=False).stdout,
                      "an error with the new MTU")
        self.gw.ns.ip("link set red mtu 1400")
        self.lan.ip("route flush cache")

    def test_a_tunnel_without_a_policy_is_unreachable(self):
        wire = os.path.join(self.workdir, "bare.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire)
        self.learn()
        before = self.inside()["rx_packets"], self.tunnel("bare")["unprotected"]
        answer = self.ping("10.5.0.2", "-p", MARK[:8].hex(), check=False, count=3)
        self.assertRegex(answer.stdout, rf"From {LAN}.1 .*Destination Host Unreachable")
        self.assertGreaterEqual(self.inside()["rx_packets"], before[0] + 3)
        self.assertGreaterEqual(self.tunnel("bare")["unprotected"], before[1] + 3)
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertFalse(MARK[:8] in frames, "plaintext on the wire")
        self.assertNotIn(socket.inet_aton("10.5.0.2"), frames)

    def test_a_route_that_moves_to_the_other_tunnel(self):
        """With traffic: everything is protected by one of them, and the other one carries it then."""
        self.learn()
        wire = os.path.join(self.workdir, "moves.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire, "not esp")
        flood = self.lan.popen(["ping", "-i0.005", "-c600", "-p", MARK[:8].hex(), f"{FAR}.2"],
                               stdout=subprocess.PIPE, text=True)
        self.gw.ns.ip(f"route replace {FAR}.0/24 dev blue")
        before = self.tunnel("blue")["rx_packets"]
        self.wait_for(lambda: self.tunnel("blue")["rx_packets"] > before + 50, "blue to carry it")
        used = self.tunnel("red")["rx_packets"]
        self.wait_for(lambda: self.tunnel("blue")["rx_packets"] > before + 150, "more of it")
        self.assertLess(self.tunnel("red")["rx_packets"], used + 20)
        self.gw.ns.ip(f"route replace {FAR}.0/24 dev red")
        lost = int(re.search(r"(\d+) received", flood.communicate(timeout=30)[0]).group(1))
        self.assertGreaterEqual(lost, 590)
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertFalse(MARK[:8] in frames, "plaintext on the wire")
        self.learn()

    def test_a_tunnel_that_is_down_takes_nothing(self):
        self.learn()
        self.gw.ns.ip("link set red down")
        self.wait_for(lambda: self.taken(f"{FAR}.2") == (0, 0), "the host to decide")
        self.make_ways()
        self.learn()

    def test_flows_spread_over_two_tunnels_are_left_to_the_host(self):
        self.learn()
        self.gw.ns.ip(f"route replace {FAR}.0/24 nexthop dev red nexthop dev blue")
        self.wait_for(lambda: self.taken(f"{FAR}.2")[0] == 0, "the host to decide")
        self.make_ways()
        self.learn()

    def test_routes_and_rules_within_the_network(self):
        self.learn()
        for add in (f"route add blackhole {FAR}.2/32", f"rule add pref 50 from {LAN}.2 to {FAR}.0/24 prohibit",
                    "rule add pref 50 iif lan0 prohibit"):
            with self.subTest(add):
                self.gw.ns.ip(add)
                self.wait_for(lambda: self.taken(f"{FAR}.2") == (0, 0), "the host to decide")
                self.gw.ns.ip(add.replace(" add ", " del "))
                self.learn()

    def test_what_comes_out_goes_where_the_host_would_send_it(self):
        """A rule for what comes in by the tunnel: only its packets are dropped."""
        self.learn()
        self.learn("10.4.0.2")
        self.gw.ns.ip(f"rule add pref 50 iif red to {LAN}.0/24 blackhole")
        self.wait_for(lambda: self.taken(f"{FAR}.2")[1] == 0, "red's answers to be dropped")
        self.learn("10.4.0.2")
        self.gw.ns.ip(f"rule del pref 50 iif red to {LAN}.0/24 blackhole")
        self.learn()

    def test_tables_of_routes_by_incoming_interface(self):
        """lan0 and red have a table of their own; that of all others knows another way."""
        self.gw.ns.ip(f"route replace {FAR}.0/24 dev blue")
        self.gw.ns.ip(f"route replace {FAR}.0/24 dev red table 10")
        self.gw.ns.ip(f"route replace {LAN}.0/24 dev lan0 table 10")
        for name in ("lan0", "red"):
            self.gw.ns.ip(f"rule add pref 60 iif {name} lookup 10")
        self.wait_for(lambda: self.taken(f"{FAR}.2") == (3, 3), "packets to be taken")
        self.learn()
        before = self.tunnel("red")
        self.ping(f"{FAR}.2", count=5)
        for key in ("rx_packets", "tx_packets"):
            self.assertGreaterEqual(self.tunnel("red")[key] - before[key], 5)
        for name in ("lan0", "red"):
            self.gw.ns.ip(f"rule del pref 60 iif {name} lookup 10")
        self.make_ways()
        self.learn()

    def test_without_its_sa_nothing_leaves(self):
        self.learn()
        wire = os.path.join(self.workdir, "no_sa.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire)
        out = next(line for line in states("gw", "red") if f"dst {WIRE['peer']}" in line)
        name = f"state delete src {WIRE['gw']} dst {WIRE['peer']} proto esp spi {0x7000}"
        self.gw.xfrm(name)
        answer = self.ping(f"{FAR}.2", "-p", MARK[:8].hex(), check=False, count=3)
        self.assertIn("100% packet loss", answer.stdout)
        self.peer.xfrm(name)
        for host in (self.gw, self.peer):
            host.xfrm(out)
        self.learn()
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertFalse(MARK[:8] in frames, "plaintext on the wire")

    def test_a_tunnel_that_is_deleted_takes_nothing(self):
        """By an operator: the daemon still has its end."""
        self.gw.ns.ip("link set gone up")
        self.gw.ns.ip(f"route add {GONE}.0/24 dev gone")
        self.learn("10.4.0.2")
        self.wait_for(lambda: self.taken(f"{GONE}.2")[0] == 3, "packets to be taken")
        self.gw.ns.ip("link del gone")
        self.wait_for(lambda: self.taken(f"{GONE}.2")[0] == 0, "the host to decide")
        self.learn("10.4.0.2")


if __name__ == "__main__":
    suite.main()
