"""The matrix of possible SAs: mode and families, suite, ESN, UDP encapsulation. Each case
knows its `ip xfrm` commands, seals what its peer would send, and knows what its packets must look
like.
"""

import logging
import os
import socket
import struct

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402

from espjudge import EspJudge  # noqa: E402
from espsuites import SUITES, Aead  # noqa: E402
from suite import checksum  # noqa: E402

HOST, PEER = 0, 1
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd00:1::1", "fd00:2::1")}
HEADER = {4: 20, 6: 40}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
UDP_PROTO, ESP_PROTO, NAT_T = 17, 50, 4500
HOST_PORT = 7001
FIRST_PORT = 20000  # of the peer's end: one for each case
# With ESN the low word wraps within the case, in both directions.
ESN_START = 5 * 2**32 - 2


class Shape:
    """Mode and families."""

    def __init__(self, mode, inner, outer):
        self.mode, self.inner, self.outer = mode, inner, outer
        self.name = f"transport{outer}" if mode == "transport" else f"{mode}_{inner}in{outer}"
        self.ends = OUTER[outer] if mode == "transport" else INNER[inner]


SHAPES = [Shape("transport", 4, 4), Shape("transport", 6, 6)] + [
    Shape(mode, inner, outer) for mode in ("tunnel", "beet")
    for inner, outer in ((4, 4), (6, 6), (4, 6), (6, 4))]


def pack(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ip_header(family, ends, proto, length, tos=0, ttl=64, ident=9, flags=0, label=0):
    """length: of the payload. ends: source, destination."""
    addresses = pack(ends[0]) + pack(ends[1])
    if family == 6:
        return struct.pack("!IHBB", 6 << 28 | tos << 20 | label, length, proto, ttl) + addresses
    header = struct.pack("!BBHHHBBH", 0x45, tos, length + 20, ident, flags, ttl, proto, 0)
    header += addresses
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:]


def udp_datagram(ends, sport, dport, payload):
    """With its checksum, which needs the addresses."""
    header = struct.pack("!HHHH", sport, dport, len(payload) + 8, 0)
    pseudo = pack(ends[0]) + pack(ends[1]) + struct.pack("!II", len(payload) + 8, UDP_PROTO)
    total = checksum(pseudo + header + payload) or 0xffff
    return header[:6] + struct.pack("!H", total) + payload


def fields(packet):
    """The fields that both IP headers have, from raw bytes, and the end of the header."""
    if packet[0] >> 4 == 4:
        return {"tos": packet[1], "ttl": packet[8], "proto": packet[9], "label": 0,
                "ident": int.from_bytes(packet[4:6], "big"),
                "flags": int.from_bytes(packet[6:8], "big"),
                "ends": (packet[12:16], packet[16:20])}, 20
    first = int.from_bytes(packet[:4], "big")
    return {"tos": first >> 20 & 0xff, "ttl": packet[7], "proto": packet[6],
            "label": first & 0xfffff, "ident": 0, "flags": 0,
            "ends": (packet[8:24], packet[24:40])}, 40


class Wrong(Exception):
    """A packet is wrong; the text says how."""


def expect(what, found, expected):
    if found != expected:
        raise Wrong(f"{what} is {_show(found)}, should be {_show(expected)}")


def _show(value):
    if isinstance(value, bytes):
        return value.hex()
    return hex(value) if isinstance(value, int) else repr(value)


