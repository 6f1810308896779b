#!/usr/bin/python3
"""Host settings that work against Cygnet, and that `cygnet doctor` and the log name them: the kernel's own
XFRM in use, routes that bypass Cygnet, interfaces stacked on its own. What it finds in the daemon's reports.
What `cygnet -j` prints, held to its schemas. And the secrets that a daemon's memory keeps."""

import os
import re

import labkit
import schemakit
import suite
from rawwire import Peer, sysctl
from scapy.layers.inet import IP
from test_placement import HOST, INNER_HOST, PEER, Placement

ROUTE = f"10.2.0.0/16 via {PEER} dev nic0 src {INNER_HOST}"
MAC = "02:00:00:00:00:77"


class Doctor(Placement):
    def rows(self, check):
        result = self.host.ns.run([self.host.cygnet.command, "-j", "doctor"], check=False)
        rows = labkit.json.loads(result.stdout)
        schemakit.check(("doctor",), rows)
        self.assertEqual(result.returncode, 0 if all(row["ok"] for row in rows) else 3)
        return [row for row in rows if row["check"] == check]

    def found(self, check):
        return " ".join(row["text"] for row in self.rows(check) if not row["ok"])

    def logged(self, expected):
        return self.wait_for(lambda: re.search(expected, self.host.log()), expected)


class KernelXfrm(Doctor):
    """Programmed without the shim, by an `ip` that is not a client of Cygnet."""

    def test_somebody_programs_the_kernel(self):
        self.assertEqual(self.found("kernel-xfrm"), "")
        policy = "src 10.1.0.0/16 dst 10.9.0.0/16 dir out"
        self.host.ns.ip(f"xfrm policy add {policy} action block")
        self.logged(r"changes the kernel's own IPsec beside Cygnet \(1 changes, the last: new policy "
                    r".*10\.9\.0\.0/16\).*without the shim")
        self.assertIn("0 SAs and 1 policies; 1 changes", self.found("kernel-xfrm"))
        self.host.ns.ip(f"xfrm policy delete {policy}")
        self.assertIn("0 SAs and 0 policies; 2 changes", self.found("kernel-xfrm"))

    def test_clients_of_cygnet_do_not(self):
        before = self.found("kernel-xfrm")
        self.policies()
        self.add(0x1001)
        self.assertEqual(self.found("kernel-xfrm"), before)


class KernelXfrmBefore(Doctor):
    """The kernel was programmed before cygnetd started."""

    @classmethod
    def make_host(cls, name="host"):
        host = super().make_host(name)
        host.ns.ip("xfrm policy add src 10.1.0.0/16 dst 10.9.0.0/16 dir out action block")
        return host

    def test_it_is_said_at_the_start(self):
        self.logged(r"the kernel's own XFRM holds 0 SAs and 1 policies: ")
        self.assertIn("0 SAs and 1 policies", self.found("kernel-xfrm"))


