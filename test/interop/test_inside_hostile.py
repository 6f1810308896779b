#!/usr/bin/python3
"""What an attacker behind lan0 sends, and what an operator does to the interface while traffic flows:
the program takes only plain packets of known hosts, and nothing is in clear on the wire.
"""

import os
import random
import re
import socket
import subprocess
import threading

from scapy.all import GRE, IP, TCP, UDP, Dot1Q, Ether, IPOption_RR, IPv6, IPv6ExtHdrHopByHop, Raw, raw

import suite
from insidekit import FAR, FAR6, LAN, LAN6, MARK, WIRE, InsideByPolicy
from rawwire import FrameSocket, inside

TARGET = f"{FAR}.2"
OWN = f"{FAR}.9"  # of the gateway, within the protected network


class InsideHostile(InsideByPolicy):

    @classmethod
    def start_daemons(cls):
        cls.gw.start(devices=[{"inside": ["lan0"]}], daemon_keys="workers = 2")
        cls.peer.start()

    @classmethod
    def protect_networks(cls):
        """What no policy protects does not leave for the protected networks either."""
        super().protect_networks()
        suite.xfrm_batch(cls.gw, [f"policy add src {any_net} dst {net} dir out priority 9000 action block"
                                  for any_net, net in (("0.0.0.0/0", f"{FAR}.0/24"), ("::/0", f"{FAR6}:/64"))])

    def setUp(self):
        super().setUp()
        self.gw.ns.ip(f"addr replace {OWN}/32 dev lo")
        self.learn()
        self.learn(f"{FAR6}:2")
        self.wire = os.path.join(self.workdir, f"{self.id()}.pcap")
        self.capture = suite.start_capture(self.gw.ns, "wire0", self.wire)
        self.lan0, self.eth0 = self.mac(self.gw.ns, "lan0"), self.mac(self.lan, "eth0")
        self.socket = FrameSocket(self.lan, "eth0")

    def tearDown(self):
        self.socket.close()
        self.gw.ns.run(["ping", "-c1", "-W5", WIRE["peer"]])
        frames = suite.end_capture(self.capture, self.wire, socket.inet_aton(WIRE["peer"]))
        self.assertFalse(MARK in frames, "plaintext on the wire")
        super().tearDown()

    @staticmethod
    def mac(namespace, name):
        return re.search(r"link/ether (\S+)", namespace.ip(f"link show {name}").stdout).group(1)

    def frame(self, packet, dst=None):
        return Ether(src=self.eth0, dst=dst or self.lan0) / packet

    def udp(self, **fields):
        return IP(**{"src": f"{LAN}.2", "dst": TARGET, **fields}) / UDP(sport=7, dport=9) / Raw(MARK)

    def udp6(self, **fields):
        return IPv6(**{"src": f"{LAN6}:2", "dst": f"{FAR6}:2", **fields}) / UDP(sport=7, dport=9) / Raw(MARK)

    def hostile(self):
        """name: frame. None is for the workers."""
        for src in ("10.9.0.1", f"{LAN}.1", "224.0.0.5", "255.255.255.255", "127.0.0.1", "0.0.0.0", TARGET,
                    f"{LAN}.255", WIRE["gw"]):
            yield f"source {src}", self.frame(self.udp(src=src))
        for dst in (f"{LAN}.1", OWN, "224.0.0.1", "255.255.255.255", "127.0.0.1", f"{LAN}.255", "0.0.0.0",
                    "240.0.0.1"):
            yield f"destination {dst}", self.frame(self.udp(dst=dst))
        for src in (f"{LAN6}:99", f"{LAN6}:1", "ff02::1", "::1", "::", "fe80::1", f"{FAR6}:2"):
            yield f"source {src}", self.frame(self.udp6(src=src))
        for dst in (f"{LAN6}:1", "ff02::1", "::1", "fe80::1", "::"):
            yield f"destination {dst}", self.frame(self.udp6(dst=dst))
        for ttl in (0, 1):
            yield f"ttl {ttl}", self.frame(self.udp(ttl=ttl))
            yield f"hop limit {ttl}", self.frame(self.udp6(hlim=ttl))
        yield "options", self.frame(self.udp(options=IPOption_RR(length=7, routers=["0.0.0.0"])))
        yield "extension header", self.frame(IPv6(src=f"{LAN6}:2", dst=f"{FAR6}:2") / IPv6ExtHdrHopByHop() /
                                             UDP() / Raw(MARK))
        yield "first fragment", self.frame(self.udp(flags="MF"))
        yield "last fragment", self.frame(self.udp(frag=3))
        yield "reserved flag with fragment", self.frame(self.udp(flags=5))
        yield "other protocol", self.frame(IP(src=f"{LAN}.2", dst=TARGET) / GRE() / self.udp())
        yield "to everybody", self.frame(self.udp(), dst="ff:ff:ff:ff:ff:ff")
        yield "to a group", self.frame(self.udp(), dst="01:00:5e:00:00:01")
        yield "to another address", self.frame(self.udp(), dst="02:00:00:00:00:77")
        yield "a VLAN", Ether(src=self.eth0, dst=self.lan0) / Dot1Q(vlan=9) / self.udp()
        yield "two tags", Ether(src=self.eth0, dst=self.lan0) / Dot1Q(vlan=0) / Dot1Q(vlan=9) / self.udp()
        yield "header of 16 bytes", self.frame(self.udp(ihl=4))
        yield "version 5", self.frame(self.udp(version=5))
        yield "cut", Raw(raw(self.frame(self.udp()))[:30])

    def test_what_is_not_plain_is_never_taken(self):
        self.gw.ns.ip("link set lan0 promisc on")
        self.addCleanup(self.gw.ns.ip, "link set lan0 promisc off")
        for name, frame in self.hostile():
            with self.subTest(name):
                before = self.inside()["rx_packets"]
                for _ in range(3):
                    self.socket.send(raw(frame))
                self.assertEqual(self.inside()["rx_packets"], before)

    def test_lengths_that_lie_are_dropped(self):
        before = self.gw.drops().get("out-bad-packet", 0)
        lies = [self.udp(len=1400), self.udp(len=19), self.udp(chksum=0x1234), self.udp6(plen=1200)]
        for packet in lies:
            self.socket.send(raw(self.frame(packet)))
        self.wait_for(lambda: self.gw.drops().get("out-bad-packet", 0) >= before + len(lies), "four drops")

    def test_the_gateways_own_address_within_the_network(self):
        """TCP to it arrives at the gateway, not at the peer."""
        with inside(self.gw.ns):
            server = socket.create_server((OWN, 5001))
        with server:
            with inside(self.lan):
                client = socket.create_connection((OWN, 5001), timeout=5)
            with client, server.accept()[0] as accepted:
                client.sendall(b"hello")
                self.assertEqual(accepted.recv(5), b"hello")

    def test_mutated_frames(self):
        """Any byte of the headers: the daemon works on. What may leave in clear, for another network, has
        no mark."""
        seed = random.Random(18)
        models = [raw(self.frame(self.udp())), raw(self.frame(self.udp6())),
                  raw(self.frame(IP(src=f"{LAN}.2", dst=TARGET) / TCP(dport=9) / Raw(MARK)))]
        for _ in range(4000):
            model = seed.choice(models)
            frame = bytearray(model)
            for _ in range(seed.randint(1, 3)):
                frame[seed.randrange(6, 54)] = seed.choice((0, 1, 0x45, 0x46, 0x7f, 0xff, seed.randrange(256)))
            to = slice(38, 54) if model[12:14] == b"\x86\xdd" else slice(30, 34)
            if frame[to] != model[to]:
                frame = frame.replace(MARK, bytes(len(MARK)))
            self.socket.send(frame[:seed.choice((len(frame), len(frame), seed.randrange(14, len(frame))))])
        self.learn()

    def test_what_happens_to_the_interface_while_traffic_flows(self):
        end = threading.Event()
        flood = self.lan.popen(["ping", "-q", "-i0.002", "-p", MARK[:8].hex(), TARGET],
                               stdout=subprocess.DEVNULL)
        for _ in range(2):
            for change in ("mtu 1400", "mtu 1500", "mtu 2000", "mtu 1500", "promisc on", "promisc off",
                           "down", "up", "address 02:00:00:00:00:88", f"address {self.lan0}"):
                self.gw.ns.ip(f"link set lan0 {change}")
                end.wait(0.05)
        self.gw.ns.ip("link set lan0 down")
        self.gw.ns.ip("link set lan0 name lanx")
        self.gw.ns.ip("link set lanx up")
        self.wait_for(lambda: self.inside()["state"] == "gone", "lan0 to be gone")
        before = self.inside()["rx_packets"]
        end.wait(0.2)
        self.assertEqual(self.inside()["rx_packets"], before)
        self.gw.ns.ip("link set lanx down")
        self.gw.ns.ip("link set lanx name lan0")
        self.gw.ns.ip("link set lan0 up")
        self.wait_for(lambda: self.inside()["state"] == "native", "lan0 to be opened")
        flood.terminate()
        flood.wait(10)
        self.gw.ns.ip(f"-6 addr replace {LAN6}:1/64 dev lan0 nodad")  # lost while it was down
        self.learn()


if __name__ == "__main__":
    suite.main()
