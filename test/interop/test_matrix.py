#!/usr/bin/python3
"""The matrix: mode x families x suite x ESN x UDP encapsulation x placement, both directions, on a
real wire. For each placement one daemon gets all SAs and policies by one unmodified `ip -batch`;
the host's real stack and the peer then exchange UDP datagrams by every one of them; what was seen
is recorded, and judged afterwards:

  espjudge.py   every packet of the host; seals for the host what Scapy does not
  Scapy         all suites but those that it lacks (espsuites.py: scapy_names), ESN only of AEADs;
                it knows no BEET: there it is a transport-mode peer of the outer addresses
  tshark        what Wireshark 4.0 has (espsuites.py: tshark_names); no ESN. Of XCBC and CMAC it
                decrypts, but does not check the ICV
"""

import collections
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

from scapy.layers.ipsec import IPSecIntegrityError
from scapy.utils import PcapWriter

import matrixcases as mx
import suite
from espjudge import Refused
from labkit import LabError
from matrixcases import AF, HEADER, HOST, INNER, OUTER, PEER, UDP_PROTO
from rawwire import FrameSocket, Peer, inside, sysctl

IP_RECVTTL, IP_MTU_DISCOVER, PMTUDISC_DO, PMTUDISC_DONT = 12, 10, 2, 0  # linux/in.h
CHUNK = 24  # datagrams under way at once: fewer than any queue holds
# Options of the host's socket, packet by packet.
OUTBOUND = ({"tos": 0x00, "ttl": 64, "df": True}, {"tos": 0xb8, "ttl": 33, "df": False},
            {"tos": 0x2b, "ttl": 7, "df": False}, {"tos": 0x01, "ttl": 255, "df": True})
SIZES = (20, 300, 1288, 100)  # of its datagrams, and up to 15 bytes more
INBOUND = 3
TALLY = collections.defaultdict(collections.Counter)


def spi_and_ends(frame):
    """SPI of a frame that is ESP, plain or in UDP; else None."""
    kind = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(frame[12:14])
    if kind is None:
        return None
    at, proto = 14 + HEADER[kind], frame[23 if kind == 4 else 20]
    if proto == UDP_PROTO and frame[at:at + 4] == struct.pack("!HH", mx.NAT_T, mx.NAT_T):
        at += 8
    elif proto != mx.ESP_PROTO:
        return None
    return int.from_bytes(frame[at:at + 4], "big")


def stack_port(frame):
    """Destination port of a frame that is the host's datagram in clear; else None."""
    kind = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(frame[12:14])
    if kind is None or frame[23 if kind == 4 else 20] != UDP_PROTO:
        return None
    at = 14 + HEADER[kind]
    sport, dport = struct.unpack("!HH", frame[at:at + 4])
    return dport if sport == mx.HOST_PORT else None


def with_checksum(packet):
    """Computes the UDP checksum, which the stack leaves to the device."""
    kind = packet[0] >> 4
    at = HEADER[kind]
    found, _ = mx.fields(packet)
    ends = [socket.inet_ntop(AF[kind], a) for a in found["ends"]]
    sport, dport = struct.unpack("!HH", packet[at:at + 4])
    return packet[:at] + mx.udp_datagram(ends, sport, dport, packet[at + 8:])


def payload_of(case, number, inbound):
    """A payload, different for every packet. The sizes cover every pad length: in every case where the
    alignment is 4, else over the cases of the suite."""
    variants = 4  # of a suite in each shape: they follow each other
    nth = case.number // (variants * len(mx.SUITES)) * variants + case.number % variants
    size = SIZES[number] + (nth + 5 * number) % 16
    head = struct.pack("!IBB", case.number, number, inbound)
    return head + bytes((i * 7 + case.number) & 0xff for i in range(size - len(head)))