class Routes(Doctor):
    def tearDown(self):
        self.host.ns.ip(f"route replace {ROUTE}")
        super().tearDown()

    def test_a_route_by_another_interface(self):
        self.policies()
        self.assertEqual(self.found("routes"), "")
        self.host.ns.ip("link add other0 type veth peer name other1")
        self.host.ns.ip("link set other0 up")
        self.host.ns.ip("route add 10.2.7.0/24 dev other0")
        self.assertIn("route 10.2.7.0/24 dev other0: traffic that the policy for 10.2.0.0/16 protects leaves "
                      "in clear", self.found("routes"))
        self.host.ns.ip("link delete other0")
        self.assertEqual(self.found("routes"), "")

    def test_a_tunnel_of_the_host(self):
        self.policies()
        try:
            self.host.ns.ip(f"link add tunl9 type ipip local {HOST} remote {PEER}")
        except labkit.LabError:
            self.host.ns.ip("tuntap add tunl9 mode tun")
        self.host.ns.ip("link set tunl9 up")
        self.host.ns.ip("route add 10.2.8.0/24 dev tunl9")
        self.assertRegex(self.found("routes"), r"route 10\.2\.8\.0/24 dev tunl9: .* leaves inside a "
                         r"(ipip|tun) interface")
        self.host.ns.ip("link delete tunl9")

    def test_a_route_with_an_encapsulation(self):
        suite.xfrm_batch(self.host, ["policy add src fd00:1::/32 dst fd00:2::/32 dir out tmpl src 2001:db8::1 dst "
                                     "2001:db8::2 proto esp reqid 1 mode tunnel"])
        self.addCleanup(sysctl, self.host.ns, "net.ipv6.conf.nic0.disable_ipv6", 1)
        sysctl(self.host.ns, "net.ipv6.conf.nic0.disable_ipv6", 0)
        self.host.ns.ip("addr add fd00:1::1/32 dev nic0 nodad")
        try:
            self.host.ns.ip("-6 route add fd00:2::/32 encap seg6 mode encap segs fd00:1::9 via fd00:1::2 dev nic0")
        except labkit.LabError:
            self.skipTest("this kernel has no seg6")
        self.assertIn("route fd00:2::/32 dev nic0 has an encapsulation (seg6): traffic that the policy for "
                      "fd00:2::/32 protects leaves enclosed", self.found("routes"))
        result = self.host.ns.run([self.host.cygnet.command, "-j", "why", "fd00:2::1"], check=False)
        self.assertEqual((result.returncode, labkit.json.loads(result.stdout)["verdict"]), (3, "not-ours"))

    def test_a_route_without_next_hop(self):
        self.policies()
        self.host.ns.ip(f"route replace 10.2.0.0/16 dev nic0 src {INNER_HOST}")
        self.assertIn("route 10.2.0.0/16 dev nic0 has no next hop", self.found("routes"))


class Findings(Doctor):
    devices = [{"offload": "crypto", "sa_limit": 1}]

    def levels(self, check):
        return [row["level"] for row in self.rows(check)]

    def test_every_check_has_a_row(self):
        text = self.host.ns.run([self.host.cygnet.command, "doctor"], check=False).stdout
        for check in ("version", "kernel-xfrm", "fence", "link", "device", "offload", "slots", "engine", "guard",
                      "fips", "policies", "rekeying", "numbers", "replay", "drops", "tunnel", "inside", "segment-size",
                      "forwarding", "reverse-path", "routes", "firewall", "clock", "huge-pages", "key-memory"):
            self.assertRegex(text, rf"(?m)^(ok|note|WARNING|FAULT|UNKNOWN) +{check}: ")
        self.assertEqual(self.levels("version"), ["ok"])

    def test_offload_that_is_not_had(self):
        self.policies()
        self.add(0x1001)
        self.assertEqual((self.levels("offload"), self.levels("slots")), (["ok"], ["warning"]))
        self.add(0x1002)
        row, = self.rows("offload")
        self.assertEqual(row["level"], "warning")
        self.assertIn("1 halves of SAs, SA to 192.0.2.2 spi 0x00001002 among them", row["text"])
        self.assertIn("table-full", row["text"])

    def test_policies_numbers_and_limits(self):
        self.policies()
        self.assertEqual(self.levels("policies"), ["ok"])
        self.host.xfrm("policy delete src 10.2.0.0/16 dst 10.1.0.0/16 dir in")
        self.assertIn("no counterpart", self.found("policies"))
        self.add(0x1001, extra="replay-oseq 0xffffffff", offload=None)
        self.assertEqual(self.levels("numbers"), ["fault"])
        self.host.xfrm("state flush")
        self.add(0x1001, extra="limit packet-hard 1", offload=None)
        self.udp.sendto(b"x", ("10.2.0.1", 9))
        self.wait_for(lambda: self.levels("numbers") == ["fault"], "the packet to count")

    def test_forwarding_and_the_reverse_path_filter(self):
        self.policies()
        for value, level in ((1, "ok"), (0, "warning")):
            sysctl(self.host.ns, "net.ipv4.ip_forward", value)
            self.assertEqual(self.levels("forwarding"), [level])
        for value, level in ((2, "ok"), (1, "note")):
            sysctl(self.host.ns, "net.ipv4.conf.nic0.rp_filter", value)
            self.assertEqual(self.levels("reverse-path"), [level])

    def test_the_segment_size_is_that_of_mtu_explain_and_a_rule_settles_it(self):
        self.policies()
        self.add(0x1001)
        mss = self.host.show("mtu", "explain", "10.2.0.0", "src", "10.1.0.1")["tcp_mss"]
        row, = self.rows("segment-size")
        self.assertEqual(row["level"], "note")
        self.assertIn(f"at most {mss} bytes fit to 10.2.0.0", row["text"])
        for rule in ("add table inet t", "add chain inet t f { type filter hook forward priority 0 ; }",
                     f"add rule inet t f tcp flags syn tcp option maxseg size set {mss}"):
            self.host.ns.run(["nft", rule])
        self.assertEqual(self.levels("segment-size"), ["ok"])
        self.host.ns.run(["nft", "delete table inet t"])

    def test_drops_have_remedies(self):
        self.peer.send_ip(IP(src=PEER, dst=HOST, proto=50) / (b"\0\0\x77\x77" + bytes(16)))
        self.wait_for(lambda: self.host.drops().get("in-no-state"), "the drop")
        row, = [row for row in self.rows("drops") if row["text"].startswith("in-no-state: ")]
        self.assertEqual((row["level"], row["ok"]), ("note", True))
        self.assertIn("rekey", row["advice"])


