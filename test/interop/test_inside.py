#!/usr/bin/python3
"""Inside interfaces, seen from outside: a host behind lan0 of a gateway, and a peer behind the wire.
Protected packets skip the gateway's stack in both directions; everything else goes by it. The tests of
VLANs need the kernel's module 8021q.
"""

import os
import socket
import subprocess
import unittest

import suite
from labkit import Namespace, connect, in_user_namespace

WIRE = {"gw": "192.0.2.1", "peer": "192.0.2.2"}
# Inner networks of each family: behind lan0, behind VLAN 7 of it, behind the peer.
LAN, VLAN, FAR = "10.1.0", "10.7.0", "10.2.0"
LAN6, FAR6 = "2001:db8:1:", "2001:db8:2:"
CLEAR = "10.3.0.2"  # of the peer, without a policy
KEY = "0x" + "4b" * 20
MARK = b"plaintext-of-the-lan"
PAIRS = ((f"{LAN}.0/24", f"{FAR}.0/24"), (f"{VLAN}.0/24", f"{FAR}.0/24"),
         (f"{LAN6}:/64", f"{FAR6}:/64"))

SERVER = """import socket,sys
six=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s=socket.create_server((sys.argv[1],5000),family=six)
print('up',flush=True); c,_=s.accept(); n=0
while True:
  d=c.recv(1<<16)
  if not d: break
  n+=len(d)
c.sendall(b'y'*n); c.close(); print(n,flush=True)
"""
CLIENT = """import socket,sys
s=socket.create_connection((sys.argv[1],5000),timeout=20); s.sendall(b'x'*3000000)
s.shutdown(socket.SHUT_WR); n=0
while True:
  d=s.recv(1<<16)
  if not d: break
  n+=len(d)
print(n)
"""


def protect(side):
    peer = "peer" if side == "gw" else "gw"
    here, there = WIRE[side], WIRE[peer]
    lines = []
    for near, far in PAIRS:
        near, far = (near, far) if side == "gw" else (far, near)
        lines.append(f"policy add src {near} dst {far} dir out tmpl src {here} dst {there} proto esp "
                     "reqid 1 mode tunnel")
        for direction in ("in", "fwd"):
            lines.append(f"policy add src {far} dst {near} dir {direction} tmpl src {there} dst {here} "
                         "proto esp reqid 1 mode tunnel")
    for src, dst in ((here, there), (there, here)):
        lines.append(f"state add src {src} dst {dst} proto esp spi {0x1000 + (dst == WIRE['gw'])} reqid 1 "
                     f"mode tunnel flag af-unspec aead rfc4106(gcm(aes)) {KEY} 128 replay-window 32")
    return lines


