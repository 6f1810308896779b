#!/usr/bin/python3
"""Follows doc/firewall.md to the letter on a gateway: traffic for the tunnel is not masqueraded, only
traffic that came by its SAs gets in, as the mark shows; and the doctor's advice on rules that match the
kernel's own IPsec."""

import logging
import os
import re
import socket

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402

import labkit  # noqa: E402
import suite  # noqa: E402
import unitkit  # noqa: E402
from rawwire import FrameSocket, sysctl  # noqa: E402
from test_placement import INNER_HOST, INNER_PEER, PEER, Placement  # noqa: E402

SECRET = b"behind the tunnel"


class Firewall(Placement):
    page = "firewall.md"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ns = cls.host.ns
        cls.lan = cls.own(labkit.Namespace("lan"))
        ns.ip(f"link add lan0 type veth peer name lan0 netns {cls.lan.holder.pid}")
        for space, line in ((ns, "link set lan0 up"), (ns, "addr add 10.1.5.1/24 dev lan0"),
                            (cls.lan, "link set lan0 up"), (cls.lan, "addr add 10.1.5.2/24 dev lan0"),
                            (cls.lan, "route add default via 10.1.5.1"),
                            (ns, f"route add default via {PEER} dev nic0")):
            space.ip(line)
        sysctl(ns, "net.ipv4.ip_forward", 1)
        for name in ("all", "lan0"):
            sysctl(ns, f"net.ipv4.conf.{name}.rp_filter", 0)
        cls.environment = {**os.environ, "LOCAL_NET": "10.1.0.0/16", "PEER_NET": "10.2.0.0/16",
                           "PATH": os.path.dirname(cls.host.cygnet.command) + ":/usr/sbin:/usr/bin:/sbin:/bin"}

    def setUp(self):
        self.policies()
        self.host.xfrm("policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd tmpl src 192.0.2.2 dst "
                       "192.0.2.1 proto esp reqid 1 mode tunnel")
        self.judge, self.into = self.add(0x1001), self.add(0x2001, "in")

    def tearDown(self):
        self.host.ns.run(["nft", "flush", "table", "inet", "extra"], check=False)
        super().tearDown()

    @classmethod
    def follow(cls):
        for block in unitkit.commands_of(cls.page):
            cls.host.ns.run(["sh", "-e", "-c", block], env=cls.environment)

    def lan_says(self, to):
        """The frames on the wire that a datagram of the LAN causes."""
        self.peer.wire.drain()
        self.lan.run(["python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
                      f".sendto({SECRET!r}, ('{to}', 9))"])
        return [f[14:] for f in self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00" and f[23] in (17, 50),
                                                      timeout=suite.SLOWNESS)]

    def doctor(self):
        result = self.host.ns.run([self.host.cygnet.command, "-j", "doctor"], check=False)
        return [row for row in labkit.json.loads(result.stdout) if row["check"] == "firewall"]

    def forged_gets_in(self):
        """A datagram that claims to come from behind the tunnel, from the LAN."""
        mac = re.search(r"link/ether (\S+)", self.host.ns.ip("-o link show lan0").stdout)[1]
        payload = os.urandom(20)
        wire = FrameSocket(self.lan, "lan0")
        try:
            wire.socket.send(bytes(Ether(dst=mac) / IP(src=INNER_PEER, dst=INNER_HOST) /
                                   UDP(sport=9, dport=7001) / payload))
        finally:
            wire.close()
        self.udp.settimeout(0.5 * suite.SLOWNESS)
        try:
            return self.udp.recv(2000) == payload
        except socket.timeout:
            return False
        finally:
            self.udp.settimeout(2 * suite.SLOWNESS)

    def test_the_page(self):
        self.assertTrue(self.forged_gets_in(), "without rules")
        self.follow()
        with self.subTest("what goes behind the tunnel keeps its address and is protected"):
            frames = self.lan_says(INNER_PEER)
            self.assertEqual([f[9] for f in frames], [50])
            inner = self.judge.open(frames[0][20:]).payload
            self.assertIn(SECRET, inner)
            self.assertIn(socket.inet_aton("10.1.5.2") + socket.inet_aton(INNER_PEER), inner)
        with self.subTest("the rest is masqueraded"):
            frames = self.lan_says("198.51.100.9")
            self.assertEqual([(f[9], socket.inet_ntoa(f[12:16])) for f in frames], [(17, "192.0.2.1")])
        with self.subTest("what came by the SA gets in, with the mark, and a forgery does not"):
            self.host.ns.run(["nft", "add table inet extra; add chain inet extra in { type filter hook input "
                              "priority 10; }; add rule inet extra in meta mark & 0x10000000 != 0 udp dport "
                              "7001 counter"])
            self.comes_in(self.into)
            self.assertFalse(self.forged_gets_in())
            listed = self.host.ns.run(["nft", "list", "chain", "inet", "extra", "in"]).stdout
            self.assertIn("packets 1 ", listed)
        self.assertEqual([row["ok"] for row in self.doctor()], [True])

    def check_named(self, tool, rule, advice):
        row, = [row for row in self.doctor() if not row["ok"]]
        self.assertRegex(row["text"], rf"^{tool}, table .*{rule}.*: packets of policy dir out src 10\.1\.0\.0/16 dst "
                         r"10\.2\.0\.0/16 get another source address before nic0 sees them")
        self.assertIn(advice, row["advice"])
        self.assertIn("doc/firewall.md", row["advice"])

    def test_the_doctor_names_rules_that_translate_what_policies_are_for(self):
        """What it says is so: without the exemption that it asks for a packet leaves in clear, with it it is protected."""
        ns = self.host.ns
        ns.run(["nft", "add table ip bare; add chain ip bare post { type nat hook postrouting priority srcnat; }; "
                "add rule ip bare post oifname nic0 masquerade"])
        self.addCleanup(ns.run, ["nft", "delete table ip bare"])
        self.assertEqual([f[9] for f in self.lan_says(INNER_PEER)], [17])
        exemption = 'oifname "nic0" ip daddr 10.2.0.0/16 accept'
        self.check_named("nftables", "chain post, handle [0-9]+: masquerade", exemption)
        ns.run(["nft", f"insert rule ip bare post {exemption}"])
        self.assertEqual([f[9] for f in self.lan_says(INNER_PEER)], [50])
        self.assertEqual([row["ok"] for row in self.doctor()], [True])
        ns.run(["nft", "flush chain ip bare post; add rule ip bare post oifname != nic0 masquerade"])
        self.assertEqual([row["ok"] for row in self.doctor()], [True])

    def test_the_doctor_names_those_of_iptables(self):
        ns = self.host.ns
        for tool, named in (("iptables", "nftables"), ("iptables-legacy", "iptables")):
            if labkit.have(tool) or ns.run([tool, "-t", "nat", "-L"], check=False).returncode != 0:
                continue
            with self.subTest(tool):
                ns.run([tool, "-t", "nat", "-A", "POSTROUTING", "-o", "nic0", "-j", "MASQUERADE"])
                try:
                    self.check_named(named, "MASQUERADE", "10.2.0.0/16")
                    ns.run([tool, "-t", "nat", "-I", "POSTROUTING", "-o", "nic0", "-d", "10.2.0.0/16", "-j", "ACCEPT"])
                    self.assertEqual([row["ok"] for row in self.doctor()], [True])
                finally:
                    ns.run([tool, "-t", "nat", "-F", "POSTROUTING"])

    def test_the_doctor_names_rules_that_ask_for_the_kernels_ipsec(self):
        ns = self.host.ns
        ns.run(["nft", "add table inet asks; add chain inet asks in { type filter hook input priority 0; }; "
                "add rule inet asks in ipsec in reqid 1 counter; "
                "add rule inet asks in meta secpath exists counter; "
                "add rule inet asks in rt ipsec exists counter"])
        if not labkit.have("iptables"):
            ns.run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "nic0", "-m", "policy", "--dir", "out",
                    "--pol", "ipsec", "-j", "ACCEPT"])
        legacy = not labkit.have("ip6tables-legacy") and ns.run(
            ["ip6tables-legacy", "-A", "INPUT", "-m", "policy", "--dir", "in", "--pol", "ipsec"],
            check=False).returncode == 0
        texts = [row["text"] for row in self.doctor() if not row["ok"]]
        for word in ("ipsec in", "meta ipsec", "rt ipsec"):
            self.assertTrue(any(t.startswith("nftables, table inet asks, chain in, handle ") and
                                t.endswith(word) for t in texts), texts)
        if not labkit.have("iptables"):
            self.assertTrue(any("chain POSTROUTING" in t and t.endswith("-m policy") for t in texts), texts)
        if legacy:
            self.assertTrue(any(t.startswith("ip6tables, table filter: -A INPUT -m policy") for t in texts), texts)
            ns.run(["ip6tables-legacy", "-F", "INPUT"])
        ns.run(["nft", "delete table inet asks"])
        ns.run(["iptables", "-t", "nat", "-F", "POSTROUTING"], check=False)


if __name__ == "__main__":
    suite.main()