class Schemas(suite.Case):
    """All that `cygnet -j` prints is as its schema says, and every schema is used."""

    COMMANDS = ("sa", "sa --show-keys", "sa --sum peer", "stat sa", "policy", "dev", "stat", "engine", "tunnel",
                "mtu explain 10.2.0.1", "why 10.2.0.1", "fips", "doctor", "doctor --fips", "ledger", "ledger verify",
                "ledger report", "ledger key", "offload disable dev nic0", "offload list",
                "offload enable dev nic0", "offload explain dev nic0 aead rfc4106(gcm(aes)) 128",
                "placement set reqid 1 mode no", "offload list", "placement unset reqid 1", "reload", "stored",
                "cluster", "version", "top --once -d 0.5", "sim dev nic0 reset")

    def test_all(self):
        host = self.make_host()
        self.own(Peer(host))
        host.start(config=f'[ledger]\nfile = "{os.path.join(self.workdir, "ledger")}"\n[[device]]\nname = "nic0"\n'
                          'wire = "wire0"\noffload = "crypto"\n[[tunnel]]\nname = "red"\nif_id = 7\n')
        host.ns.ip(f"addr add {HOST}/24 dev nic0")
        host.ns.ip(f"route add 10.2.0.0/16 via {PEER} dev nic0")
        suite.xfrm_batch(host, [
            f"policy add src {HOST} dst 10.2.0.0/16 dir out tmpl src {HOST} dst {PEER} proto esp reqid 1 mode tunnel",
            f"state add src {HOST} dst {PEER} proto esp spi 0x1001 reqid 1 mode tunnel aead rfc4106(gcm(aes)) "
            f"0x{'4b' * 20} 128 offload dev nic0 dir out"])
        used = set()
        for command in self.COMMANDS:
            words = command.split()
            result = host.ns.run([host.cygnet.command, "-j", *words], check=False)
            self.assertIn(result.returncode, (0, 3), f"{command}: {result.stderr}")
            schemakit.check(words, labkit.json.loads(result.stdout))
            used.add(schemakit.schema_of(words))
        used.add(schemakit.schema_of(("monitor",)))  # test_monitor.py
        self.assertEqual({path.stem for path in schemakit.FOLDER.glob("*.json")} - used, set())


