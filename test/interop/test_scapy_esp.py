#!/usr/bin/python3
"""Two independent judges of what Cygnet sends and accepts: Scapy's IPsec layer, and
espjudge.py. One host runs cygnetd; the test itself is the other end of the wire, as an ESP peer.

For each algorithm, mode, family and placement: the host's echo requests are compared, decrypted, with
what its stack sent; packets that the peer seals must arrive, and the host must answer its requests.
"""

import itertools
import logging
import os
import socket
import struct

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402

import suite  # noqa: E402
from espjudge import EspJudge  # noqa: E402
from rawwire import FrameSocket, Peer, inside, sysctl  # noqa: E402

HOST, PEER = 0, 1
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd00:1::1", "fd00:2::1")}
ECHO = {4: (8, 0), 6: (128, 129)}  # request, reply
PROTO = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
HEADER = {4: 20, 6: 40}
NAT_T = 4500
SIZES = (0, 1, 2, 3, 47, 1200)  # of echo payloads: every pad length
# With ESN the low word wraps within the test, in both directions.
ESN_START = 5 * 2**32 - 4


class Shape:
    """Mode and families."""

    def __init__(self, mode, inner, outer, encap=False):
        self.mode, self.inner, self.outer, self.encap = mode, inner, outer, encap
        self.name = (f"tunnel_{inner}in{outer}" if mode == "tunnel" else f"transport_{outer}")
        self.name += "_udp" if encap else ""
        self.ends = INNER[inner] if mode == "tunnel" else OUTER[outer]


SHAPES = [Shape("tunnel", 4, 4), Shape("tunnel", 6, 6), Shape("tunnel", 4, 6), Shape("tunnel", 6, 4),
          Shape("transport", 4, 4), Shape("transport", 6, 6),
          Shape("tunnel", 4, 4, encap=True), Shape("transport", 4, 4, encap=True)]


def echo(family, kind, ends, ident, seq, payload):
    """An ICMP echo from ends[0] to ends[1], from the ICMP header on."""
    message = struct.pack("!BBHHH", kind, 0, 0, ident, seq) + payload
    pseudo = b""
    if family == 6:
        pseudo = (b"".join(socket.inet_pton(socket.AF_INET6, a) for a in ends)
                  + struct.pack("!II", len(message), PROTO[6]))
    return message[:2] + struct.pack("!H", suite.checksum(pseudo + message)) + message[4:]


def ip_packet(family, ends, payload):
    if family == 4:
        return IP(bytes(IP(src=ends[0], dst=ends[1], id=7, proto=PROTO[4]) / payload))
    return IPv6(bytes(IPv6(src=ends[0], dst=ends[1], nh=PROTO[6]) / payload))


def parse(packet):
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


def address(packet, which):
    """Source (0) or destination (1) of a raw IP packet, as text."""
    v4 = packet[0] >> 4 == 4
    size, at = (4, 12) if v4 else (16, 8)
    at += which * size
    return socket.inet_ntop(socket.AF_INET if v4 else socket.AF_INET6, packet[at:at + size])


