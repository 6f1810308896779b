#!/usr/bin/python3
"""Tunnel interfaces, seen from outside: two hosts, two networks with the same addresses behind each
of them, told apart by the interface alone; what policies and SAs with another id do; what a capture
shows at the tunnel, at nic0 and on the wire.
"""

import os
import socket
import struct
import subprocess

import suite
from labkit import Namespace, connect

# The first two have the same inner addresses: each is in a network namespace of its own, as the
# networks of two tenants are. The third is in the host's.
OUTER = {"a": "192.0.2.1", "b": "192.0.2.2"}
KEY = "0x" + "4b" * 20
MARK = b"plaintext-of-the-tunnel"
TUNNELS = {7: "red", 8: "blue", 10: "green"}
TENANTS = ("red", "blue")
# Network, interface, mark of what goes out (okey) and comes in (ikey), and the mask that policies and
# SAs compare them under.
VTIS = ((4, "vti0", 0x2a, 0x2a, 0xffffffff), (6, "vti1", 0x130, 0x131, 0xff))


def tunnel_tables():
    return "\n".join([
        *(f'[[tunnel]]\nname = "{name}"\nif_id = {if_id}\nmtu = 1400\ndevice = "nic0"\n'
          for if_id, name in TUNNELS.items()),
        *(f'[[tunnel]]\nname = "{name}"\nmark = {okey:#x}\nmark_in = {ikey:#x}\n'
          for _, name, okey, ikey, _ in VTIS),
        '[[tunnel]]\nname = "lazy"\nif_id = 9\ncarrier = "sa"\n'])


def config():
    return f'[daemon]\n[[device]]\nname = "nic0"\nwire = "wire0"\n{tunnel_tables()}'


def protect(side, if_id, family=4):
    """The policies and SAs of one tunnel, for `ip -batch`; everything goes through it, whatever the
    addresses."""
    peer = "b" if side == "a" else "a"
    here, there = OUTER[side], OUTER[peer]
    any_net = "0.0.0.0/0" if family == 4 else "::/0"
    select = f"if_id {if_id}"
    lines = []
    for direction, src, dst in (("out", here, there), ("in", there, here), ("fwd", there, here)):
        lines.append(f"policy add src {any_net} dst {any_net} dir {direction} {select} tmpl src {src} "
                     f"dst {dst} proto esp reqid {if_id} mode tunnel")
    return lines


def states(side, if_id):
    peer = "b" if side == "a" else "a"
    here, there = OUTER[side], OUTER[peer]
    return [f"state add src {src} dst {dst} proto esp spi {0x1000 * if_id + (dst == OUTER['a'])} reqid "
            f"{if_id} mode tunnel flag af-unspec if_id {if_id} aead rfc4106(gcm(aes)) {KEY} 128 "
            f"replay-window 32"
            for src, dst in ((here, there), (there, here))]