class Words(Doctor):
    """The answers to an operator who asks for something that does not exist."""

    def asked(self, *words):
        result = self.host.ns.run([self.host.cygnet.command, *words], check=False)
        return result.returncode, result.stdout, result.stderr

    def test_mtu_explain_gives_one_cause(self):
        self.assertEqual(self.host.text("mtu", "explain", HOST), f"{HOST} from 0.0.0.0: it is an address of this host\n")
        self.assertIn(": the host has no route there\n", self.host.text("mtu", "explain", "203.0.113.9"))

    def test_a_device_that_is_not_there(self):
        for words in (("dev", "nic9"), ("dev", "dev", "nic9")):
            self.assertEqual(self.asked(*words), (2, "", 'cygnet: no device "nic9"; devices: nic0\n'))
        self.assertIn("no device 'nic9'; devices: nic0", self.asked("offload", "explain", "dev", "nic9", "aead",
                                                                 "rfc4106(gcm(aes))", "128", "128")[2])

    def test_nothing_to_show(self):
        self.assertEqual(self.asked("sa", "spi", "0x7777"), (0, "", "cygnet: no matching SA\n"))
        self.assertEqual(self.asked("policy"), (0, "", "cygnet: no policies\n"))
        self.assertEqual(self.asked("-j", "policy"), (0, "[]\n", ""))


class Bridge(Doctor):
    """br0 over nic0: routes and clients name br0."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ns = cls.host.ns
        mac = re.search(r"link/ether (\S+)", ns.ip("-o link show nic0").stdout)[1]
        ns.ip("addr flush dev nic0")
        for line in ("link add br0 type bridge", f"link set br0 address {mac}", "link set nic0 master br0",
                     "link set br0 up", f"addr add {HOST}/24 dev br0",
                     f"neigh add {PEER} lladdr {cls.peer.mac.hex(':')} dev br0 nud permanent",
                     f"neigh add 192.0.2.77 lladdr {MAC} dev br0 nud permanent",
                     f"route replace 10.2.0.0/16 via 192.0.2.77 dev br0 src {INNER_HOST}"):
            ns.ip(line)

    def test_the_outer_packet_goes_to_the_peer_and_not_to_the_inner_routes_router(self):
        self.policies()
        self.assertEqual(self.found("routes"), "")
        self.goes_out(self.add(0x1001))
        self.assertIn("\tmtu 1", self.host.text("mtu", "explain", "10.2.0.1"))

    def test_offload_by_the_name_of_the_bridge(self):
        self.policies()
        out = self.add(0x1001, offload="br0")
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.goes_out(out)


class Memory(Doctor):
    """Reads memory as a debugger of the namespace's owner does."""

    def occurrences(self, secret):
        count = 0
        pid = self.host.daemon.pid
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
            for line in maps:
                span, rights = line.split()[:2]
                start, end = (int(x, 16) for x in span.split("-"))
                if "rw" not in rights or "[v" in line or end - start > 1 << 28:
                    continue
                mem.seek(start)
                try:
                    count += mem.read(end - start).count(secret)
                except OSError:
                    continue
        return count

    def test_hex_of_keys_does_not_stay(self):
        judges = [self.add(0x1000 + i) for i in range(1, 40)]
        for _ in range(3):
            shown = self.host.text("sa", "--show-keys")
        for judge in judges:
            text = (judge.key + judge.salt).hex()
            self.assertIn(text, shown)
        if suite.SLOWNESS > 1:
            self.skipTest("a sanitizer keeps freed memory")
        # Proves that the search works: it finds what the daemon does hold.
        self.assertNotEqual(self.occurrences(judges[0].key), 0)
        for judge in judges:
            self.assertEqual(self.occurrences((judge.key + judge.salt).hex().encode()), 0)


if __name__ == "__main__":
    suite.main()