class Matrix:
    """One placement; the classes at the end say which."""

    placement = ""
    daemon_keys = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.peer = cls.own(Peer(cls.host))
        try:
            cls.host.start([{"offload": "crypto", "sa_limit": 10_000}], cls.daemon_keys)
        except LabError as error:
            if "ipsec_mb" in cls.daemon_keys and "ipsec_mb" in str(error):
                cls.host.ended_by_test = True
                raise unittest.SkipTest(f"not on this machine: {error}") from None
            raise
        cls.capabilities = cls.host.show("dev")[0]["offload"]["capabilities"]
        cls._addresses()
        cls.cases = [c for c in mx.all_cases(cls.placement) if cls._takes_part(c)]
        cls.by_spi = {c.spis[HOST]: c for c in cls.cases}
        cls._install()
        cls.before = suite.counters(cls.host), cls.host.show("dev")[0]["offload"]
        cls.sent = {}      # (case, packet): what the host's stack sent
        cls.on_wire = collections.defaultdict(list)  # case: frames of the host
        cls.strays = []    # frames without an SA
        cls.got = {}       # payload: (source, TOS, TTL)
        for number in range(len(OUTBOUND)):
            cls._host_sends(number)
        for number in range(INBOUND):
            cls._peer_sends(number)
        cls.after = suite.counters(cls.host), cls.host.show("dev")[0]["offload"]
        cls.sas = {int(sa["spi"], 16): sa for sa in cls.host.show("sa")}

    @classmethod
    def _addresses(cls):
        ns, mac = cls.host.ns, cls.peer.mac.hex(":")
        sysctl(ns, "net.ipv6.conf.nic0.addr_gen_mode", 1)
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
        cls.stack = cls.own(FrameSocket(ns, "nic0"))
        cls.udp = {}
        with inside(ns):
            for family in (4, 6):
                cls.udp[family] = cls.own(socket.socket(AF[family], socket.SOCK_DGRAM))
        cls.udp[6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for level, options in ((4, (socket.IP_RECVTOS, IP_RECVTTL)),
                               (6, (socket.IPV6_RECVTCLASS, socket.IPV6_RECVHOPLIMIT))):
            for option in options:
                cls.udp[level].setsockopt(
                    socket.IPPROTO_IP if level == 4 else socket.IPPROTO_IPV6, option, 1)
            cls.udp[level].bind(("", mx.HOST_PORT))
            cls.udp[level].settimeout(0.5 * suite.SLOWNESS)

    @classmethod
    def _takes_part(cls, case):
        return True

    @classmethod
    def _offload(cls, case):
        """The device that the SAs request."""
        return None

    @classmethod
    def _install(cls):
        """All at once. `ip` ends its batch at the first command that is refused: then case by case,
        to know which ones are."""
        cls.refused = {}
        try:
            suite.xfrm_batch(cls.host, [line for c in cls.cases for line in cls._commands(c)])
        except LabError:
            suite.xfrm_batch(cls.host, ["state flush", "policy flush"])
            for case in cls.cases:
                try:
                    suite.xfrm_batch(cls.host, cls._commands(case))
                except LabError as error:
                    cls.refused[case] = str(error).rsplit(": ", 1)[-1]
        cls.installed = [c for c in cls.cases if c not in cls.refused]
        TALLY[cls.placement].update({
            "cases": len(cls.installed),
            "of one judge": len([c for c in cls.installed if not (c.scapy_can or c.tshark_can)])})

    @classmethod
    def _commands(cls, case):
        return case.commands(cls._offload(case))

    # --- The exchange ---

    @classmethod
    def _host_sends(cls, number):
        for udp in cls.udp.values():
            cls._options(udp, **OUTBOUND[number])
        for at in range(0, len(cls.installed), CHUNK):
            chunk = cls.installed[at:at + CHUNK]
            for case in chunk:
                cls.udp[case.shape.inner].sendto(payload_of(case, number, 0),
                                                 (case.shape.ends[PEER], case.port))
            for frame in cls.stack.frames(stack_port, len(chunk), suite.SLOWNESS):
                cls.sent[stack_port(frame) - mx.FIRST_PORT, number] = with_checksum(frame[14:])
            for frame in cls.peer.wire.frames(spi_and_ends, len(chunk), suite.SLOWNESS):
                case = cls.by_spi.get(spi_and_ends(frame))
                (cls.on_wire[case.number] if case else cls.strays).append(frame)

    @staticmethod
    def _options(udp, tos, ttl, df):
        if udp.family == socket.AF_INET:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            udp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO if df else PMTUDISC_DONT)
        else:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)

    @classmethod
    def _peer_sends(cls, number):
        for at in range(0, len(cls.installed), CHUNK):
            chunk = cls.installed[at:at + CHUNK]
            for case in chunk:
                by_scapy = case.scapy_can and (case.number + number) % 2 == 0
                cls.peer.send_ip(case.inbound(payload_of(case, number, 1), by_scapy,
                                             ce=number % 2))
                TALLY[cls.placement]["sealed by Scapy" if by_scapy else "sealed by espjudge"] += 1
            for family, udp in cls.udp.items():
                for _ in [c for c in chunk if c.shape.inner == family]:
                    cls._host_gets(udp)

    @classmethod
    def _host_gets(cls, udp):
        try:
            payload, control, _, source = udp.recvmsg(2000, 200)
        except TimeoutError:
            return
        level, tos, ttl = ((socket.IPPROTO_IP, socket.IP_TOS, socket.IP_TTL)
                           if udp.family == socket.AF_INET else
                           (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_HOPLIMIT))
        found = {kind: int.from_bytes(value, "little")
                 for of, kind, value in control if of == level}
        cls.got[payload] = (source[:2], found.get(tos), found.get(ttl))

    # --- The verdict ---

    def each(self, cases, judge):
        """Judges all cases, then reports the failed ones together, by fault."""
        faults = collections.defaultdict(list)
        for case in cases:
            try:
                judge(case)
            except (mx.Wrong, Refused, IPSecIntegrityError, KeyError, TypeError) as error:
                faults[f"{type(error).__name__}: {error}"].append(case.name)
        if faults:
            lines = [f"{fault}\n      {len(names)} cases: {', '.join(names[:8])} ..."
                     for fault, names in faults.items()]
            failed = sum(len(names) for names in faults.values())
            self.fail("\n  ".join([f"{failed} of {len(cases)} cases are wrong", *lines[:20]]))

    def test_every_command_was_taken(self):
        def judge(case):
            if case in self.refused:
                raise mx.Wrong(self.refused[case])
        self.each(self.cases, judge)

    def outbound(self, case):
        frames = self.on_wire[case.number]
        mx.expect("number of packets on the wire", len(frames), len(OUTBOUND))
        for count, frame in enumerate(frames, 1):
            mx.expect("ends of the frame", (frame[:6], frame[6:12]),
                      (self.peer.mac, self.peer.host_mac))
            original, packet = self.sent[case.number, count - 1], frame[14:]
            payload = payload_of(case, count - 1, 0)
            mx.expect("datagram of the stack", original[HEADER[case.shape.inner] + 8:], payload)
            opened = case.judge_outbound(packet, original, count)
            self.pad_lengths[case.suite.name].add(len(opened.padding))
            TALLY[self.placement]["opened by espjudge"] += 1
            if case.scapy_can:
                mx.expect("what Scapy finds", case.scapy_opens(packet, count),
                          original[HEADER[case.shape.inner]:])
                TALLY[self.placement]["opened by Scapy"] += 1

    def test_every_packet_of_the_host(self):
        self.pad_lengths = collections.defaultdict(set)
        for shape in mx.SHAPES:
            with self.subTest(shape.name):
                self.each([c for c in self.installed if c.shape is shape], self.outbound)
        self.assertEqual(self.strays, [])
        for name in {c.suite.name for c in self.installed}:
            self.assertEqual(self.pad_lengths[name], set(range(mx.SUITES[name].align)), name)

    def test_every_packet_for_the_host(self):
        def judge(case):
            for number in range(INBOUND):
                payload = payload_of(case, number, 1)
                mx.expect("whether the host got the packet", payload in self.got, True)
                # Only CE of the outer header is copied to the inner one.
                expected = (case.shape.ends[PEER], case.port), 0x2a + number % 2, 77
                mx.expect("source, TOS and TTL", self.got[payload], expected)
        self.each(self.installed, judge)
        self.assertEqual(len(self.got), len(self.installed) * INBOUND)

    def test_counters(self):
        self.assertEqual(suite.difference(self.before[0], self.after[0]), {})

        def judge(case):
            for i, count, what in ((HOST, len(OUTBOUND), "oseq"), (PEER, INBOUND, "seq")):
                sa = self.sas[case.spis[i]]
                mx.expect("packets of the SA", sa["usage"]["packets"], count)
                mx.expect(what, sa["replay"][what], case.first + count)
        self.each(self.installed, judge)

    def test_placement(self):
        def judge(case):
            for i, direction in ((HOST, "out"), (PEER, "in")):
                for place in self.sas[case.spis[i]]["placements"]:
                    if place["direction"] == direction:
                        self.judge_place(case, place)
        self.each(self.installed, judge)
        device = {name: self.after[1][name] - self.before[1][name] for name in ("sealed", "opened")}
        done = len([c for c in self.installed if self._offload(c)])
        self.assertEqual(device, {"sealed": done * len(OUTBOUND), "opened": done * INBOUND})

    def test_tshark(self):
        pcap = os.path.join(self.workdir, "matrix.pcap")
        cases = [c for c in self.installed if c.tshark_can]
        frames = [(c, number, frame) for c in cases
                  for number, frame in enumerate(self.on_wire[c.number])]
        with PcapWriter(pcap, linktype=1) as writer:
            for _, _, frame in frames:
                writer.write(frame)
        rows = self._tshark(pcap, cases)
        self.assertEqual(len(rows), len(frames))
        found = {c.number: [] for c in cases}
        for (case, number, _), row in zip(frames, rows):
            found[case.number].append((number, row))

        def judge(case):
            for number, (payload, good) in found[case.number]:
                mx.expect("what tshark finds", payload, payload_of(case, number, 0).hex())
                if "no checking" not in case.suite.tshark_names[1]:
                    mx.expect("tshark's opinion of the ICV", good, "1")
                TALLY[self.placement]["opened by tshark"] += 1
        self.each(cases, judge)

    def _tshark(self, pcap, cases):
        """[(payload of the innermost UDP datagram, whether the ICV is good)], frame by frame."""
        config = os.path.join(self.workdir, "wireshark")
        os.makedirs(config, exist_ok=True)
        with open(os.path.join(config, "esp_sa"), "w", encoding="utf-8") as f:
            for case in cases:
                family, ends = case.shape.outer, OUTER[case.shape.outer]
                columns = (f"IPv{family}", *ends, f"{case.spis[HOST]:#010x}",
                           *case.suite.tshark(case.keys[HOST]))
                f.write(",".join(f'"{column}"' for column in columns) + "\n")
        argv = ["tshark", "-r", pcap, "-o", "esp.enable_encryption_decode:TRUE",
                "-o", "esp.enable_authentication_check:TRUE", "-T", "fields", "-E", "occurrence=l",
                "-d", f"udp.port=={mx.FIRST_PORT}-{mx.FIRST_PORT + 9999},data",
                "-e", "udp.payload", "-e", "esp.icv_good"]
        result = subprocess.run(argv, env={**os.environ, "WIRESHARK_CONFIG_DIR": config},
                                capture_output=True, text=True, check=True,
                                timeout=60 * suite.SLOWNESS)
        return [line.split("\t") for line in result.stdout.splitlines()]


