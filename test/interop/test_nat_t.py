#!/usr/bin/python3
"""NAT traversal (RFC 3948): ESP in UDP on any port, a peer whose NAT changes, keep-alives of both
sides, IKE on the same port.
"""

import errno
import os
import re
import socket
import struct

from scapy.layers.inet import IP, UDP

import suite
import xfrmclient as nl
from espjudge import EspJudge
from rawwire import inside
from test_ip_xfrm import Monitor
from wirehost import (HOST, INNER_HOST, INNER_PEER, IPIP, MARK, PEER, SPI_IN, SPI_OUT, WireHost,
                      marked, udp)

PORTS = ((4500, 4500), (4501, 4501), (4501, 5555), (40000, 4500))  # the host's, the peer's
NAT_KEEPALIVE_INTERVAL = 34  # newer than Debian's headers
MAPPING_GROUP = 1 << 7
KEEPALIVE = b"\xff"


class NatT(WireHost, suite.Case):
    window = 64

    def setUp(self):
        self.use(4500, 4500)

    def use(self, own, far):
        """An encapsulated tunnel pair, with the host's port and the peer's."""
        self.mode, self.family, self.own, self.far = "tunnel", 4, own, far
        self.into, self.out = EspJudge(SPI_IN, os.urandom(20)), EspJudge(SPI_OUT, os.urandom(20))
        suite.xfrm_batch(self.host, ["state flush", "policy flush", self.half(False),
                                     self.half(True), *self.policies()])

    def half(self, inbound):
        judge, spi = (self.into, SPI_IN) if inbound else (self.out, SPI_OUT)
        ports = f"{self.far} {self.own}" if inbound else f"{self.own} {self.far}"
        return self.sa(inbound, spi, judge, extra=f"encap espinudp {ports} 0.0.0.0")

    def in_udp(self, esp, sport=None, dport=None, src=PEER):
        return bytes(IP(src=src, dst=HOST) / UDP(sport=sport or self.far, dport=dport or self.own,
                                                 chksum=0) / esp)

    def datagram(self, payload=MARK):
        return self.into.seal(udp(payload), IPIP)

    def goes_out(self):
        """Checks a datagram of the host against the judge and RFC 3948."""
        self.peer.wire.drain()
        payload = os.urandom(20)
        self.udp.sendto(payload, (INNER_PEER, 9))
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", timeout=2 * suite.SLOWNESS)
        self.assertTrue(frames, "nothing on the wire")
        packet = frames[0][14:]
        self.assertEqual((packet[9], suite.checksum(packet[:20])), (17, 0))
        self.assertEqual(struct.unpack("!4H", packet[20:28]),
                         (self.own, self.far, len(packet) - 20, 0))
        self.assertTrue(self.out.open(packet[28:]).payload.endswith(payload))

    def socket_on(self, port):
        with inside(self.host.ns):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.bind((HOST, port))
        s.settimeout(2 * suite.SLOWNESS)
        return s

    # --- Ports ---

    def test_any_ports(self):
        before = suite.counters(self.host)
        for own, far in PORTS:
            with self.subTest(own=own, far=far):
                self.use(own, far)
                self.goes_out()
                self.passes(self.in_udp(self.datagram()))
        self.assertEqual(suite.difference(before, suite.counters(self.host)), {})

    def test_port_is_esp_as_long_as_an_sa_uses_it(self):
        user = self.socket_on(4501)
        unknown = self.in_udp(b"\x00\x00\x77\x77" + bytes(60), dport=4501)
        self.passes(unknown)
        self.assertEqual(len(user.recv(100)), 64)
        self.use(4501, 4501)
        self.drops("in-no-state", "XfrmInNoStates", unknown, good=False)
        self.host.xfrm(f"state delete src {PEER} dst {HOST} proto esp spi {SPI_IN:#x}")
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi {SPI_OUT:#x}")
        self.passes(unknown)
        self.assertEqual(len(user.recv(100)), 64)

    def test_encapsulation_mismatch(self):
        for own, far in PORTS:
            self.use(own, far)
            self.drops("in-encap-mismatch", "XfrmInStateMismatch", self.outer(self.datagram()),
                       good=False)
            self.passes(self.in_udp(self.datagram()))
        self.assertEqual(self.sa_report()["drops"], {"in-encap-mismatch": 1})
        self.use(4500, 4500)
        suite.xfrm_batch(self.host, [  # the peer's SA loses its encapsulation
            f"state delete src {PEER} dst {HOST} proto esp spi {SPI_IN:#x}",
            self.sa(True, SPI_IN, self.into)])
        self.drops("in-encap-mismatch", "XfrmInStateMismatch", self.in_udp(self.datagram()),
                   good=False)
        self.passes(self.outer(self.datagram()))

    def test_ike_behind_its_marker_reaches_the_socket(self):
        ike = b"\0\0\0\0" + MARK
        for own in (4500, 4501):
            self.use(own, own)
            user = self.socket_on(own)
            self.passes(self.in_udp(ike))
            self.assertEqual(user.recv(100), ike)
            self.peer.wire.drain()
            user.sendto(ike, (PEER, self.far))
            frames = self.peer.wire.frames(marked, timeout=2 * suite.SLOWNESS)
            self.assertEqual(frames[0][42:], ike)

    # --- Mapping ---

    def client(self, groups=0):
        client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(client.close)
        return client, client.open(groups)

    @staticmethod
    def mappings(messages):
        """(SPI, old, new) of each, address and port."""
        found = []
        for kind, _, _, body in messages:
            assert kind == "MAPPING" and len(body) == 64, (kind, body)
            old, new = struct.unpack("!HH", body[60:64])
            found.append((struct.unpack("!I", body[16:20])[0], (socket.inet_ntoa(body[28:32]), old),
                          (socket.inet_ntoa(body[44:48]), new)))
        return found

    def encap_lines(self):
        return re.findall("^src .*|encap .*", self.host.xfrm("state").stdout, re.M)

    def test_a_peer_that_sends_from_any_port(self):
        """The inbound SAs of strongSwan's per_cpu_sas = encap."""
        client, s = self.client(MAPPING_GROUP)
        direction = nl.attr("SA_DIR", b"\1")
        body = nl.sa_info(PEER, HOST, SPI_IN) + nl.attr("ENCAP", nl.encap(0, 4500)) + nl.attr(
            "ALG_AEAD", nl.aead(self.into.material))
        self.assertEqual(client.ask(s, nl.message("DELSA", nl.sa_id(HOST, SPI_IN)))[0][3][0], 0)
        refused = client.ask(s, nl.message("NEWSA", body))[0][3]
        self.assertEqual(refused[0], errno.EOPNOTSUPP, "its packets would leave from port 0")
        self.assertIn("needs a source port", refused[1])
        self.assertEqual(client.ask(s, nl.message("NEWSA", body + direction))[0][3][0], 0)
        for port in (4500, 4501, 60000):
            self.passes(self.in_udp(self.datagram(), sport=port))
        self.assertEqual(client.receive(s, 0.3), [], "any port is the peer's")
        self.passes(self.in_udp(self.datagram(), sport=60000, src="192.0.2.9"))
        self.assertEqual(self.mappings(client.receive(s, 2 * suite.SLOWNESS)),
                         [(SPI_IN, (PEER, 0), ("192.0.2.9", 60000))])

    def test_changed_mapping_is_reported_once(self):
        for own, far in ((4500, 4500), (4501, 5555)):
            self.use(own, far)
            monitor = Monitor(self, self.host.ns, [self.host.cygnet.command, "exec", "--"])
            client, s = self.client(MAPPING_GROUP)
            self.passes(self.in_udp(self.datagram()))
            encap = self.encap_lines()
            self.passes(*[self.in_udp(self.datagram(), sport=12345) for _ in range(20)])
            was = (PEER, far)
            self.assertEqual(self.mappings(client.receive(s, 2 * suite.SLOWNESS)),
                             [(SPI_IN, was, (PEER, 12345))])
            moved = "192.0.2.77"
            self.passes(*[self.in_udp(self.datagram(), src=moved) for _ in range(20)])
            self.assertEqual(self.mappings(client.receive(s, 2 * suite.SLOWNESS)),
                             [(SPI_IN, was, (moved, far))])
            text = monitor.wait_for("12345", moved)
            self.assertEqual(text.count("Mapping change"), 2, text)
            self.assertIn(f"{PEER}:{far} -> {PEER}:12345", text)
            # Only key management changes the SA.
            self.assertEqual(self.encap_lines(), encap)
            self.goes_out()

    def test_unauthenticated_packet_is_no_mapping(self):
        client, s = self.client(MAPPING_GROUP)
        forged = self.datagram()[:-1] + b"\0"
        self.drops("in-auth-failed", "XfrmInStateProtoError", self.in_udp(forged, sport=12345),
                   good=False)
        again = self.datagram()
        self.passes(self.in_udp(again))
        self.drops("in-replay-duplicate", "XfrmInStateSeqError", self.in_udp(again, sport=12345),
                   good=False)
        self.assertEqual(client.receive(s, 0.3 * suite.SLOWNESS), [])

    def test_update_ends_the_mapping_and_moves_the_traffic(self):
        client, s = self.client(MAPPING_GROUP)
        self.passes(self.in_udp(self.datagram(), sport=12345))
        self.assertEqual(len(client.receive(s, 2 * suite.SLOWNESS)), 1)
        self.far = 12345
        for inbound in (False, True):
            self.host.xfrm(self.half(inbound).replace("add", "update", 1))
        self.goes_out()
        self.passes(self.in_udp(self.datagram()))
        self.assertEqual(client.receive(s, 1.2 * suite.SLOWNESS), [])

    # --- Keep-alives ---

    def test_keepalive_is_swallowed(self):
        for own in (4500, 4501):
            self.use(own, 5555)
            user = self.socket_on(own)
            self.expect(lambda: self.send(self.in_udp(KEEPALIVE),
                                          self.in_udp(KEEPALIVE, sport=777)), {}, good=False)
            self.passes(self.in_udp(KEEPALIVE * 2))  # neither a keep-alive nor ESP
            self.assertEqual(user.recv(100), KEEPALIVE * 2)

    def add_keepalive(self, spi, own, far, seconds=1):
        client, s = self.client()
        encap = struct.pack("=H", 2) + struct.pack("!HH2x16x", own, far)
        reply = client.ask(s, nl.message("NEWSA", nl.sa_info(
            src=HOST, dst=PEER, spi=spi, reqid=7) + nl.attr("ALG_AEAD", nl.aead())
            + nl.attr("ENCAP", encap) + nl.attr("SA_DIR", b"\x02")
            + nl.attr(NAT_KEEPALIVE_INTERVAL, struct.pack("=I", seconds))))
        self.assertEqual(reply[0][3][0], 0, reply)

    def keepalives(self, count, timeout):
        """(source port, destination port) of each."""
        found = []
        for frame in self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00" and f[23] == 17, count,
                                           timeout * suite.SLOWNESS):
            self.assertEqual(frame[:12], self.peer.mac + self.peer.host_mac)
            packet = frame[14:]
            self.assertEqual(packet[12:20], socket.inet_aton(HOST) + socket.inet_aton(PEER))
            self.assertEqual((struct.unpack("!H", packet[2:4])[0], suite.checksum(packet[:20])), (29, 0))
            sport, dport, length, check = struct.unpack("!4H", packet[20:28])
            self.assertEqual((length, packet[28:29]), (9, KEEPALIVE))
            self.assertNotEqual(check, 0)
            self.assertEqual(suite.checksum(packet[12:20] + b"\0\x11\0\x09" + packet[20:29]), 0)
            found.append((sport, dport))
        return found

    def test_keepalives_are_sent(self):
        ways = [(4500, 4500), (4501, 5555)]
        before = suite.counters(self.host)
        self.peer.wire.drain()
        for i, (own, far) in enumerate(ways):
            self.add_keepalive(0x3001 + i, own, far)
        found = self.keepalives(100, 4.3)  # one interval each, and a tick more
        for way in ways:
            self.assertIn(found.count(way), range(2, int(5 * suite.SLOWNESS) + 1), found)
        self.assertEqual(set(found), set(ways))
        for i in range(2):
            self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi {0x3001 + i:#x}")
        self.peer.wire.drain()
        self.assertEqual(self.keepalives(1, 2.2), [], "of an SA that is gone")
        self.assertEqual(suite.difference(before, suite.counters(self.host)), {})


if __name__ == "__main__":
    suite.main()
