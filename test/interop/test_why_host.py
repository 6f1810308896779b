#!/usr/bin/python3
"""`cygnet why` and the host's own stack: routes, rules, forwarding, sizes, special addresses. Each row is a
situation, a question and the verdict; then a real packet does what the verdict says."""

import contextlib
import os
import socket
import struct

import labkit
import suite
from rawwire import FrameSocket, Peer, inside, mac_of, sysctl
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from test_why import Why as _Why

HOST, HOST3, PEER, LAN_HOST = "192.0.2.1", "192.0.2.3", "192.0.2.2", "10.1.0.9"
FAR, FAR6, LAN_HOST6 = "10.2.0.1", "fd02::1", "fd01::9"
OUT = 0x1001
SO_BINDTODEVICE, IP_MTU_DISCOVER, PMTUDISC_DO = 25, 10, 2
TABLE7 = "ip route replace default via 10.1.0.254 dev lan0 table 7;"
NO_TABLE7 = ";ip route flush table 7"

# Situation, how it ends; the packet as the words of the question; verdict, or the drop reason.
ROWS = (
    ("", "", FAR, "clear"),
    ("", "", f"{FAR} src {HOST3}", "clear"),
    ("", "", f"{FAR} src {LAN_HOST}", "clear"),
    ("", "", FAR6, "clear"),
    ("", "", f"{FAR6} src {LAN_HOST6}", "clear"),
    ("", "", f"{LAN_HOST} src {HOST}", "not-ours"),
    # Routing rules
    (f"{TABLE7} ip rule add from {HOST3} lookup 7", f"ip rule del from {HOST3}{NO_TABLE7}", f"{FAR} src {HOST3}",
     "not-ours"),
    (f"{TABLE7} ip rule add from {HOST3} lookup 7", f"ip rule del from {HOST3}{NO_TABLE7}", f"{FAR} src {HOST}", "clear"),
    (f"{TABLE7} ip rule add fwmark 5 lookup 7", f"ip rule del fwmark 5{NO_TABLE7}", f"{FAR} mark 5", "not-ours"),
    (f"{TABLE7} ip rule add fwmark 5 lookup 7", f"ip rule del fwmark 5{NO_TABLE7}", FAR, "clear"),
    (f"{TABLE7} ip rule add ipproto udp dport 53 lookup 7", f"ip rule del ipproto udp dport 53{NO_TABLE7}",
     f"{FAR} dport 53", "not-ours"),
    (f"{TABLE7} ip rule add ipproto udp dport 53 lookup 7", f"ip rule del ipproto udp dport 53{NO_TABLE7}",
     f"{FAR} dport 54", "clear"),
    ("ip rule add iif lan0 prohibit", "ip rule del iif lan0 prohibit", f"{FAR} src {LAN_HOST}", "host-drops"),
    ("ip rule add iif lan0 prohibit", "ip rule del iif lan0 prohibit", FAR, "clear"),
    # Forwarding
    ("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1", f"{FAR} src {LAN_HOST}", "host-drops"),
    ("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1", FAR, "clear"),
    ("sysctl -qw net.ipv4.conf.lan0.forwarding=0", "sysctl -qw net.ipv4.conf.lan0.forwarding=1",
     f"{FAR} src {LAN_HOST}", "host-drops"),
    ("sysctl -qw net.ipv6.conf.all.forwarding=0", "sysctl -qw net.ipv6.conf.all.forwarding=1",
     f"{FAR6} src {LAN_HOST6}", "host-drops"),
    ("sysctl -qw net.ipv6.conf.lan0.forwarding=0", "sysctl -qw net.ipv6.conf.lan0.forwarding=1",
     f"{FAR6} src {LAN_HOST6}", "clear"),
    ("", "", f"{FAR} src 10.7.0.9 iif lan0", "clear"),
    ("sysctl -qw net.ipv4.conf.lan0.rp_filter=1", "sysctl -qw net.ipv4.conf.lan0.rp_filter=0",
     f"{FAR} src 10.7.0.9 iif lan0", "host-drops"),
    ("sysctl -qw net.ipv4.conf.lan0.rp_filter=1", "sysctl -qw net.ipv4.conf.lan0.rp_filter=0",
     f"{FAR} src 10.2.0.9 iif lan0", "host-drops"),
    ("sysctl -qw net.ipv4.conf.lan0.rp_filter=2", "sysctl -qw net.ipv4.conf.lan0.rp_filter=0",
     f"{FAR} src 10.2.0.9 iif lan0", "clear"),
    ("sysctl -qw net.ipv4.conf.lan0.rp_filter=1", "sysctl -qw net.ipv4.conf.lan0.rp_filter=0",
     f"{FAR} src {LAN_HOST}", "clear"),
    # Kinds of routes
    ("", "", "203.0.113.9", "host-drops"),
    ("", "", "2001:db8::9", "host-drops"),
    *((f"ip route add {kind} {net}", f"ip route del {kind} {net}", question, "host-drops")
      for kind in ("blackhole", "unreachable", "prohibit")
      for net, question in (("10.2.5.0/24", "10.2.5.1"), ("10.2.5.0/24", f"10.2.5.1 src {LAN_HOST}"),
                            ("fd02:5::/32", "fd02:5::1"))),
    # Special addresses
    ("", "", HOST3, "not-ours"),
    ("", "", f"{HOST3} src {LAN_HOST}", "not-ours"),
    ("", "", "127.0.0.1", "not-ours"),
    ("", "", "::1", "not-ours"),
    ("", "", "192.0.2.255", "clear"),
    ("", "", f"192.0.2.255 src {LAN_HOST}", "not-ours"),
    ("", "", "224.0.0.99 dev nic0", "clear"),
    ("", "", "ff02::99 dev nic0", "clear"),
    ("", "", "fe80::2 dev nic0", "clear"),
    # Interfaces
    ("ip link set red down", "ip link set red up; ip route add 10.6.0.0/16 dev red", "10.6.0.1", "host-drops"),
    ("", "", "10.6.0.1", "out-no-tunnel-policy"),
)