class ScapyEsp(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.peer = cls.own(Peer(cls.host))
        cls.host.start([{"offload": "crypto"}])
        ns = cls.host.ns
        mac = cls.peer.mac.hex(":")
        for command in (
                f"addr add {OUTER[4][HOST]}/24 dev nic0",
                f"addr add {OUTER[6][HOST]}/64 dev nic0 nodad",
                f"addr add {INNER[4][HOST]}/32 dev lo",
                f"addr add {INNER[6][HOST]}/128 dev lo nodad",
                f"neigh add {OUTER[4][PEER]} lladdr {mac} dev nic0 nud permanent",
                f"neigh add {OUTER[6][PEER]} lladdr {mac} dev nic0 nud permanent",
                f"route add 10.2.0.0/16 via {OUTER[4][PEER]} dev nic0 src {INNER[4][HOST]}",
                f"-6 route add fd00:2::/32 via {OUTER[6][PEER]} dev nic0 src {INNER[6][HOST]}"):
            ns.ip(command)
        sysctl(ns, "net.ipv4.icmp_ratelimit", 0)
        cls.stack = cls.own(FrameSocket(ns, "nic0"))
        cls.icmp = {}
        with inside(ns):
            for family, af in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                cls.icmp[family] = cls.own(socket.socket(af, socket.SOCK_RAW, PROTO[family]))
                cls.icmp[family].settimeout(2 * suite.SLOWNESS)

    def tearDown(self):
        suite.xfrm_batch(self.host, ["state flush", "policy flush"])

    # --- One case ---

    def start(self, shape, key_bits, icv_bits, esn, offload):
        self.shape, self.esn = shape, esn
        self.keys = [os.urandom(key_bits // 8 + 4) for _ in range(2)]
        self.spis = [0x1001, 0x2001]
        first = ESN_START if esn else 0
        self.sent = first  # last sequence number of the host
        self.judge = [EspJudge(self.spis[i], self.keys[i], icv_bits // 8, esn, first)
                      for i in range(2)]
        self.scapy = [self.scapy_sa(i) for i in range(2)] if icv_bits == 128 else None
        suite.xfrm_batch(self.host, self.commands(icv_bits, offload))
        self.before = suite.counters(self.host)
        self.device_before = self.host.show("dev")[0]["offload"]

    def scapy_sa(self, sender):
        outer = OUTER[self.shape.outer]
        tunnel = None
        if self.shape.mode == "tunnel":
            tunnel = (IP if self.shape.outer == 4 else IPv6)(src=outer[sender], dst=outer[1 - sender])
        return SecurityAssociation(
            ESP, spi=self.spis[sender], crypt_algo="AES-GCM", crypt_key=self.keys[sender],
            tunnel_header=tunnel, esn_en=self.esn,
            nat_t_header=UDP(sport=NAT_T, dport=NAT_T) if self.shape.encap else None)

    def commands(self, icv_bits, offload):
        shape = self.shape
        outer = OUTER[shape.outer]
        lines = []
        for i, direction in ((HOST, "out"), (PEER, "in")):
            flags = ["esn"] if self.esn else []
            flags += ["af-unspec"] if shape.inner != shape.outer else []
            line = (f"state add src {outer[i]} dst {outer[1 - i]} proto esp spi {self.spis[i]:#x} "
                    f"reqid 1 mode {shape.mode} replay-window 64 ")
            if self.esn:
                name = "oseq" if direction == "out" else "seq"
                line += (f"replay-{name} {ESN_START & 0xffffffff:#x} "
                         f"replay-{name}-hi {ESN_START >> 32} ")
            line += f"flag {' '.join(flags)} " if flags else ""
            line += f"aead rfc4106(gcm(aes)) 0x{self.keys[i].hex()} {icv_bits} "
            line += f"encap espinudp {NAT_T} {NAT_T} 0.0.0.0 " if shape.encap else ""
            line += f"offload dev nic0 dir {direction}" if offload else ""
            lines.append(line)
        bits = 32 if shape.inner == 4 else 128
        for direction, i in (("out", HOST), ("in", PEER)):
            tmpl = f"src {outer[i]} dst {outer[1 - i]} " if shape.mode == "tunnel" else ""
            lines.append(f"policy add src {shape.ends[i]}/{bits} dst {shape.ends[1 - i]}/{bits} "
                         f"dir {direction} tmpl {tmpl}proto esp reqid 1 mode {shape.mode}")
        return lines

    def esp_frames(self, count=1):
        def is_esp(frame):
            at = 14 + HEADER[self.shape.outer]
            proto = frame[23] if self.shape.outer == 4 else frame[20]
            if address(frame[14:], 0) != OUTER[self.shape.outer][HOST]:
                return False
            if self.shape.encap:
                return proto == 17 and frame[at:at + 4] == struct.pack("!HH", NAT_T, NAT_T)
            return proto == 50
        ether_type = b"\x08\x00" if self.shape.outer == 4 else b"\x86\xdd"
        return self.peer.wire.frames(lambda f: f[12:14] == ether_type and is_esp(f), count,
                                     2 * suite.SLOWNESS)

    def stack_packet(self):
        """The packet that the host's stack last sent by nic0: the original."""
        source = self.shape.ends[HOST]
        ether_type = b"\x08\x00" if self.shape.inner == 4 else b"\x86\xdd"
        found = self.stack.frames(
            lambda f: f[12:14] == ether_type and address(f[14:], 0) == source
            and f[14 + (9 if self.shape.inner == 4 else 6)] == PROTO[self.shape.inner])
        self.assertTrue(found, "the host's stack sent nothing")
        return found[0][14:]

    def judge_outbound(self, frame):
        """The original packet; checks that both judges agree on it."""
        self.assertEqual(frame[:6], self.peer.mac)
        self.assertEqual(frame[6:12], self.peer.host_mac)
        packet = frame[14:]
        if self.shape.outer == 4:
            self.assertEqual(struct.unpack("!H", packet[2:4])[0], len(packet))
            self.assertEqual(suite.checksum(packet[:20]), 0)
        else:
            self.assertEqual(struct.unpack("!H", packet[4:6])[0], len(packet) - 40)
        at = HEADER[self.shape.outer]
        if self.shape.encap:
            sport, dport, length, check = struct.unpack("!HHHH", packet[at:at + 8])
            self.assertEqual((sport, dport, length, check), (NAT_T, NAT_T, len(packet) - at, 0))
            at += 8
        self.sent += 1
        opened = self.judge[HOST].open(packet[at:], self.sent >> 32)
        self.assertEqual(opened.seq, self.sent)
        if self.shape.mode == "tunnel":
            self.assertEqual(opened.next_header, 4 if self.shape.inner == 4 else 41)
            original = opened.payload
        else:
            self.assertEqual(opened.next_header, PROTO[self.shape.inner])
            original = self.transport_original(packet, opened)
        if self.scapy:
            self.scapy[HOST].esn = self.sent >> 32
            self.assertEqual(bytes(self.scapy[HOST].decrypt(parse(packet))), original,
                             "Scapy and espjudge disagree")
        return original

    def transport_original(self, packet, opened):
        header = bytearray(packet[:HEADER[self.shape.outer]])
        total = len(header) + len(opened.payload)
        if self.shape.outer == 4:
            header[9] = opened.next_header
            header[2:4] = struct.pack("!H", total)
            header[10:12] = b"\0\0"
            header[10:12] = struct.pack("!H", suite.checksum(header))
        else:
            header[6] = opened.next_header
            header[4:6] = struct.pack("!H", total - 40)
        return bytes(header) + opened.payload

    def send_sealed(self, packet, by_scapy):
        """A sealed IP packet of the peer; `packet` is Scapy's."""
        if by_scapy:
            self.judge[PEER].seq += 1
            seq = self.judge[PEER].seq
            sa = self.scapy[PEER]
            sa.seq_num, sa.esn = seq & 0xffffffff, seq >> 32
            sealed = bytes(sa.encrypt(packet))
            at = HEADER[self.shape.outer]
            if self.shape.encap:  # Scapy 2.5 writes the UDP length without the ESP packet
                sealed = sealed[:at + 4] + struct.pack("!H", len(sealed) - at) + sealed[at + 6:]
                at += 8
            # Scapy had bugs in GCM padding (issue 2322): the judge checks its packet, too.
            EspJudge(self.spis[PEER], self.keys[PEER], 16, self.esn).open(sealed[at:], seq >> 32)
        else:
            sealed = self.seal(bytes(packet))
        self.peer.send_ip(sealed)

    def seal(self, packet):
        shape = self.shape
        outer = OUTER[shape.outer]
        if shape.mode == "tunnel":
            payload, next_header = packet, 4 if shape.inner == 4 else 41
        else:
            payload, next_header = packet[HEADER[shape.inner]:], PROTO[shape.inner]
        body = self.judge[PEER].seal(payload, next_header, extra_pad=8)
        proto = 50
        if shape.encap:
            body = struct.pack("!HHHH", NAT_T, NAT_T, len(body) + 8, 0) + body
            proto = 17
        if shape.outer == 4:
            return bytes(IP(src=outer[PEER], dst=outer[HOST], id=9, proto=proto) / body)
        return bytes(IPv6(src=outer[PEER], dst=outer[HOST], nh=proto) / body)

    def host_asks(self, number, size):
        """Echo request of the host, answered by the peer."""
        shape = self.shape
        payload = os.urandom(size)
        icmp = self.icmp[shape.inner]
        request = echo(shape.inner, ECHO[shape.inner][0], shape.ends, 0x4379, number, payload)
        self.stack.drain()
        icmp.sendto(request, (shape.ends[PEER], 0))
        frames = self.esp_frames()
        self.assertTrue(frames, f"echo request of {size} bytes: nothing on the wire")
        original = self.judge_outbound(frames[0])
        self.assertEqual(original, self.stack_packet())
        self.assertEqual(original[HEADER[shape.inner]:], request)
        reply = echo(shape.inner, ECHO[shape.inner][1], shape.ends[::-1], 0x4379, number, payload)
        packet = ip_packet(shape.inner, shape.ends[::-1], reply)
        self.send_sealed(packet, by_scapy=self.scapy is not None and number % 2 == 0)
        self.assertEqual(self.received_echo(number), reply)

    def received_echo(self, number):
        """The echo reply, from the ICMP header on, that the host's socket got."""
        family = self.shape.inner
        while True:
            data = self.icmp[family].recv(65536)
            message = data[20:] if family == 4 else data
            if message[0] == ECHO[family][1] and message[4:8] == struct.pack("!HH", 0x4379, number):
                return message

    def peer_asks(self, number):
        """Echo request of the peer, answered by the host."""
        shape = self.shape
        ends = shape.ends[::-1]
        payload = os.urandom(101)
        request = echo(shape.inner, ECHO[shape.inner][0], ends, 0x5045, number, payload)
        self.send_sealed(ip_packet(shape.inner, ends, request),
                         by_scapy=self.scapy is not None and number % 2 == 0)
        frames = self.esp_frames()
        self.assertTrue(frames, "the host did not answer")
        original = self.judge_outbound(frames[0])
        self.assertEqual(original[HEADER[shape.inner]:],
                         echo(shape.inner, ECHO[shape.inner][1], shape.ends, 0x5045, number, payload))

    def check(self, shape, key_bits, icv_bits, esn, offload):
        self.start(shape, key_bits, icv_bits, esn, offload)
        for number, size in enumerate(SIZES):
            self.host_asks(number, size)
        for number in range(2):
            self.peer_asks(number)
        self.assertEqual(suite.difference(self.before, suite.counters(self.host)), {})
        self.check_report(offload and icv_bits == 128 and not shape.encap)

    def check_report(self, in_device):
        count = len(SIZES) + 2
        sas = {int(sa["spi"], 16): sa for sa in self.host.show("sa")}
        first = ESN_START if self.esn else 0
        self.assertEqual(sas[self.spis[HOST]]["usage"]["packets"], count)
        self.assertEqual(sas[self.spis[PEER]]["usage"]["packets"], count)
        self.assertEqual(sas[self.spis[HOST]]["replay"]["oseq"], first + count)
        self.assertEqual(sas[self.spis[PEER]]["replay"]["seq"], first + count)
        device = self.host.show("dev")[0]["offload"]
        done = count if in_device else 0
        self.assertEqual(device["sealed"] - self.device_before["sealed"], done)
        self.assertEqual(device["opened"] - self.device_before["opened"], done)


def add_cases():
    cases = list(itertools.product(SHAPES, (128, 256), (128,), (False, True), (False, True)))
    cases += list(itertools.product((SHAPES[0], SHAPES[5]), (128,), (64, 96), (False, True),
                                    (False, True)))
    for shape, key_bits, icv_bits, esn, offload in cases:
        name = (f"test_{shape.name}_gcm{key_bits}_icv{icv_bits // 8}"
                f"{'_esn' if esn else ''}{'_crypto' if offload else ''}")

        def run(self, case=(shape, key_bits, icv_bits, esn, offload)):
            self.check(*case)
        setattr(ScapyEsp, name, run)


add_cases()

if __name__ == "__main__":
    suite.main()
