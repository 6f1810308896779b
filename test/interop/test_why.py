#!/usr/bin/python3
"""`cygnet why` says what happens: after each answer a real packet follows, and the wire and the counters show
that it was right. And asking changes nothing: no counter, no time of use, no ACQUIRE, no neighbour."""

import os
import socket
import struct

import labkit
import suite
from espjudge import EspJudge
from rawwire import Peer, inside, sysctl
from scapy.layers.inet import IP, UDP
from test_placement import HOST, INNER_HOST, INNER_PEER, PEER, Placement

OUT, BACK = 0x1001, 0x2001
NEVER = ("uptime_seconds", "worker_loads")  # of the reports that are compared


class Why(Placement):
    def snapshot(self):
        stat = {k: v for k, v in self.host.show("stat").items() if k not in NEVER}
        neighbours = [line for line in self.host.ns.ip("neigh show").stdout.splitlines()]
        return stat, self.host.show("sa"), self.host.show("policy"), sorted(neighbours)

    def why(self, *words, to=INNER_PEER):
        """The answer; its text is the same, and asking leaves everything as it was."""
        before = self.snapshot()
        result = self.host.ns.run([self.host.cygnet.command, "-j", "why", to, *words], check=False)
        answer = labkit.json.loads(result.stdout)
        labkit.schemakit.check(("why",), answer)
        text = self.host.ns.run([self.host.cygnet.command, "why", to, *words], check=False)
        self.assertEqual(self.snapshot(), before)
        well = all(step["ok"] for step in answer["steps"])
        self.assertEqual((result.returncode, text.returncode), (0, 0) if well else (3, 3), answer)
        said, _, not_looked_at = " ".join(text.stdout.split()).rpartition(" Not looked at: ")
        self.assertEqual(said.split(), " ".join(step["text"] for step in answer["steps"]).split())
        self.assertIn("firewall", not_looked_at)
        self.assertLessEqual(max(len(line) for line in text.stdout.splitlines()), 80)
        return answer

    def sent(self, to=INNER_PEER, port=9, size=20):
        """A datagram of the host: "clear", the SPI of its ESP packet, or what it was dropped for."""
        before = self.host.drops()
        self.peer.wire.drain()
        payload = os.urandom(size)
        try:
            self.udp.sendto(payload, (to, port))
        except OSError as error:
            return str(error)
        found = []

        def happened():
            found.extend(self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", timeout=0.05))
            return found or suite.difference(before, self.host.drops())
        self.wait_for(happened, "the packet to leave or to be dropped", timeout=5)
        if not found:
            reasons = suite.difference(before, self.host.drops())
            self.assertEqual(list(reasons.values()), [1])
            return next(iter(reasons))
        packet = found[0][14:]
        if packet[9] == 50:
            return struct.unpack("!I", packet[20:24])[0]
        self.assertIn(payload, packet)
        return "clear"

    def agrees(self, *words, to=INNER_PEER, port=9):
        """Asks, then sends the packet: the answer, of which the wire has shown that it is true."""
        answer = self.why("proto", "udp", "sport", "7001", "dport", str(port), *words, to=to)
        happened = self.sent(to, port)
        if answer["verdict"] == "protected":
            self.assertEqual(happened, int(answer["sas"][0]["spi"], 16))
        elif answer["verdict"] == "dropped":
            self.assertEqual(happened, answer["drop"])
        else:
            self.assertEqual(happened, answer["verdict"])
        return answer

    def answered(self, judge, source=INNER_PEER):
        """A sealed answer of the peer: "accepted", or what it was dropped for."""
        before = self.host.drops()
        payload = os.urandom(20)
        inner = bytes(IP(src=source, dst=INNER_HOST) / UDP(sport=9, dport=7001) / payload)
        self.peer.send_ip(IP(src=PEER, dst=HOST, proto=50) / judge.seal(inner, 4))
        self.udp.settimeout(0.05)
        got = []

        def happened():
            try:
                got.append(self.udp.recv(2000))
            except TimeoutError:
                pass
            return got or suite.difference(before, self.host.drops())
        self.wait_for(happened, "the answer to arrive or to be dropped", timeout=5)
        self.udp.settimeout(2 * suite.SLOWNESS)
        return "accepted" if got == [payload] else next(iter(suite.difference(before, self.host.drops())))

    def answers_agree(self, answer, judge):
        expected = answer["answers"]["drop"] or answer["answers"]["verdict"]
        self.assertEqual(self.answered(judge), expected)
        return expected


class Policies(Why):
    def test_clear_and_blocked(self):
        self.assertEqual(self.agrees()["verdict"], "clear")
        suite.xfrm_batch(self.host, ["policy add src 10.1.0.0/16 dst 10.2.0.0/16 proto udp dport 9 dir out "
                                     "action block"])
        self.assertEqual(self.agrees()["drop"], "out-policy-block")
        self.assertEqual(self.agrees(port=10)["verdict"], "clear")

    def test_the_default(self):
        self.host.xfrm("policy setdefault out block")
        self.addCleanup(self.host.xfrm, "policy setdefault out accept")
        answer = self.agrees()
        self.assertEqual((answer["verdict"], answer["drop"]), ("dropped", "out-policy-block"))

    def test_what_cygnet_does_not_see(self):
        self.assertIn("an address of this host", self.why(to=HOST)["steps"][0]["text"])
        nowhere = self.why(to="203.0.113.9")
        self.assertEqual(nowhere["verdict"], "host-drops")
        self.assertIn("no route", nowhere["steps"][0]["text"])
        ns = self.host.ns
        ns.ip("link add other0 type veth peer name other1")
        ns.ip("link set other0 up")
        ns.ip("link set other1 up")
        ns.ip(f"route add 10.2.7.0/24 dev other0 src {INNER_HOST}")
        self.policies()
        answer = self.why(to="10.2.7.1")
        self.assertEqual(answer["verdict"], "not-ours")
        self.assertIn("passes Cygnet by, in clear", answer["steps"][1]["text"])
        ns.ip("link delete other0")

    def test_words(self):
        result = self.host.ns.run([self.host.cygnet.command, "why", INNER_PEER, "dev", "x0"], check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn('"x0" is not a device, a tunnel or an inside interface', result.stderr)
        self.assertEqual(self.why("dev", "nic0")["device"], "nic0")


class Sas(Why):
    def test_protected_in_the_device_and_on_the_cpu(self):
        self.policies()
        self.add(OUT)
        into = self.add(BACK, "in")
        answer = self.agrees()
        self.assertEqual((answer["sas"][0]["effective"], answer["sas"][0]["where"]), ("crypto", "nic0"))
        self.assertEqual(self.answers_agree(answer, into), "accepted")
        self.host.ns.run([self.host.cygnet.command, "offload", "disable", "dev", "nic0"])
        self.addCleanup(self.host.ns.run, [self.host.cygnet.command, "offload", "enable", "dev", "nic0"])
        answer = self.agrees()
        self.assertEqual((answer["verdict"], answer["sas"][0]["effective"]), ("protected", "software"))
        self.assertIn("operator-disabled", answer["sas"][0]["reason"])

    def test_offload_is_required_and_not_there(self):
        self.policies()
        self.add(OUT)
        command = self.host.cygnet.command
        self.host.ns.run([command, "placement", "set", "reqid", "1", "mode", "required", "dev", "nic0"])
        self.addCleanup(self.host.ns.run, [command, "placement", "unset", "reqid", "1"])
        self.assertEqual(self.agrees()["verdict"], "protected")
        self.host.ns.run([command, "offload", "disable", "dev", "nic0"])
        self.addCleanup(self.host.ns.run, [command, "offload", "enable", "dev", "nic0"])
        self.assertEqual(self.agrees()["drop"], "out-placement-blocked")

    def test_no_sa_and_nobody_to_ask(self):
        self.policies()
        answer = self.agrees()
        self.assertEqual(answer["drop"], "out-no-state")
        self.assertIn("no client listens", " ".join(step["text"] for step in answer["steps"]))

    def test_no_sa_and_key_management_is_asked_by_the_packet_alone(self):
        self.policies()
        monitor = self.host.ns.popen([self.host.cygnet.command, "exec", "--", "ip", "xfrm", "monitor", "acquire"],
                                     stdout=labkit.subprocess.PIPE, text=True)
        self.addCleanup(labkit.end, monitor)
        self.addCleanup(monitor.stdout.close)
        self.wait_for(lambda: "key management is asked" in self.host.ns.run(
            [self.host.cygnet.command, "why", INNER_PEER], check=False).stdout.replace("\n", " "), "the listener")
        self.assertEqual(self.host.show("sa"), [])
        self.assertEqual(self.agrees()["drop"], "out-no-state")
        self.wait_for(lambda: [sa["state"] for sa in self.host.show("sa")] == ["larval"], "the ACQUIRE")
        self.assertIn("acquire", monitor.stdout.readline())
        answer = self.agrees()
        self.assertIn("has been asked and has not answered yet", " ".join(s["text"] for s in answer["steps"]))

    def test_limits_and_numbers(self):
        self.policies()
        self.add(OUT, extra="limit packet-hard 2")
        self.assertEqual(self.agrees()["verdict"], "protected")
        self.assertEqual(self.agrees()["verdict"], "protected")
        self.assertEqual(self.agrees()["drop"], "out-state-expired")
        self.host.xfrm("state flush")
        self.add(OUT, extra="replay-oseq 0xffffffff")
        self.assertEqual(self.agrees()["drop"], "out-sequence")

    def test_an_sa_whose_selector_does_not_admit_it(self):
        self.policies()
        self.add(OUT, extra="sel src 10.9.0.0/16 dst 10.2.0.0/16")
        answer = self.agrees()
        self.assertEqual(answer["drop"], "out-no-state")
        self.assertIn("does not admit it", " ".join(step["text"] for step in answer["steps"]))

    def test_how_large_it_may_be(self):
        self.policies()
        self.add(OUT)
        mtu = self.agrees()["inner_mtu"]
        self.assertEqual(self.sent(size=mtu - 28), OUT)
        self.assertEqual(self.sent(size=mtu - 27), "out-too-big")
        self.host.ns.ip("route flush cache")


class Answers(Why):
    def install(self, back=None, template="reqid 1"):
        """An SA and a policy out; an inbound SA, and a policy in with this template."""
        suite.xfrm_batch(self.host, [f"policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out tmpl src {HOST} dst {PEER} "
                                     "proto esp reqid 1 mode tunnel"])
        if template:
            suite.xfrm_batch(self.host, [f"policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir in tmpl src {PEER} dst "
                                         f"{HOST} proto esp {template} mode tunnel"])
        self.add(OUT)
        return self.add(BACK, "in", **(back or {}))

    def answers_of(self, into):
        return self.answers_agree(self.agrees(), into)

    def test_let_in(self):
        self.assertEqual(self.answers_of(self.install()), "accepted")

    def test_without_a_policy(self):
        into = self.install(template=None)
        answer = self.agrees()
        self.assertEqual(self.answers_agree(answer, into), "in-no-policy")
        self.assertIn("Answers would be dropped (in-no-policy)", answer["steps"][-1]["text"])

    def test_with_a_policy_of_another_template(self):
        self.assertEqual(self.answers_of(self.install(template="reqid 7")), "in-template-mismatch")

    def test_outside_the_selector_of_the_sa(self):
        into = self.install(back={"extra": "sel src 10.9.0.0/16 dst 10.1.0.0/16"})
        self.assertEqual(self.answers_of(into), "in-selector-mismatch")

    def test_without_an_sa(self):
        self.install()
        self.host.xfrm(f"state delete src {PEER} dst {HOST} proto esp spi {BACK:#x}")
        self.assertEqual(self.answers_of(EspJudge(BACK, os.urandom(20), 16)), "in-no-state")

    def test_in_clear_to_a_network_that_is_protected(self):
        suite.xfrm_batch(self.host, [f"policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir in tmpl src {PEER} dst {HOST} "
                                     "proto esp reqid 1 mode tunnel"])
        answer = self.agrees()
        self.assertEqual((answer["verdict"], answer["answers"]["drop"]), ("clear", "in-template-mismatch"))


class Tunnel(suite.Case):
    """A route-based tunnel whose next hop is not known at first."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.peer = cls.own(Peer(cls.host))
        cls.host.start(config='[daemon]\n[[device]]\nname = "nic0"\nwire = "wire0"\n'
                              '[[tunnel]]\nname = "red"\nif_id = 7\n')
        ns = cls.host.ns
        sysctl(ns, "net.ipv6.conf.all.disable_ipv6", 1)
        for command in (f"addr add {HOST}/24 dev nic0", f"addr add {INNER_HOST}/32 dev lo", "link set red up",
                        f"route add 10.2.0.0/16 dev red src {INNER_HOST}"):
            ns.ip(command)
        with inside(ns):
            cls.udp = cls.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        cls.udp.bind((INNER_HOST, 7001))

    why, snapshot, sent, agrees = Why.why, Why.snapshot, Why.sent, Why.agrees

    def test_from_no_policy_to_a_known_next_hop(self):
        self.assertEqual(self.agrees()["drop"], "out-no-tunnel-policy")
        suite.xfrm_batch(self.host, [
            f"policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out if_id 7 tmpl src {HOST} dst {PEER} proto esp "
            "reqid 1 mode tunnel",
            f"state add src {HOST} dst {PEER} proto esp spi {OUT:#x} reqid 1 mode tunnel if_id 7 aead "
            f"rfc4106(gcm(aes)) 0x{'4b' * 20} 128"])
        answer = self.why("proto", "udp", "sport", "7001", "dport", "9")
        self.assertEqual((answer["verdict"], answer["drop"], answer["tunnel"]), ("waits", "out-no-next-hop", "red"))
        self.peer.wire.drain()
        self.udp.sendto(b"x", (INNER_PEER, 9))
        self.assertTrue(self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x06", timeout=5 * suite.SLOWNESS))
        self.host.ns.ip(f"neigh replace {PEER} lladdr {self.peer.mac.hex(':')} dev nic0 nud permanent")
        self.wait_for(lambda: self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", timeout=0.1),
                      "the packet that waited")
        answer = self.agrees()
        self.assertEqual((answer["verdict"], answer["answers"]["drop"]), ("protected", "in-no-state"))


if __name__ == "__main__":
    suite.main()