class Case:
    """One pair of SAs and its policies; `number` makes SPIs, ports and reqid unique."""

    def __init__(self, number, shape, suite, esn, encap, placement):
        self.number, self.shape, self.suite, self.esn, self.encap = number, shape, suite, esn, encap
        self.name = "_".join([shape.name, suite.name, *["esn"] * esn, *["udp"] * encap, placement])
        self.port = FIRST_PORT + number
        self.spis = (0x10000 + number, 0x20000 + number)  # of host, of peer
        self.first = ESN_START if esn else 0
        self.keys = [os.urandom(suite.key_size) for _ in range(2)]
        self.judges = [EspJudge(self.spis[i], self.keys[i], esn=esn, seq=self.first, suite=suite)
                       for i in (HOST, PEER)]
        # Scapy 2.5 omits the high word that an authenticator needs.
        self.scapy_can = suite.scapy_names is not None and (not esn or isinstance(suite, Aead))
        # Wireshark 4.0 has no table column for it.
        self.tshark_can = suite.tshark_names is not None and not esn
        self.idents = set()

    # --- Commands ---

    def commands(self, offload=None):
        """Lines for `ip -batch`."""
        lines = []
        for i, direction in ((HOST, "out"), (PEER, "in")):
            lines += [self._state(i, direction, offload), self._policy(i, direction)]
        return lines

    def _state(self, i, direction, offload):
        shape, outer = self.shape, OUTER[self.shape.outer]
        words = [f"state add src {outer[i]} dst {outer[1 - i]} proto esp spi {self.spis[i]:#x} "
                 f"reqid {self.number + 1} mode {shape.mode} replay-window 64"]
        if self.esn:
            name = "oseq" if direction == "out" else "seq"
            words.append(f"replay-{name} {self.first & 0xffffffff:#x} "
                         f"replay-{name}-hi {self.first >> 32}")
        flags = ["esn"] * self.esn
        flags += ["af-unspec"] * (shape.mode == "tunnel" and shape.inner != shape.outer)
        words += ["flag " + " ".join(flags)] if flags else []
        words.append(self.suite.words(self.keys[i]))
        words += [f"encap espinudp {NAT_T} {NAT_T} 0.0.0.0"] if self.encap else []
        words += [f"offload dev {offload} dir {direction}"] if offload else []
        if shape.mode == "beet":  # the selector has the inner addresses
            words.append(f"sel src {shape.ends[i]} dst {shape.ends[1 - i]}")
        return " ".join(words)

    def _policy(self, i, direction):
        shape, outer = self.shape, OUTER[self.shape.outer]
        port = "dport" if direction == "out" else "sport"
        tmpl = "" if shape.mode == "transport" else f"src {outer[i]} dst {outer[1 - i]} "
        return (f"policy add src {shape.ends[i]} dst {shape.ends[1 - i]} "
                f"proto udp {port} {self.port} dir {direction} "
                f"tmpl {tmpl}proto esp reqid {self.number + 1} mode {shape.mode}")

    # --- Host to wire ---

    def judge_outbound(self, packet, original, count):
        """Packet number `count` (from 1) of this SA on the wire, and the packet that the host's stack made."""
        shape = self.shape
        before, _ = fields(original)
        outer, at = fields(packet)
        self._judge_header(packet, outer, before, len(original))
        if self.encap:
            at = self._judge_encapsulation(packet, at)
        seq = self.first + count
        opened = self.judges[HOST].open(packet[at:], seq >> 32)
        expect("sequence number", opened.seq, seq)
        next_header = {"tunnel": 4 if shape.inner == 4 else 41}.get(shape.mode, UDP_PROTO)
        expect("next header", opened.next_header, next_header)
        expect("payload", opened.payload,
               original if shape.mode == "tunnel" else original[HEADER[shape.inner]:])
        return opened

    def _judge_header(self, packet, outer, before, inner_length):
        shape = self.shape
        ends = tuple(pack(a) for a in OUTER[shape.outer])
        expected = {"ends": ends, "proto": UDP_PROTO if self.encap else ESP_PROTO}
        if shape.mode == "tunnel":
            # ECN as RFC 3168, full functionality: CE inside becomes ECT(0) outside.
            tos = before["tos"]
            expected |= {"ttl": 64, "tos": tos - 1 if tos & 3 == 3 else tos}
            df = before["flags"] if shape.inner == 4 else 0x4000 * (inner_length > 1280)
        else:
            expected |= {"ttl": before["ttl"], "tos": before["tos"]}
            df = before["flags"] if shape.inner == 4 else 0x4000
            if shape.inner == shape.outer:
                expected["ident"] = before["ident"]
        if shape.outer == 4:
            expected["flags"] = df
            expect("total length", int.from_bytes(packet[2:4], "big"), len(packet))
            expect("sum of the header", checksum(packet[:20]), 0)
            if shape.mode == "tunnel":
                expect("number of IDs seen before", len(self.idents & {outer["ident"]}), 0)
                self.idents.add(outer["ident"])
        else:
            expected["label"] = before["label"]
            expect("payload length", int.from_bytes(packet[4:6], "big"), len(packet) - 40)
        for name, value in expected.items():
            expect(f"outer {name}", outer[name], value)

    def _judge_encapsulation(self, packet, at):
        sport, dport, length, check = struct.unpack("!HHHH", packet[at:at + 8])
        expect("UDP header", (sport, dport, length), (NAT_T, NAT_T, len(packet) - at))
        # RFC 3948: 0 in IPv4, a real one in IPv6.
        expect("UDP checksum", check, self._udp_checksum(packet[at + 8:]))
        return at + 8

    def _udp_checksum(self, esp):
        if self.shape.outer == 4:
            return 0
        return int.from_bytes(udp_datagram(OUTER[6], NAT_T, NAT_T, esp)[6:8], "big")

    # --- Wire to host ---

    def inbound(self, payload, by_scapy, ce):
        """The peer's next packet. ce: congestion experienced, set in the outer header."""
        shape, ends = self.shape, self.shape.ends[::-1]
        datagram = udp_datagram(ends, self.port, HOST_PORT, payload)
        outer_tos = 0x2a + ce
        tos = 0x2a if shape.mode == "tunnel" else outer_tos
        inner = ip_header(shape.inner, ends, UDP_PROTO, len(datagram), tos=tos, ttl=77) + datagram
        if by_scapy:
            return self._seal_by_scapy(inner, datagram, outer_tos)
        if shape.mode == "tunnel":
            body = self.judges[PEER].seal(inner, 4 if shape.inner == 4 else 41)
        else:
            body = self.judges[PEER].seal(datagram, UDP_PROTO, extra_pad=self.suite.align)
        return self._outer(self._encapsulated(body), UDP_PROTO if self.encap else ESP_PROTO,
                           outer_tos)

    def _outer(self, body, proto, tos):
        return ip_header(self.shape.outer, OUTER[self.shape.outer][::-1], proto, len(body), tos=tos,
                         ttl=50 if self.shape.mode == "tunnel" else 77) + body

    def _encapsulated(self, esp):
        if not self.encap:
            return esp
        if self.shape.outer == 6:
            return udp_datagram(OUTER[6][::-1], NAT_T, NAT_T, esp)
        return struct.pack("!HHHH", NAT_T, NAT_T, len(esp) + 8, 0) + esp

    def scapy_sa(self, sender, tos=0):
        shape, tunnel = self.shape, None
        if shape.mode == "tunnel":
            ends = OUTER[shape.outer][::1 if sender == HOST else -1]
            tunnel = (IP(src=ends[0], dst=ends[1], tos=tos) if shape.outer == 4
                      else IPv6(src=ends[0], dst=ends[1], tc=tos))
        return SecurityAssociation(
            ESP, spi=self.spis[sender], tunnel_header=tunnel, esn_en=self.esn,
            nat_t_header=UDP(sport=NAT_T, dport=NAT_T) if self.encap else None,
            **self.suite.scapy(self.keys[sender]))

    def _seal_by_scapy(self, inner, datagram, tos):
        judge, sa = self.judges[PEER], self.scapy_sa(PEER, tos)
        judge.seq += 1
        sa.seq_num, sa.esn = judge.seq & 0xffffffff, judge.seq >> 32
        if self.shape.mode == "beet":  # transport mode between the outer addresses
            inner = self._outer(datagram, UDP_PROTO, tos)
        sealed = bytes(sa.encrypt(parse(inner)))
        if self.encap:  # Scapy 2.5 writes the UDP length without the ESP packet
            at = HEADER[self.shape.outer]
            sealed = sealed[:at + 4] + struct.pack("!H", len(sealed) - at) + sealed[at + 6:]
        return sealed

    def scapy_opens(self, packet, count):
        """UDP payload, from its header on, that Scapy finds in a packet of the host."""
        sa = self.scapy_sa(HOST)
        original = bytes(sa.decrypt(parse(packet), esn=self.first + count >> 32))
        at = HEADER[original[0] >> 4]
        if self.encap and self.shape.outer == 6 and self.shape.mode != "tunnel":
            at += 8  # Scapy 2.5 leaves the UDP header of the encapsulation where it was
        return original[at:]


def parse(packet):
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


def all_cases(placement):
    """The cases of one placement, numbered."""
    combinations = [(shape, suite, esn, encap) for shape in SHAPES for suite in SUITES.values()
                    for esn in (False, True) for encap in (False, True)]
    return [Case(number, *c, placement) for number, c in enumerate(combinations)]