class Host(_Why):
    @classmethod
    def setUpClass(cls):
        suite.Case.setUpClass.__func__(cls)
        cls.host = cls.make_host()
        cls.peer = cls.own(Peer(cls.host))
        cls.host.start(config='[daemon]\n[[device]]\nname = "nic0"\nwire = "wire0"\n'
                              '[[tunnel]]\nname = "red"\nif_id = 7\n')
        ns = cls.host.ns
        cls.lan = cls.own(labkit.Namespace("lan"))
        sysctl(cls.lan, "net.ipv6.conf.default.disable_ipv6", 1)
        ns.ip(f"link add lan0 type veth peer name lan1 netns {cls.lan.holder.pid}")
        cls.lan.ip("link set lan1 up")
        for command in (
                "link set lan0 up", "link set red up", f"addr add {HOST}/24 dev nic0", f"addr add {HOST3}/24 dev nic0",
                "addr add 10.1.0.1/24 dev lan0", "addr add fd00::1/64 dev nic0 nodad", "addr add fd01::1/64 dev lan0 nodad",
                f"route add 10.2.0.0/16 via {PEER} src {HOST}", "route add fd02::/16 via fd00::2 src fd00::1",
                "route add 10.6.0.0/16 dev red"):
            ns.ip(command)
        for name in ("ip_forward", "conf.all.forwarding"):
            sysctl(ns, f"net.ipv4.{name}", 1)
        for name in ("all", "nic0", "lan0"):
            sysctl(ns, f"net.ipv4.conf.{name}.rp_filter", 0)
        sysctl(ns, "net.ipv6.conf.all.forwarding", 1)
        sysctl(ns, "net.ipv6.conf.red.disable_ipv6", 1)  # else it drops packets that nobody asked about
        for device, far, mac in (("nic0", (PEER, "fd00::2", "fe80::2"), cls.peer.mac),
                                 ("lan0", ("10.1.0.254", LAN_HOST, LAN_HOST6), mac_of(cls.lan, "lan1"))):
            for address in far:
                ns.ip(f"neigh replace {address} lladdr {mac.hex(':')} dev {device} nud permanent")
        cls.wire_of_lan = cls.own(FrameSocket(cls.lan, "lan1", arriving=True))
        cls.macs = mac_of(ns, "lan0") + mac_of(cls.lan, "lan1")
        cls.receivers = []
        for family, own in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for port in (53, 54, 9):
                with inside(ns):
                    receiver = cls.own(socket.socket(family, socket.SOCK_DGRAM))
                if family == socket.AF_INET6:
                    receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                receiver.bind((own, port))
                receiver.setblocking(False)
                cls.receivers.append(receiver)

    # --- Packets ---

    @staticmethod
    def parse(question):
        to, *words = question.split()
        return to, dict(zip(words[::2], words[1::2]))

    def send(self, question, payload, dont_cut=False):
        to, words = self.parse(question)
        port = int(words.get("dport", 9))
        six = ":" in to
        source = words.get("src")
        if source not in (None, HOST, HOST3):
            ip = IPv6(src=source, dst=to) if six else IP(src=source, dst=to, flags="DF" if dont_cut else 0)
            packet = bytes(ip / UDP(sport=7001, dport=port) / payload)
            self.wire_of_lan.send(self.macs + struct.pack("!H", 0x86dd if six else 0x0800) + packet)
            return
        with inside(self.host.ns):
            sender = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if "mark" in words:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(words["mark"]))
            if "dev" in words:
                sender.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, words["dev"].encode())
            if dont_cut and not six:
                sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
            if source:
                sender.bind((source, 0))
            try:
                sender.sendto(payload, (to, port))
            except OSError:
                pass  # which the host tells by nothing else

    def arrived(self, payload):
        """Where the packet is, if it is anywhere; not where an error quotes it."""
        def protocol(frame):
            return frame[23] if frame[12:14] == b"\x08\x00" else frame[20]
        for frame in self.peer.wire.frames(lambda f: payload in f and protocol(f) == 17 or protocol(f) == 50, timeout=0.02):
            return "clear" if payload in frame else "protected"
        if self.wire_of_lan.frames(lambda f: payload in f and protocol(f) == 17, timeout=0.02):
            return "not-ours"
        for receiver in self.receivers:
            try:
                if payload == receiver.recv(65536):
                    return "not-ours"
            except BlockingIOError:
                pass
        return None

    def fate(self, question, size=20, dont_cut=False):
        """What a real packet meets: "clear", "protected", "not-ours", a drop reason, or "host-drops"."""
        before = self.host.drops()
        self.peer.wire.drain()
        self.wire_of_lan.drain()
        payload = os.urandom(size)
        self.send(question, payload, dont_cut)
        for _ in range(int(12 * suite.SLOWNESS)):
            where = self.arrived(payload)
            if where:
                return where
            if reasons := suite.difference(before, self.host.drops()):
                return next(iter(reasons))
        return "host-drops"

    def ask(self, question):
        to, words = self.parse(question)
        given = [word for pair in words.items() for word in pair]
        if "dport" not in words:
            given += ["dport", "9"]
        return self.why("proto", "udp", "sport", "7001", *given, to=to)

    def situation(self, commands):
        if commands:
            self.host.ns.run(["sh", "-ec", commands])

    # --- Rows ---

    def check(self, question, expected):
        answer = self.ask(question)
        self.assertEqual(answer["drop"] or answer["verdict"], expected, answer)
        self.assertEqual(self.fate(question), expected, answer)
        return answer

    def test_rows(self):
        for begin, end, question, expected in ROWS:
            with self.subTest(situation=begin, question=question):
                self.situation(begin)
                try:
                    self.check(question, expected)
                finally:
                    self.situation(end)

    def test_the_same_in_a_tunnel(self):
        suite.xfrm_batch(self.host, [
            f"policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out tmpl src {HOST} dst {PEER} proto esp reqid 1 mode tunnel"])
        self.add(OUT, offload="")
        self.check(f"{FAR} src {LAN_HOST}", "protected")
        self.check(FAR, "clear")
        sysctl(self.host.ns, "net.ipv4.ip_forward", 0)
        self.addCleanup(sysctl, self.host.ns, "net.ipv4.ip_forward", 1)
        self.check(f"{FAR} src {LAN_HOST}", "host-drops")

    def test_what_is_left_open_is_not_guessed(self):
        suite.xfrm_batch(self.host, [f"policy add dst {FAR} proto udp dport 53 dir out action block"])
        answer = self.why(to=FAR)
        self.assertEqual((answer["verdict"], answer["open"]), ("depends", ["proto", "dport"]))
        self.assertIn("with proto udp dport 53, it is dropped (out-policy-block)", answer["steps"][-1]["text"])
        self.check(f"{FAR} dport 53", "out-policy-block")
        self.check(f"{FAR} dport 54", "clear")
        suite.xfrm_batch(self.host, ["policy flush"])
        self.situation(f"{TABLE7} ip rule add ipproto udp dport 53 lookup 7")
        self.addCleanup(self.situation, f"ip rule del ipproto udp dport 53{NO_TABLE7}")
        answer = self.why(to=FAR)
        self.assertEqual((answer["verdict"], answer["open"]), ("depends", ["proto", "dport"]))
        self.assertEqual((self.fate(f"{FAR} dport 53"), self.fate(f"{FAR} dport 54")), ("not-ours", "clear"))

    def test_another_source_is_named(self):
        self.situation(f"{TABLE7} ip rule add from {HOST3} lookup 7")
        self.addCleanup(self.situation, f"ip rule del from {HOST3}{NO_TABLE7}")
        texts = " ".join(step["text"] for step in self.ask(FAR)["steps"])
        self.assertIn(f"a packet from {HOST3} leaves by lan0", texts)
        self.assertIn(f"from {HOST} to {FAR}", texts)

    def test_what_must_be_given(self):
        for question, word in ((f"{FAR} src 10.7.0.9", "iif"), ("fe80::2", "dev"), ("ff02::99", "dev")):
            result = self.host.ns.run([self.host.cygnet.command, "why", *question.split()], check=False)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f'pass "{word} NAME"', " ".join(result.stderr.split()))

    def test_neighbour_discovery_passes(self):
        suite.xfrm_batch(self.host, ["policy add src fd00::/16 dst fd00::/16 dir out action block"])
        answer = self.why("proto", "icmpv6", "sport", "135", "dport", "0", to="fd00::77")
        self.assertEqual(answer["verdict"], "clear")
        self.assertEqual(self.ask("fd00::77")["drop"], "out-policy-block")
        self.peer.wire.drain()
        self.send("fd00::77", b"x")  # the host asks for its neighbour first
        self.assertTrue(self.peer.wire.frames(lambda f: f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == 135,
                                              timeout=5 * suite.SLOWNESS))

    # --- Sizes ---

    def fits_exactly(self, question, mtu):
        answer = self.ask(question)
        self.assertEqual(answer["inner_mtu"], mtu, answer)
        passes = answer["verdict"]
        self.assertEqual(self.fate(question, size=mtu - 28, dont_cut=True), passes)
        self.assertNotEqual(self.fate(question, size=mtu - 27, dont_cut=True), passes)
        self.host.ns.ip("route flush cache")
        return answer

    def test_sizes(self):
        ns = self.host.ns
        self.fits_exactly(FAR, 1500)
        for question in (FAR, f"{FAR} src {LAN_HOST}"):
            ns.ip(f"route replace 10.2.0.0/16 via {PEER} src {HOST} mtu 1300")
            self.assertEqual(self.fits_exactly(question, 1300)["host_mtu_of"], "the host's route")
            ns.ip(f"route replace 10.2.0.0/16 via {PEER} src {HOST}")
            ns.ip("link set nic0 mtu 1400")
            self.assertEqual(self.fits_exactly(question, 1400)["host_mtu"], 1400)
            ns.ip("link set nic0 mtu 1500")

    def test_a_path_mtu_that_the_host_has_learnt(self):
        error = IP(src=PEER, dst=HOST, proto=1)
        quoted = bytes(IP(src=HOST, dst=FAR) / UDP(sport=7001, dport=9) / b"12345678")
        with inside(self.host.ns):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:  # an error about a socket that exists
            sender.bind((HOST, 7001))
            sender.connect((FAR, 9))
            icmp = struct.pack("!BBHHH", 3, 4, 0, 0, 1200) + quoted
            total = sum(struct.unpack(f"!{len(icmp) // 2}H", icmp))
            total = (total & 0xffff) + (total >> 16)
            total = (total & 0xffff) + (total >> 16)
            self.peer.send_ip(error / (icmp[:2] + struct.pack("!H", ~total & 0xffff) + icmp[4:]))
            self.wait_for(lambda: "mtu 1200" in self.host.ns.ip(f"route get {FAR}").stdout, "the path MTU")
        answer = self.ask(FAR)
        self.assertEqual((answer["inner_mtu"], answer["host_mtu_of"]), (1200, "a path MTU that the host has learnt"))
        self.assertEqual(self.ask(f"{FAR} src {LAN_HOST}")["inner_mtu"], 1500)
        self.assertEqual(self.fate(f"{FAR} src {LAN_HOST}", size=1472, dont_cut=True), "clear")
        self.host.ns.ip(f"route replace 10.2.0.0/16 via {PEER} src {HOST}")
        self.host.ns.ip("route flush cache")

    def test_no_carrier_and_down(self):
        ns = self.host.ns
        self.peer.ns.ip("link set wire0 down")
        self.addCleanup(self.peer.ns.ip, "link set wire0 up")
        with contextlib.suppress(OSError):  # a socket tells once that its interface is down
            self.peer.wire.drain()
        self.peer.wire.socket.setblocking(True)
        self.wait_for(lambda: "NO-CARRIER" in ns.ip("link show nic0").stdout, "the carrier to go")
        answer = self.check(FAR, "host-drops")
        self.assertIn("nic0 has no carrier (wire wire0 has no carrier)", answer["steps"][0]["text"])
        self.peer.ns.ip("link set wire0 up")
        self.wait_for(lambda: "NO-CARRIER" not in ns.ip("link show nic0").stdout, "the carrier")
        self.check(FAR, "clear")


if __name__ == "__main__":
    suite.main()