class Tunnels(suite.Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a, cls.b = cls.make_host("a"), cls.make_host("b")
        connect(cls.a, cls.b)
        for host in (cls.a, cls.b):
            host.start(config=config())
            host.ns.ip(f"addr add {OUTER[host.name]}/24 dev nic0")
            lines = []
            for if_id in TUNNELS:
                lines += protect(host.name, if_id) + protect(host.name, if_id, 6)
                lines += states(host.name, if_id)
            suite.xfrm_batch(host, lines)
            last = 1 if host.name == "a" else 2
            host.at = {name: cls.own(Namespace(f"{host.name}-{name}")) for name in TENANTS}
            for name, ns in host.at.items():
                host.ns.ip(f"link set {name} netns {ns.holder.pid}")
                ns.ip(f"link set {name} up")
            host.at["green"] = host.ns
            for name, ns in host.at.items():
                net = 5 if name == "green" else 1
                ns.ip(f"addr add 10.{net}.0.{last}/24 dev {name}")
                ns.ip(f"-6 addr add 2001:db8:{net}::{last}/64 dev {name} nodad")
        cls.a.ns.run(["ping", "-c1", "-W5", OUTER["b"]])

    def ping(self, name, target, check=True, count=1):
        return self.a.at[name].run(["ping", f"-c{count}", "-W3", target], check=check)

    def tunnel(self, host, name):
        return next(t for t in host.show("tunnel") if t["name"] == name)

    def test_both_networks_answer_by_their_own_tunnel(self):
        for name in TENANTS:
            for target in ("10.1.0.2", "2001:db8:1::2"):
                with self.subTest(name, target=target):
                    self.ping(name, target, count=1)
                    before = {n: self.tunnel(self.b, n) for n in TENANTS}
                    self.ping(name, target, count=2)
                    for other in TENANTS:
                        grown = self.tunnel(self.b, other)["tx_packets"] - before[other]["tx_packets"]
                        self.assertEqual(grown >= 2, other == name, f"{other}: {grown}")
        used = {sa["if_id"] for sa in self.b.show("sa") if sa["usage"]["packets"] and "if_id" in sa}
        self.assertLessEqual({7, 8}, used, "each tunnel has used its own SAs")

    def test_tcp_through_a_tunnel(self):
        """Super-packets, coalescing and path MTU: the stream arrives whole."""
        code = ("import socket,sys\n"
                "s=socket.socket(); s.bind(('10.5.0.2',5000)); s.listen(1)\n"
                "print('up',flush=True); c,_=s.accept(); n=0\n"
                "while True:\n"
                "  d=c.recv(1<<16)\n"
                "  if not d: break\n"
                "  n+=len(d)\n"
                "print(n,flush=True)\n")
        server = self.b.ns.popen(["python3", "-c", code], stdout=subprocess.PIPE, text=True)
        self.assertEqual(server.stdout.readline(), "up\n")
        client = ("import socket\n"
                  "s=socket.socket(); s.bind(('10.5.0.1',0))\n"
                  "s.connect(('10.5.0.2',5000)); s.sendall(b'x'*4000000); s.close()\n")
        self.a.ns.run(["python3", "-c", client])
        self.assertEqual(server.stdout.readline(), "4000000\n")
        server.wait(5)
        server.stdout.close()

    def test_what_no_policy_of_the_tunnel_protects_is_unreachable(self):
        """No policy has the mark of vti0: nothing leaves it, and the sender is told."""
        self.a.ns.ip("addr replace 10.3.0.1/32 dev vti0")
        self.a.ns.ip("route replace 10.3.0.0/24 dev vti0")
        wire = os.path.join(self.workdir, "clear.pcap")
        capture = suite.start_capture(self.a.ns, "wire0", wire)
        before = self.a.drops().get("out-no-tunnel-policy", 0)
        answer = self.a.ns.run(["ping", "-c1", "-W3", "10.3.0.2"], check=False)
        self.assertIn("Destination Host Unreachable", answer.stdout)
        # The interface itself tells neighbours of its addresses.
        self.assertGreaterEqual(self.a.drops().get("out-no-tunnel-policy", 0), before + 1)
        self.assertGreaterEqual(self.tunnel(self.a, "vti0")["unprotected"], 1)
        self.a.ns.run(["ping", "-c1", OUTER["b"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(OUTER["b"]))
        self.assertNotIn(socket.inet_aton("10.3.0.2"), frames)

    def test_a_policy_whose_tunnel_does_not_exist_is_refused(self):
        policy = "policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out {} tmpl src {} dst {} proto esp mode tunnel"
        ends = (OUTER["a"], OUTER["b"])
        for select, text in (("if_id 77", "No [[tunnel]] has if_id 77"),
                             ("mark 0x99 mask 0xff", "No [[tunnel]] has mark 0x99 (mask 0xff)")):
            with self.subTest(select):
                answer = self.a.xfrm(policy.format(select, *ends), check=False)
                self.assertIn(text, answer.stderr)
                self.assertNotEqual(answer.returncode, 0)
        # It blocks, with or without the id.
        self.a.xfrm("policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out if_id 77 action block")
        shown = next(p for p in self.a.show("policy") if p.get("if_id") == 77)
        self.assertTrue(shown["unmet"])
        self.a.xfrm("policy delete src 10.9.0.0/16 dst 10.8.0.0/16 dir out if_id 77")

    def test_dumps_show_the_id(self):
        dump = self.a.xfrm("state").stdout
        self.assertEqual(dump.count("if_id 0x7"), 2, dump)
        policies = self.a.xfrm("policy").stdout
        self.assertEqual(policies.count("if_id 0x8"), 6, policies)

    def test_an_sa_of_another_id_is_never_used(self):
        """Without its outbound SA, red is unreachable, although blue's SA has the same ends."""
        out = next(line for line in states("a", 7) if f"dst {OUTER['b']}" in line)
        name = f"state delete src {OUTER['a']} dst {OUTER['b']} proto esp spi {0x7000}"
        self.a.xfrm(name)
        try:
            before = self.a.drops().get("out-no-state", 0)
            answer = self.ping("red", "10.1.0.2", check=False)
            self.assertNotEqual(answer.returncode, 0)
            self.assertGreater(self.a.drops().get("out-no-state", 0), before)
            self.ping("blue", "10.1.0.2")
        finally:
            self.b.xfrm(name)  # numbers begin anew
            for host in (self.a, self.b):
                host.xfrm(out)
        self.ping("red", "10.1.0.2")

    def test_carrier_follows_the_sas(self):
        def carrier():
            with_flags = self.a.ns.ip("-o link show lazy").stdout
            return "NO-CARRIER" not in with_flags
        self.assertFalse(carrier())
        self.a.xfrm(f"state add src {OUTER['a']} dst {OUTER['b']} proto esp spi 0x9999 reqid 9 mode "
                    f"tunnel if_id 9 aead rfc4106(gcm(aes)) {KEY} 128")
        self.wait_for(carrier, "a carrier")
        self.a.xfrm(f"state delete src {OUTER['a']} dst {OUTER['b']} proto esp spi 0x9999")
        self.wait_for(lambda: not carrier(), "no carrier")

    def test_mtu_is_explained_and_too_big_is_told(self):
        report = self.a.show("mtu", "explain", "10.5.0.2")
        report = report[0] if isinstance(report, list) else report
        self.assertEqual((report["tunnel"], report["tunnel_mtu"]), ("green", 1400))
        self.assertEqual((report["verdict"], report["inner_mtu"]), ("protected", 1400))
        self.a.ns.ip("link set green mtu 1500")
        try:
            answer = self.a.ns.run(["ping", "-c1", "-W3", "-M", "do", "-s", "1472", "10.5.0.2"],
                                   check=False)
            self.assertRegex(answer.stdout + answer.stderr, "mtu ?= ?14[0-9][0-9]")
        finally:
            self.a.ns.ip("link set green mtu 1400")
            self.a.ns.ip("route flush cache", check=False)

    def test_captures_at_three_places(self):
        """T7: plaintext at the tunnel; ESP at the host's side of the device, with plaintext in it where
        the device seals; ciphertext on the wire."""
        self.a.text("placement", "set", "spi", "0xa000", "mode", "crypto", "dev", "nic0")
        paths = {n: os.path.join(self.workdir, f"{n}.pcap") for n in ("tunnel", "host", "wire")}
        at_tunnel = suite.start_capture(self.a.ns, "green", paths["tunnel"])
        at_wire = suite.start_capture(self.a.ns, "wire0", paths["wire"], "esp")
        at_host = self.a.ns.popen([self.a.cygnet.command, "capture", "dev", "nic0", "side", "host", "write",
                                   paths["host"]], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.wait_for(lambda: os.path.exists(paths["host"]) and os.path.getsize(paths["host"]) > 0,
                      "the capture")
        self.a.ns.run(["ping", "-c1", "-W3", "-p", MARK.hex()[:32], "10.5.0.2"])
        spi = struct.pack("!I", 0xa000)
        seen = {"tunnel": suite.end_capture(at_tunnel, paths["tunnel"], MARK[:16]),
                "host": suite.end_capture(at_host, paths["host"], spi),
                "wire": suite.end_capture(at_wire, paths["wire"], spi)}
        self.a.text("placement", "unset", "spi", "0xa000")
        shown = {n: (spi in frames, MARK[:16] in frames) for n, frames in seen.items()}
        self.assertEqual(shown, {"tunnel": (False, True), "host": (True, True), "wire": (True, False)})

    def test_a_vti_by_mark(self):
        """Marks on policies and SAs, as `ip link add type vti ikey 42 okey 42` has them; and other keys for
        each direction, of which policies and SAs see the low byte."""
        for net, name, okey, ikey, mask in VTIS:
            with self.subTest(name):
                self.protect_vti(net, name, okey & mask, ikey & mask, mask)
                self.a.ns.run(["ping", "-c2", "-W3", f"10.{net}.0.2"])
                for host in (self.a, self.b):
                    tunnel = self.tunnel(host, name)
                    self.assertGreaterEqual(tunnel["tx_packets"], 2)
                    self.assertEqual((tunnel["policies"], tunnel["sas"]), (2, 2))
        self.assertEqual(self.tunnel(self.a, "vti1")["mark_in"], "0x00000131")
        # The mark is part of an SA's name.
        name = f"state delete src {OUTER['a']} dst {OUTER['b']} proto esp spi 0x400"
        self.assertIn("No such process", self.a.xfrm(name, check=False).stderr)
        self.a.xfrm(f"{name} mark 0x2a mask 0xffffffff")

    def protect_vti(self, net, name, out, into, mask):
        for host in (self.a, self.b):
            peer = "b" if host is self.a else "a"
            here, there = OUTER[host.name], OUTER[peer]
            lines = []
            for direction, src, dst, mark in (("out", here, there, out), ("in", there, here, into)):
                mark = f"mark {mark:#x} mask {mask:#x}"
                lines.append(f"policy add src 10.{net}.0.0/16 dst 10.{net}.0.0/16 dir {direction} {mark} tmpl "
                             f"src {src} dst {dst} proto esp reqid {net} mode tunnel")
                lines.append(f"state add src {src} dst {dst} proto esp spi {0x100 * net + (dst == OUTER['a'])} "
                             f"reqid {net} mode tunnel {mark} aead rfc4106(gcm(aes)) {KEY} 128")
            # First: until the daemon has heard of the address, its packets are those of another host.
            last = 1 if host is self.a else 2
            host.ns.ip(f"addr add 10.{net}.0.{last}/32 dev {name}")
            host.ns.ip(f"route add 10.{net}.0.0/24 dev {name}")
            suite.xfrm_batch(host, lines)

    def test_an_sa_goes_to_another_tunnel(self):
        """UPDSA with another if_id and MIGRATE with one: the numbers go on."""
        spi = 0x9100
        add = (f"dst {OUTER['b']} proto esp spi {spi:#x} reqid 9 mode tunnel if_id {{}} "
               f"aead rfc4106(gcm(aes)) {KEY} 128")
        self.a.xfrm(f"state add src {OUTER['a']} " + add.format(8))
        self.a.xfrm(f"state update src {OUTER['a']} " + add.format(9))
        shown = [sa for sa in self.a.show("sa") if int(sa["spi"], 16) == spi]
        self.assertEqual([sa["if_id"] for sa in shown], [9])
        self.assertEqual(self.tunnel(self.a, "lazy")["sas"], 1)
        self.a.xfrm(f"state delete src {OUTER['a']} dst {OUTER['b']} proto esp spi {spi:#x}")
        self.assertEqual(self.tunnel(self.a, "lazy")["sas"], 0)


if __name__ == "__main__":
    suite.main()