class OpenSsl(Matrix, suite.Case):
    placement = "openssl"
    daemon_keys = 'engine = "openssl"'

    def judge_place(self, case, place):
        mx.expect("placement", (place["effective"], place["engine"]), ("software", "openssl"))


class IpsecMb(Matrix, suite.Case):
    """The other engine does what the look-aside engine cannot."""

    placement = "ipsec_mb"
    daemon_keys = 'engine = "ipsec_mb"'

    def judge_place(self, case, place):
        gcm = case.suite.name.startswith("gcm") and case.suite.icv == 16
        engines = ("ipsec_mb",) if gcm else ("ipsec_mb", "openssl")
        mx.expect("whether it is an engine of the CPU", place["engine"] in engines, True)
        mx.expect("placement", place["effective"], "software")


class LookAside(Matrix, suite.Case):
    placement = "look-aside"
    daemon_keys = '[look_aside]\nengine = "thread_offload"\nmode = "auto"\nthreads = 2'

    def judge_place(self, case, place):
        mx.expect("placement", (place["effective"], place["engine"]),
                  ("look-aside", "thread_offload"))


class Cryptodev(Matrix, suite.Case):
    """A crypto device of DPDK, in software, by a plug-in; the CPU does the suites that it lacks."""

    placement = "cryptodev"
    @classmethod
    def setUpClass(cls):
        library = os.path.join(os.environ["CYGNET_BUILD"], "src/plugin/modules/libcygnet_cryptodev.so")
        if not os.path.exists(library):
            raise unittest.SkipTest("built without DPDK")
        cls.daemon_keys = (f'[look_aside]\nengine = "plugin"\nmode = "auto"\nplugin = "{library}"\n'
                           'plugin_options = ["crypto=crypto_aesni_mb0"]')
        super().setUpClass()

    @staticmethod
    def _device_can(case):
        ciphers = ("rfc4106(gcm(aes))", "rfc7539esp(chacha20,poly1305)", "cbc(aes)", "rfc3686(ctr(aes))", "ecb(cipher_null)")
        return all(a in ciphers or a.startswith("hmac(") for a in case.suite.algorithms)

    def judge_place(self, case, place):
        mx.expect("placement", (place["effective"], place["engine"] == "cryptodev"),
                  ("look-aside", True) if self._device_can(case) else ("software", False))

    def test_the_device_did_the_work(self):
        engine = next(e for e in self.host.show("engine") if e["name"] == "cryptodev")
        self.assertGreater(engine["jobs"], 100)
        self.assertEqual(engine["in_flight"], 0)
        self.assertIn("crypto_aesni_mb", engine["module"])


