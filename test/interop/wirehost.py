"""A host with one pair of SAs (AES-GCM) and the test as their peer at the far end of the wire: shared
by the tests of single packets.
"""

import logging
import os
import socket
import struct

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import ICMP, IP, UDP  # noqa: E402
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6  # noqa: E402

import labkit  # noqa: E402
import suite  # noqa: E402
from espjudge import EspJudge  # noqa: E402
from rawwire import FrameSocket, Peer, inside, sysctl  # noqa: E402

HOST, PEER = "192.0.2.1", "192.0.2.2"
HOST6, PEER6 = "2001:db8::1", "2001:db8::2"
INNER_HOST, INNER_PEER = "10.1.0.1", "10.2.0.1"
INNER6_HOST, INNER6_PEER = "fd00:1::1", "fd00:2::1"
SPI_IN, SPI_OUT = 0x2001, 0x1001
IPIP, IPV6, ESP, NONE, TCP = 4, 41, 50, 59, 6
WINDOW = 64
MARK = b"Cygnet in clear"


def udp(payload=MARK, sport=7000, dport=7001, src=INNER_PEER, dst=INNER_HOST):
    return bytes(IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / payload)


def marked(frame):
    return MARK in frame


class WireHost:
    """To be mixed into a suite.Case."""

    offload = False
    daemon_keys = ""
    device_keys = {"offload": "crypto"}
    sysctls = {}  # that the daemon must find when it starts

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.peer = cls.own(Peer(cls.host))
        for name, value in cls.sysctls.items():
            sysctl(cls.host.ns, name, value)
        cls.host.start([cls.device_keys], cls.daemon_keys)
        ns, mac = cls.host.ns, cls.peer.mac.hex(":")
        sysctl(ns, "net.ipv6.conf.nic0.addr_gen_mode", 1)  # no noise of link-local addresses
        for command in (
                f"addr add {HOST}/24 dev nic0", f"addr add {HOST6}/64 dev nic0 nodad",
                f"addr add {INNER_HOST}/32 dev lo", f"addr add {INNER6_HOST}/128 dev lo nodad",
                f"neigh add {PEER} lladdr {mac} dev nic0 nud permanent",
                f"neigh add {PEER6} lladdr {mac} dev nic0 nud permanent",
                f"route add 10.2.0.0/16 via {PEER} dev nic0 src {INNER_HOST}",
                f"-6 route add fd00:2::/32 via {PEER6} dev nic0 src {INNER6_HOST}"):
            ns.ip(command)
        sysctl(ns, "net.ipv4.icmp_ratelimit", 0)
        cls.nic = cls.own(FrameSocket(ns, "nic0", arriving=True))
        cls.stack = cls.own(FrameSocket(ns, "nic0"))
        with inside(ns):
            cls.udp = cls.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        cls.udp.bind(("0.0.0.0", 7001))

    def setUp(self):
        self.install()

    def tearDown(self):
        suite.xfrm_batch(self.host, ["state flush", "policy flush", "policy setdefault in accept"])

    # --- SAs and policies ---

    def sa(self, inbound, spi, judge, mode="tunnel", family=4, extra=""):
        ends = (HOST, PEER) if family == 4 else (HOST6, PEER6)
        src, dst = ends[::-1] if inbound else ends
        key = (judge.key + judge.salt).hex()
        offload = f"offload dev nic0 dir {'in' if inbound else 'out'}" if self.offload else ""
        return (f"state add src {src} dst {dst} proto esp spi {spi:#x} reqid 1 mode {mode} "
                f"replay-window {self.window} aead rfc4106(gcm(aes)) 0x{key} {judge.icv * 8} "
                f"{extra} {offload}")

    def policies(self, mode="tunnel", family=4, directions=("out", "in", "fwd")):
        outer = (HOST, PEER) if family == 4 else (HOST6, PEER6)
        inner = (f"{INNER_HOST}/16", f"{INNER_PEER}/16") if family == 4 else (
            f"{INNER6_HOST}/32", f"{INNER6_PEER}/32")
        if mode == "transport":
            inner = outer
        lines = []
        for direction in directions:
            step = 1 if direction == "out" else -1
            tmpl = "src {} dst {} ".format(*outer[::step]) if mode == "tunnel" else ""
            lines.append("policy add src {} dst {} dir {} tmpl {}proto esp reqid 1 mode {}".format(
                *inner[::step], direction, tmpl, mode))
        return lines

    def install(self, mode="tunnel", family=4, in_extra="", policies=None, icv=16, window=WINDOW):
        self.mode, self.family, self.window = mode, family, window
        self.into = EspJudge(SPI_IN, os.urandom(20), icv)
        self.out = EspJudge(SPI_OUT, os.urandom(20), icv)
        suite.xfrm_batch(self.host, ["state flush", "policy flush"] + [
            self.sa(False, SPI_OUT, self.out, mode, family),
            self.sa(True, SPI_IN, self.into, mode, family, in_extra)]
            + (self.policies(mode, family) if policies is None else policies))

    # --- Packets ---

    def outer(self, body, proto=ESP, family=None, **fields):
        if (family or self.family) == 4:
            fields = {"id": 1, **fields}
            return bytes(IP(src=PEER, dst=HOST, proto=proto, **fields) / bytes(body))
        return bytes(IPv6(src=PEER6, dst=HOST6, nh=proto, **fields) / bytes(body))

    def sealed(self, inner=None, next_header=IPIP, **kwargs):
        """The IP packet with an inner packet sealed as the peer should."""
        return self.outer(self.into.seal(udp() if inner is None else bytes(inner), next_header,
                                         **kwargs))

    def send(self, *packets):
        for packet in packets:
            self.peer.send_ip(packet)

    def good(self):
        """An echo request through the SAs, and its answer."""
        payload = os.urandom(16)
        if self.family == 6:
            ends = (PEER6, HOST6) if self.mode == "transport" else (INNER6_PEER, INNER6_HOST)
            request = bytes(IPv6(src=ends[0], dst=ends[1]) / ICMPv6EchoRequest(id=5, data=payload))
            header, proto = 40, 58
        else:
            ends = (PEER, HOST) if self.mode == "transport" else (INNER_PEER, INNER_HOST)
            request = bytes(IP(src=ends[0], dst=ends[1]) / ICMP(id=5) / payload)
            header, proto = 20, 1
        if self.mode == "tunnel":
            self.send(self.sealed(request, IPIP if self.family == 4 else IPV6))
        else:
            self.send(self.sealed(request[header:], proto))
        at = 14 + (20 if self.family == 4 else 40)
        found = self.peer.wire.frames(
            lambda f: f[at:at + 4] == struct.pack("!I", SPI_OUT)
            and payload in self.out.open(f[at:]).payload, timeout=2 * suite.SLOWNESS)
        self.assertTrue(found, "a good packet does not pass any more")

    def sa_report(self, spi=SPI_IN):
        return next(sa for sa in self.host.show("sa") if int(sa["spi"], 16) == spi)

    # --- Expectations ---

    def expect(self, action, counts, good=True, quiet=True):
        """Checks that `action()` changes the counters by exactly `counts`, and that the host gets nothing."""
        before = suite.counters(self.host)
        self.nic.drain()
        action()

        def changed():
            return suite.difference(before, suite.counters(self.host))
        try:
            labkit.wait_for(lambda: changed() == counts, 2 * suite.SLOWNESS)
        except labkit.LabError:
            self.assertEqual(changed(), counts)
        if quiet:
            self.assertEqual(self.nic.frames(timeout=0.02), [], "something reached the host")
        if good:
            self.good()
        self.assertEqual(changed(), counts)

    def drops(self, reason, counter, *packets, **kwargs):
        counts = {reason: len(packets)}
        if counter:
            counts[counter] = len(packets)
        self.expect(lambda: self.send(*packets), counts, **kwargs)

    def passes(self, *packets):
        """Checks that each packet arrives at the host, and that no counter changes."""
        before = suite.counters(self.host)
        self.nic.drain()
        self.send(*packets)
        frames = self.nic.frames(count=len(packets), timeout=2 * suite.SLOWNESS)
        self.assertEqual(len(frames), len(packets))
        self.assertEqual(suite.difference(before, suite.counters(self.host)), {})
        return frames

    def host_gets(self):
        """The datagrams that the host's UDP socket has got so far."""
        self.udp.setblocking(False)
        got = []
        try:
            while True:
                got.append(self.udp.recv(65536))
        except BlockingIOError:
            return got
