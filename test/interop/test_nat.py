#!/usr/bin/python3
"""Two hosts with a real NAT between them (nftables masquerade), as two IKE daemons would set them up:
the port that the NAT chose comes by a MAPPING event.
"""

import os
import re
import socket
import types

import labkit
import suite
from rawwire import inside, sysctl
from test_ip_xfrm import Monitor
from wirehost import INNER_HOST, INNER_PEER


class RealNat(suite.Case):
    """west, behind a NAT that gives it other ports; east, at its other side. One cygnetd in each."""

    WEST, EAST, PUBLIC = "192.168.7.2", "192.0.2.2", "192.0.2.1"
    FIRST, LAST = 61000, 61009  # ports of the NAT

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.west, cls.east = cls.make_host("west"), cls.make_host("east")
        cls.nat = types.SimpleNamespace(ns=cls.own(labkit.Namespace("nat")))
        labkit.connect(cls.west, cls.nat, 0)
        labkit.connect(cls.nat, cls.east, 1)
        nat = cls.nat.ns
        nat.ip("addr add 192.168.7.1/24 dev wire0")
        nat.ip(f"addr add {cls.PUBLIC}/24 dev wire1")
        sysctl(nat, "net.ipv4.ip_forward", 1)
        nat.run(["nft", "table ip nat {\nchain post {\ntype nat hook postrouting priority 100\n"
                 f"oifname wire1 udp dport 4500 masquerade to :{cls.FIRST}-{cls.LAST}\n}}\n}}\n"])
        cls.west.start([{"offload": "crypto"}])
        cls.east.start([{"offload": "crypto", "wire": "wire1"}])
        for host, address, inner in ((cls.west, cls.WEST, INNER_HOST), (cls.east, cls.EAST, INNER_PEER)):
            host.ns.ip(f"addr add {address}/24 dev nic0")
            host.ns.ip(f"addr add {inner}/32 dev lo")
        cls.west.ns.ip("route add default via 192.168.7.1 dev nic0")
        cls.west.ns.ip(f"route add 10.2.0.0/16 via 192.168.7.1 dev nic0 src {INNER_HOST}")
        cls.east.ns.ip(f"route add 10.1.0.0/16 via {cls.PUBLIC} dev nic0 src {INNER_PEER}")

    def setUp(self):
        self.keys = [os.urandom(20).hex() for _ in range(2)]

    def tearDown(self):
        for host in (self.west, self.east):
            suite.xfrm_batch(host, ["state flush", "policy flush"])

    def lines(self, host, mode, port, verb="add"):
        """The pair of one host; `port`: the peer's, or its NAT's. Out first."""
        own, far = (self.WEST, self.EAST) if host is self.west else (self.EAST, self.PUBLIC)
        for out in (host is self.west, host is self.east):  # west to east, then east to west
            src, dst, sport, dport = (own, far, 4500, port) if out else (far, own, port, 4500)
            index = 0 if out == (host is self.west) else 1
            yield (f"state {verb} src {src} dst {dst} proto esp spi {0x1001 + index:#x} reqid 1 "
                   f"mode {mode} replay-window 64 aead rfc4106(gcm(aes)) 0x{self.keys[index]} 128 "
                   f"encap espinudp {sport} {dport} 0.0.0.0")

    def policies(self, host, mode):
        own, far = (self.WEST, self.EAST) if host is self.west else (self.EAST, self.PUBLIC)
        inner = (INNER_HOST, INNER_PEER) if mode == "tunnel" else (self.WEST, self.EAST)
        if host is self.east:
            inner = inner[::-1] if mode == "tunnel" else (own, far)
        for direction, step in (("out", 1), ("in", -1)):
            tmpl = "src {} dst {}".format(*(own, far)[::step]) if mode == "tunnel" else ""
            yield "policy add src {} dst {} dir {} tmpl {} proto esp reqid 1 mode {}".format(
                *inner[::step], direction, tmpl, mode)

    def connect_by_mapping(self, mode):
        """What two IKE daemons do: the port behind the NAT comes by a MAPPING event."""
        for host in (self.west, self.east):
            suite.xfrm_batch(host, [*self.lines(host, mode, 4500), *self.policies(host, mode)])
        monitor = Monitor(self, self.east.ns, [self.east.cygnet.command, "exec", "--"])
        self.udp(self.east, 7009)  # somebody listens, so that no ICMP error goes to the former port
        self.udp(self.west).sendto(b"first", (self.target(mode), 7009))
        text = monitor.wait_for("Mapping change")
        port = int(re.search(rf"{self.PUBLIC}:4500 -> {self.PUBLIC}:(\d+)", text).group(1))
        self.assertIn(port, range(self.FIRST, self.LAST + 1))
        suite.xfrm_batch(self.east, self.lines(self.east, mode, port, "update"))

    def target(self, mode):
        return INNER_PEER if mode == "tunnel" else self.EAST

    def udp(self, host, port=0):
        with inside(host.ns):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.bind(("0.0.0.0", port))
        s.settimeout(2 * suite.SLOWNESS)
        return s

    def pings(self, mode):
        ping = self.west.ns.run(f"ping -n -c 5 -i 0.05 -W 2 {self.target(mode)}", check=False).stdout
        self.assertIn(" 5 received", ping)

    def datagrams(self, mode):
        server, client = self.udp(self.east, 7001), self.udp(self.west)
        for size in (1, 100, 1300):
            payload = os.urandom(size)
            client.sendto(payload, (self.target(mode), 7001))
            data, peer = server.recvfrom(2000)
            self.assertEqual(data, payload)
            server.sendto(data[::-1], peer)
            self.assertEqual(client.recv(2000), payload[::-1])

    def check(self, mode, *traffics):
        before = [suite.counters(host) for host in (self.west, self.east)]
        self.connect_by_mapping(mode)
        for traffic in traffics:
            traffic(mode)
        for host, counts in zip((self.west, self.east), before):
            self.assertEqual(suite.difference(counts, suite.counters(host)), {}, host.name)
            for sa in host.show("sa"):
                self.assertGreaterEqual(sa["usage"]["packets"], 3, host.name)

    def test_tunnel(self):
        self.check("tunnel", self.pings, self.datagrams)

    def test_transport(self):
        self.check("transport", self.pings)

    def test_transport_checksum_for_other_addresses(self):
        # The inner checksum includes the addresses that the NAT changed: the receiver
        # must correct it or mark it as valid (RFC 3948 section 3.1.2).
        self.check("transport", self.datagrams)


if __name__ == "__main__":
    suite.main()