class Isolated(Matrix, suite.Case):
    """OpenSSL as a plug-in in a process of its own."""

    placement = "isolated"

    @classmethod
    def setUpClass(cls):
        # Where the process's user can read it, and only root can change it.
        cls.folder = tempfile.mkdtemp(prefix="cygnet-isolated.", dir="/var/lib")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        os.chmod(cls.folder, 0o755)
        library = shutil.copy(os.path.join(os.environ["CYGNET_BUILD"],
                                           "src/plugin/modules/libcygnet_builtin_engine.so"), cls.folder)
        with open(library, "rb") as f:
            if b"san_init" in f.read():
                raise unittest.SkipTest("an isolated plug-in has no run time of sanitizers")
        cls.daemon_keys = (f'[look_aside]\nengine = "plugin"\nmode = "auto"\nplugin = "{library}"\n'
                           'plugin_options = ["engine=openssl"]\nisolate = true')
        super().setUpClass()

    def judge_place(self, case, place):
        mx.expect("placement", place["effective"], "look-aside")

    def test_the_process_did_the_work(self):
        engine = next(e for e in self.host.show("engine") if e["name"] == "builtin")
        self.assertGreater(engine["jobs"], 100)
        self.assertEqual(engine["in_flight"], 0)
        self.assertIn("OpenSSL", engine["module"])


