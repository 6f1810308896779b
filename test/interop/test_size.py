#!/usr/bin/python3
"""Packets that are too large once they are ESP: fragments, "packet too big" to the sender, and a path
that is narrower than the wire (RFC 4301 section 8, RFC 1191, RFC 8201). Two hosts, a cygnetd in each.
"""

import os
import re
import socket
import struct
import threading
import types

import labkit
import suite
from scapy.layers import ipsec
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from rawwire import FrameSocket, inside, sysctl

OUTER = {4: ("192.0.2.1", "198.51.100.1"), 6: ("2001:db8:1::1", "2001:db8:2::1")}
ROUTER = {4: ("192.0.2.9", "198.51.100.9"), 6: ("2001:db8:1::9", "2001:db8:2::9")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd00:1::1", "fd00:2::1")}
BITS, HEADER = {4: 32, 6: 128}, {4: 20, 6: 40}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
CASES = [(mode, family, offload) for mode in ("tunnel", "transport") for family in (4, 6)
         for offload in (False, True)]
MEGABYTE = 1 << 20
ESP_OR_FRAGMENT = (50, 44)


class Pair(suite.Case):
    """west and east: on one wire of `mtu` bytes; or with a router between them whose link to east is
    of `narrow` bytes."""

    mtu = 1500
    narrow = None
    device = {"offload": "crypto"}
    rest = ""  # of the configuration

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.west, cls.east = cls.make_host("west"), cls.make_host("east")
        if cls.narrow:
            cls.router = types.SimpleNamespace(ns=cls.own(labkit.Namespace("router")))
            labkit.connect(cls.west, cls.router, 0, cls.mtu)
            labkit.connect(cls.router, cls.east, 1, cls.narrow)
            sysctl(cls.router.ns, "net.ipv4.ip_forward", 1)
            sysctl(cls.router.ns, "net.ipv6.conf.all.forwarding", 1)
            for family, (left, right) in ROUTER.items():
                for i, address in enumerate((left, right)):
                    cls.router.ns.ip(f"addr add {address}/{24 if family == 4 else 64} dev wire{i}"
                                     + (" nodad" if family == 6 else ""))
        else:
            labkit.connect(cls.west, cls.east, 0, cls.mtu)
        cls.west.start([cls.device], cls.rest)
        cls.east.start([{**cls.device, "wire": "wire1" if cls.narrow else "wire0"}], cls.rest)
        for me, host in enumerate((cls.west, cls.east)):
            cls.addresses(host.ns, me)
        cls.wire = cls.own(FrameSocket(cls.west.ns, "wire0"))

    @classmethod
    def addresses(cls, ns, me):
        sysctl(ns, "net.ipv4.icmp_ratelimit", 0)
        sysctl(ns, "net.ipv6.conf.nic0.addr_gen_mode", 1)  # no noise of link-local addresses
        for family in (4, 6):
            dad = " nodad" if family == 6 else ""
            ns.ip(f"addr add {OUTER[family][me]}/{24 if family == 4 else 64} dev nic0{dad}")
            ns.ip(f"addr add {INNER[family][me]}/{BITS[family]} dev lo{dad}")
            far, via = OUTER[family][1 - me], f"via {ROUTER[family][me]} " if cls.narrow else ""
            ns.ip(f"-{family} route add {far}/{BITS[family]} {via}dev nic0 src {OUTER[family][me]}")
            via = via or (f"via {far} onlink " if family == 4 else f"via {far} ")
            ns.ip(f"-{family} route add {INNER[family][1 - me]}/{BITS[family]} {via}dev nic0 "
                  f"src {INNER[family][me]}")

    def tearDown(self):
        for host in (self.west, self.east):
            suite.xfrm_batch(host, ["state flush", "policy flush"])
            for family in (4, 6):
                host.ns.ip(f"-{family} route flush cache")

    # --- SAs ---

    def use(self, mode, family, offload=False, extra=""):
        """Sets SAs and policies of both hosts; resets the wire, the route caches and the counters."""
        self.mode, self.family = mode, family
        self.tearDown()
        keys = self.keys = [os.urandom(20).hex() for _ in range(2)]
        outer = OUTER[family]
        inner = INNER[family] if mode == "tunnel" else outer
        self.target = inner[1]
        for me, host in enumerate((self.west, self.east)):
            lines = []
            for sender, direction in ((me, "out"), (1 - me, "in")):
                src, dst = outer[sender], outer[1 - sender]
                lines += [f"state add src {src} dst {dst} proto esp spi {0x1001 + sender:#x} reqid 1 "
                          f"mode {mode} replay-window 64 aead rfc4106(gcm(aes)) 0x{keys[sender]} 128 "
                          + (extra if direction == "out" else "")
                          + (f" offload dev nic0 dir {direction}" if offload else ""),
                          f"policy add src {inner[sender]}/{BITS[family]} "
                          f"dst {inner[1 - sender]}/{BITS[family]} dir {direction} tmpl "
                          + (f"src {src} dst {dst} " if mode == "tunnel" else "")
                          + f"proto esp reqid 1 mode {mode}"]
            suite.xfrm_batch(host, lines)
        self.wait_for(self.reached, "neighbours to be known")
        self.wire.drain()
        self.before = [suite.counters(host) for host in (self.west, self.east)]

    def every_case(self, check, families=(4, 6), modes=("tunnel", "transport")):
        for mode, family, offload in CASES:
            if family in families and mode in modes:
                with self.subTest(mode=mode, family=family, offload=offload):
                    self.use(mode, family, offload)
                    check()

    def counted(self, west, east=None):
        """How the counters of both changed since use()."""
        for host, before, counts in zip((self.west, self.east), self.before, (west, east or {})):
            self.assert_counted(host, before, counts, host.name)

    # --- Traffic ---

    def reached(self):
        return self.west.ns.run(f"ping -n -c 1 -W 1 -s 1 {self.target}", check=False).returncode == 0

    def ping(self, received, options):
        """Runs ping; checks the number of answers and returns its output."""
        wait = int(2 * suite.SLOWNESS)
        text = self.west.ns.run(f"ping -{self.family} -n -i 0.05 -W {wait} {options} {self.target}",
                                check=False).stdout
        self.assertRegex(text, rf" {received} received", f"{self.mode} IPv{self.family}\n{text}")
        return text

    def told_mtu(self, options):
        """The MTU reported to an unanswered ping."""
        text = self.ping(0, f"-M do -c 1 {options}")
        return int(re.search(r"mtu ?= ?(\d+)", text).group(1))

    def explained_mtu(self):
        text = self.west.text("mtu", "explain", self.target)
        shown = self.west.show("mtu", "explain", self.target)
        self.assertIn(f"mtu {shown['inner_mtu']}, TCP MSS {shown['tcp_mss']}", text)
        return shown["inner_mtu"]

    def path_mtu(self):
        """The path MTU of the SA that sends."""
        sa = next(sa for sa in self.west.show("sa") if int(sa["spi"], 16) == 0x1001)
        return sa.get("path_mtu")

    def outer_packets(self, count):
        """ESP packets, or IPv6 fragments, that west sent by the wire."""
        mac = bytes.fromhex(self.west.show("dev")[0]["mac"].replace(":", ""))
        ether, at = (b"\x08\x00", 23) if self.family == 4 else (b"\x86\xdd", 20)
        frames = self.wire.frames(lambda f: f[6:14] == mac + ether and f[at] in ESP_OR_FRAGMENT, count,
                                  suite.SLOWNESS)
        return [f[14:] for f in frames]

    def send_and_receive(self, payload):
        """A datagram whose sender allows fragments."""
        with inside(self.east.ns):
            server = socket.socket(AF[self.family], socket.SOCK_DGRAM)
        with inside(self.west.ns):
            client = socket.socket(AF[self.family], socket.SOCK_DGRAM)
        with server, client:
            server.bind((self.target, 7001))
            server.settimeout(2 * suite.SLOWNESS)
            if self.family == 4:
                client.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
            client.sendto(payload, (self.target, 7001))
            self.assertEqual(server.recv(65536), payload)

    def megabyte(self):
        """Sends data by TCP; returns how much arrived, and whether it is intact."""
        with inside(self.east.ns):
            server = socket.create_server((self.target, 7002), family=AF[self.family])
        with inside(self.west.ns):
            client = socket.socket(AF[self.family], socket.SOCK_STREAM)
        data, got = os.urandom(MEGABYTE), bytearray()

        def receive():
            connection = server.accept()[0]
            connection.settimeout(20 * suite.SLOWNESS)
            with connection:
                while part := connection.recv(1 << 16):
                    got.extend(part)
        server.settimeout(5 * suite.SLOWNESS)
        client.settimeout(20 * suite.SLOWNESS)
        thread = threading.Thread(target=receive)
        with server, client:
            thread.start()
            client.connect((self.target, 7002))
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            thread.join()
        self.assertEqual(bytes(got), data)


class Wire1500(Pair):
    def host_fragments(self):
        self.ping(3, "-s 4000 -c 3")
        self.counted({})

    def test_host_fragments(self):
        self.every_case(self.host_fragments, families=(4,))

    def test_host_fragments_v6_transport(self):
        self.every_case(self.host_fragments, families=(6,), modes=("transport",))

    def test_host_fragments_v6_tunnel(self):
        # They leave in outer fragments; each sender is notified once of the size that fits.
        def check():
            self.ping(2, "-i 0.3 -s 4000 -c 3")  # ping counts the error as an answer
            self.ping(3, "-s 4000 -c 3")
            self.counted({}, {})
        self.every_case(check, families=(6,), modes=("tunnel",))

    def test_datagram_without_df_goes_in_fragments_of_the_outer_packet(self):
        payload = os.urandom(self.mtu - 28)  # fills the wire by itself

        def check():
            self.send_and_receive(payload)
            packets = self.outer_packets(2)
            fields = [struct.unpack("!HHH", p[2:8]) for p in packets]
            self.assertEqual({p[9] for p in packets}, {50})
            self.assertLessEqual(max(length for length, _, _ in fields), self.mtu)
            self.assertEqual([flags & 0xe000 for _, _, flags in fields], [0x2000, 0])
            self.assertEqual(fields[0][1], fields[1][1])
            self.assertEqual((fields[1][2] & 0x1fff) * 8, fields[0][0] - 20)
            self.counted({})
        self.every_case(check, families=(4,))

    def test_sender_is_notified_of_the_mtu_that_is_explained(self):
        def check():
            headers = HEADER[self.family] + 8
            mtu = self.told_mtu(f"-s {self.mtu - headers}")
            self.assertEqual(mtu, self.explained_mtu())
            self.assertIn(mtu, range(self.mtu - 80, self.mtu - 24))
            self.wire.drain()
            self.ping(3, f"-M do -c 3 -s {mtu - headers}")  # just fits
            for packet in self.outer_packets(3):
                self.assertIn(len(packet), range(self.mtu - 3, self.mtu + 1))
                if self.family == 4:
                    self.assertEqual(struct.unpack("!H", packet[6:8])[0], 0x4000)  # DF
            self.counted({"out-too-big": 1})
        self.every_case(check)

    def test_tcp_finds_its_size(self):
        def check():
            self.megabyte()
            self.assertIsNone(self.path_mtu())
        self.every_case(check)


class Wire1400(Wire1500):
    mtu = 1400


class Jumbo(Pair):
    """Jumbo frames from end to end, and back."""
    mtu = 9000

    test_sender_is_notified_of_the_mtu_that_is_explained = (
        Wire1500.test_sender_is_notified_of_the_mtu_that_is_explained)
    test_datagram_without_df_goes_in_fragments_of_the_outer_packet = (
        Wire1500.test_datagram_without_df_goes_in_fragments_of_the_outer_packet)

    def test_one_packet_fills_the_wire_and_scapy_opens_it(self):
        for family in (4, 6):
            with self.subTest(family=family):
                self.use("tunnel", family)
                payload = os.urandom(self.explained_mtu() - HEADER[family] - 8)
                self.send_and_receive(payload)
                packet = self.outer_packets(1)[0]
                self.assertIn(len(packet), range(self.mtu - 3, self.mtu + 1))
                sa = ipsec.SecurityAssociation(ipsec.ESP, spi=0x1001, crypt_algo="AES-GCM",
                                               crypt_key=bytes.fromhex(self.keys[0]))
                opened = sa.decrypt((IP if family == 4 else IPv6)(packet))
                self.assertEqual(bytes(opened[UDP].payload), payload)
                self.counted({})

    def test_tcp_uses_the_size(self):
        def check():
            self.wire.drain()
            self.megabyte()
            largest = max(len(packet) for packet in self.outer_packets(60))
            self.assertIn(largest, range(self.mtu - 60, self.mtu + 1))
        self.every_case(check, modes=("tunnel",))

    def test_nothing_is_lost_in_fragments(self):
        def check():
            self.ping(3, "-s 30000 -c 3")
            self.counted({})
        self.every_case(check, families=(4,))


class TfcPadding(Pair):
    PAD = 1000  # bytes of inner packet

    def test_all_packets_have_one_length(self):
        for family in (4, 6):
            self.use("tunnel", family, extra=f"tfcpad {self.PAD}")
            # Pad length and next header, to a multiple of 4; SPI, number, IV; ICV.
            expected = HEADER[family] + 16 + (self.PAD + 2 + 3) // 4 * 4 + 16
            for size in (1, 56, 500, self.PAD - HEADER[family] - 8):
                self.ping(2, f"-c 2 -s {size}")
                self.assertEqual([len(p) for p in self.outer_packets(2)], [expected] * 2, f"{size}")
            self.ping(2, f"-c 2 -s {self.PAD}")  # larger ones stay as they are
            self.assertGreater(len(self.outer_packets(1)[0]), expected)
            self.counted({})


class NarrowPath(Pair):
    narrow = 1300

    def test_path_mtu_is_learnt(self):
        def check():
            self.assertIsNone(self.path_mtu())
            headers = HEADER[self.family] + 8
            wide = self.explained_mtu()
            self.ping(0, f"-M do -c 1 -W 1 -s {wide - headers}")  # fits the wire
            self.wait_for(lambda: self.path_mtu() == self.narrow, "the path MTU")
            mtu = self.told_mtu(f"-s {wide - headers}")
            self.assertEqual(mtu, self.explained_mtu())
            self.assertEqual(mtu, max(wide - 1500 + self.narrow, 1280 if self.family == 6 else 0))
            self.ping(3, f"-M do -c 3 -s {mtu - headers}")
            self.counted({"out-too-big": 1})
        self.every_case(check)

    def test_tcp_completes(self):
        def check():
            self.megabyte()
            self.assertEqual(self.path_mtu(), self.narrow)
        self.every_case(check)


if __name__ == "__main__":
    suite.main()