class Inside(suite.Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if in_user_namespace():
            raise unittest.SkipTest("the kernel loads no XDP program from a user namespace")
        cls.gw, cls.peer = cls.make_host("gw"), cls.make_host("peer")
        cls.lan = cls.own(Namespace("lan"))
        connect(cls.gw, cls.peer)
        for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                        "net.ipv4.icmp_ratelimit=0"):
            cls.gw.ns.run(["sysctl", "-qw", setting])
        cls.make_lan()
        cls.gw.start(devices=[{"inside": ["lan0", "lan0.7"]}])
        cls.peer.start()
        for host in (cls.gw, cls.peer):
            host.ns.ip(f"addr add {WIRE[host.name]}/24 dev nic0")
            suite.xfrm_batch(host, protect(host.name))
        for address in (f"{FAR}.2/32", f"{CLEAR}/32"):
            cls.peer.ns.ip(f"addr add {address} dev lo")
        cls.peer.ns.ip(f"-6 addr add {FAR6}:2/128 dev lo")
        for net in (LAN, VLAN):
            cls.peer.ns.ip(f"route add {net}.0/24 via {WIRE['gw']} src {FAR}.2")
        for net in (f"{FAR}.0/24", CLEAR):
            cls.gw.ns.ip(f"route add {net} via {WIRE['peer']}")
        for host, net, last in ((cls.gw, FAR6, 1), (cls.peer, LAN6, 2)):
            host.ns.ip(f"-6 addr add 2001:db8::{last}/64 dev nic0 nodad")
            host.ns.ip(f"-6 route add {net}:/64 via 2001:db8::{3 - last}")
        cls.count_forwarded()
        cls.gw.ns.run(["ping", "-c1", "-W5", WIRE["peer"]])

    @classmethod
    def make_lan(cls):
        """lan0 with VLAN 7, and the host's end of both."""
        cls.gw.ns.ip(f"link add lan0 type veth peer name eth0 netns {cls.lan.holder.pid}")
        cls.lan.run(["ethtool", "-K", "eth0", "txvlan", "off"])
        for ns, name, last in ((cls.gw.ns, "lan0", 1), (cls.lan, "eth0", 2)):
            ns.ip(f"link set {name} up")
            ns.ip(f"addr add {LAN}.{last}/24 dev {name}")
            ns.ip(f"-6 addr add {LAN6}:{last}/64 dev {name} nodad")
        cls.lan.ip(f"route replace default via {LAN}.1 src {LAN}.2")
        cls.lan.ip(f"-6 route replace default via {LAN6}:1")
        cls.make_vlan()

    @classmethod
    def make_vlan(cls):
        for ns, name, last in ((cls.gw.ns, "lan0", 1), (cls.lan, "eth0", 2)):
            made = ns.ip(f"link add link {name} name {name}.7 type vlan id 7", check=False)
            cls.vlans = made.returncode == 0
            if not cls.vlans:
                return
            ns.ip(f"link set {name}.7 up")
            ns.ip(f"addr add {VLAN}.{last}/24 dev {name}.7")
        cls.lan.ip("rule del pref 100", check=False)
        cls.lan.ip(f"rule add pref 100 from {VLAN}.0/24 lookup 7")
        cls.lan.ip(f"route replace default via {VLAN}.1 table 7")

    @classmethod
    def count_forwarded(cls):
        rules = os.path.join(cls.workdir, "count.nft")
        with open(rules, "w", encoding="ascii") as f:
            f.write('table inet t {\n counter seen {}\n chain f {\n type filter hook forward priority 0\n'
                    ' counter name "seen"\n }\n}\n')
        cls.gw.ns.run(["nft", "-f", rules])

    def forwarded(self):
        """Packets that the host has forwarded since the last call."""
        text = self.gw.ns.run(["nft", "reset", "counter", "inet", "t", "seen"]).stdout
        return int(text.split("packets")[1].split()[0])

    def inside(self, name="lan0"):
        return next(i for i in self.gw.show("dev")[0]["inside"] if i["name"] == name)

    def ping(self, target, *options, check=True, count=1):
        return self.lan.run(["ping", f"-c{count}", "-i0.1", "-W3", *options, target], check=check)

    def learn(self, target=f"{FAR}.2", *options):
        """Packets in both directions until neither goes by the host any more."""
        def all_inside():
            self.ping(target, *options, check=False)
            self.forwarded()
            done = self.ping(target, *options, check=False).returncode == 0
            return self.forwarded() == 0 and done
        self.wait_for(all_inside, f"{target} to be reached past the host's stack")

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

    def tcp(self, target):
        server = self.peer.ns.popen(["python3", "-c", SERVER, target], stdout=subprocess.PIPE, text=True)
        self.assertEqual(server.stdout.readline(), "up\n")
        out = self.lan.run(["python3", "-c", CLIENT, target]).stdout
        self.assertEqual(out, "3000000\n")
        self.assertEqual(server.stdout.readline(), "3000000\n")
        server.wait(5)
        server.stdout.close()

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
        flood = self.lan.popen(["ping", "-i0.002", "-c1000", "-p", MARK[:8].hex(), f"{FAR}.2"],
                               stdout=subprocess.DEVNULL)
        self.gw.xfrm(f"policy update {policy} action block")
        self.wait_for(lambda: self.gw.drops().get("out-policy-block"), "packets to be blocked")
        flood.wait(20)
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

    def taken(self, target, *options):
        """How many of three packets are taken from lan0, and how many answers arrive."""
        before = self.inside()["rx_packets"]
        answer = self.ping(target, *options, check=False, count=3).stdout
        return self.inside()["rx_packets"] - before, int(answer.split(" received")[0].split()[-1])

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
        """To the far network, and to a host of the lan: the host's stack keeps it."""
        self.learn()
        self.gw.ns.ip(f"route replace {FAR}.0/24 via {WIRE['peer']} mtu 1200")
        self.wait_for(lambda: "mtu = 1200" in self.ping(f"{FAR}.2", "-Mdo", "-s1250", check=False).stdout,
                      "an error with the route's MTU")
        self.gw.ns.ip(f"route replace {FAR}.0/24 via {WIRE['peer']}")
        self.lan.ip("route flush cache")
        self.learn()
        self.gw.ns.ip(f"route add {LAN}.2/32 dev lan0 mtu 1200")
        self.wait_for(lambda: "mtu = 1200" in self.peer.ns.run(
            ["ping", "-c1", "-W1", "-Mdo", "-s1250", "-I", f"{FAR}.2", f"{LAN}.2"], check=False).stdout,
                      "an error with the MTU of the host's route")
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
        self.tcp(f"{FAR}.2")


if __name__ == "__main__":
    suite.main()