class Crypto(Matrix, suite.Case):
    """The software NIC supports what its capabilities name; only those cases take part."""

    placement = "crypto"

    @classmethod
    def _takes_part(cls, case):
        return cls._device_can(case)

    @classmethod
    def _offload(cls, case):
        return "nic0" if cls._device_can(case) else None

    @classmethod
    def _device_can(cls, case):
        caps, algorithms = cls.capabilities, case.suite.algorithms
        return (caps["crypto_offload"] and caps.get(case.shape.mode, False) and caps[f"ipv{case.shape.outer}"] and (caps["esn"] or not case.esn)
                and (caps["udp_encap"] or not case.encap)
                and all(a in caps["algorithms"] for a in algorithms)
                and case.suite.cipher_size * 8 in caps["key_bits"]
                and case.suite.icv * 8 in caps["icv_bits"])

    def judge_place(self, case, place):
        mx.expect("placement", (place["effective"], place["device"]), ("crypto", "nic0"))


class Mixed(Crypto):
    """Device and look-aside engine in one daemon: each SA gets the first of them that supports it."""

    placement = "crypto, look-aside"
    daemon_keys = LookAside.daemon_keys

    @classmethod
    def _takes_part(cls, case):
        return True

    def judge_place(self, case, place):
        mx.expect("placement", place["effective"],
                  "crypto" if self._device_can(case) else "look-aside")


COLUMNS = ("cases", "opened by espjudge", "opened by Scapy", "opened by tshark",
           "sealed by espjudge", "sealed by Scapy", "of one judge")


def tearDownModule():
    """of one judge: cases that neither Scapy nor tshark can open."""
    lines = [("placement", *COLUMNS)]
    lines += [(placement, *[tally[c] for c in COLUMNS]) for placement, tally in TALLY.items()]
    total = sum(TALLY.values(), collections.Counter())
    lines.append(("all", *[total[c] for c in COLUMNS]))
    print()
    for first, *rest in lines:
        print(f"{first:20}" + "".join(f"{n:>{len(c) + 3}}" for n, c in zip(rest, COLUMNS)))


if __name__ == "__main__":
    suite.main()
