#!/usr/bin/python3
"""Packet offload by netlink: the messages that `ip xfrm state|policy … offload packet dev nic0` sends.
Debian's iproute2 does not know that form, so the test's own client sends them.
"""

import errno
import os
import socket
import struct

import suite
import xfrmclient as nl
from espjudge import EspJudge
from rawwire import Peer, inside
from wirehost import HOST, INNER_PEER, IPIP, PEER, SPI_IN, SPI_OUT, WireHost, udp

INBOUND, PACKET = 2, 4  # flags of XFRMA_OFFLOAD_DEV
POLICY_GROUP, SA_GROUP, ACQUIRE_GROUP = 1 << 3, 1 << 2, 1 << 0
FIXED = {"NEWPOLICY": 168, "UPDPOLICY": 168, "NEWSA": 224, "ACQUIRE": 280}  # before the attributes
LOOPBACK = 1  # the ifindex of lo
DIRECTIONS = {"in": nl.IN, "out": nl.OUT, "fwd": nl.FWD}


class Messages:
    """To be mixed into a case that has `host`."""

    def setUp(self):
        super().setUp()
        suite.xfrm_batch(self.host, ["state flush", "policy flush"])
        self.client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(self.client.close)
        self.socket = self.client.open()
        self.ifindex = self.host.show("dev")[0]["ifindex"]

    def offload(self, flags, ifindex=None):
        return nl.attr("OFFLOAD_DEV", nl.offload(self.ifindex if ifindex is None else ifindex, flags))

    def offload_of(self, message):
        """(ifindex, flags) of XFRMA_OFFLOAD_DEV in an event; None: it has none."""
        kind, _, _, payload = message
        found = dict(nl.attributes(payload[FIXED[kind]:])).get(nl.ATTR["OFFLOAD_DEV"])
        return None if found is None else struct.unpack("=iB", found[:5])

    def ask(self, kind, body, flags=nl.REQUEST | nl.ACK):
        """(errno, text of the extended ACK) of the answer."""
        (answer,) = self.client.ask(self.socket, nl.message(kind, body, flags))
        self.assertEqual(answer[0], "ERROR", answer)
        return answer[3][:2]

    def add_policy(self, direction="out", flags=PACKET, kind="NEWPOLICY", ifindex=None, offloaded=True):
        inner = ("10.1.0.0", "10.2.0.0")
        outer = (HOST, PEER)
        step = 1 if direction == "out" else -1
        sel = nl.selector(*inner[::step], 16)
        src, dst = outer[::step]
        return self.ask(kind, nl.policy_info(sel, direction=DIRECTIONS[direction])
                        + nl.attr("TMPL", nl.template(src, dst))
                        + (self.offload(flags, ifindex) if offloaded else b""))

    def add_sa(self, judge, spi=SPI_OUT, inbound=False, kind="NEWSA", flags=None, offloaded=True, encap=None):
        src, dst = (PEER, HOST) if inbound else (HOST, PEER)
        flags = PACKET | (INBOUND if inbound else 0) if flags is None else flags
        return self.ask(kind, nl.sa_info(src, dst, spi, window=32)
                        + nl.attr("ALG_AEAD", nl.aead(judge.key + judge.salt))
                        + (nl.attr("ENCAP", nl.encap(*encap)) if encap else b"")
                        + (self.offload(flags) if offloaded else b""))


class Refused(Messages, suite.Case):
    """A device that does not offer packet offload: the kernel's errnos and texts."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.own(Peer(cls.host))
        cls.host.start([{"driver": "af_packet", "offload": "no"}])

    def test_what_the_kernel_refuses_before_it_asks_a_driver(self):
        for flags in (0, 1, INBOUND, PACKET | 1, PACKET | INBOUND, 8, 255):
            self.assertEqual(self.add_policy(flags=flags),
                             (errno.EINVAL, "Unrecognized flags in offload request"), flags)
        self.assertEqual(self.add_policy(ifindex=77777), (errno.EINVAL, None))
        for ifindex in (self.ifindex, LOOPBACK):
            for direction in DIRECTIONS:
                self.assertEqual(self.add_policy(direction, ifindex=ifindex),
                                 (errno.EINVAL, "Policy offload is not supported"))
        self.assertEqual(self.host.show("policy"), [])
        number, _ = self.add_sa(EspJudge(SPI_OUT, os.urandom(20), 16))
        self.assertEqual(number, errno.EINVAL)
        self.assertEqual(self.host.show("sa"), [])

    def test_debians_ip_does_not_know_the_words(self):
        refused = self.host.xfrm("policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out "
                                 "offload packet dev nic0", check=False)
        self.assertIn("offload", refused.stderr)
        self.assertEqual(refused.returncode, 255)


class Accepted(Messages, WireHost, suite.Case):
    """A device that offers packet offload."""

    def setUp(self):
        super().setUp()
        self.into = EspJudge(SPI_IN, os.urandom(20), 16)
        self.out = EspJudge(SPI_OUT, os.urandom(20), 16)

    def test_policies_and_sas_are_stored_and_shown(self):
        listener = self.client.open(POLICY_GROUP | SA_GROUP)
        self.assertEqual(self.add_policy("out"), (0, None))
        self.assertEqual(self.add_policy("in"), (0, None))
        self.assertEqual(self.add_policy("fwd"), (errno.EINVAL, "sim_nic: Cannot offload forward policy"))
        self.assertEqual(self.add_policy("out")[0], errno.EEXIST)
        self.assertEqual(self.add_policy("out", kind="UPDPOLICY"), (0, None))
        self.assertEqual(self.add_sa(self.out), (0, None))
        self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True), (0, None))
        shown = {p["dir"]: p["offload_requested"]["mode"] for p in self.host.show("policy")}
        self.assertEqual(shown, {"in": "packet", "out": "packet"})
        text = self.host.xfrm("state list").stdout
        self.assertEqual(text.count("crypto offload parameters: dev nic0 dir"), 2, text)
        seen = [self.offload_of(m) for m in self.client.receive(listener, 1.0)]
        self.assertEqual(seen, [(self.ifindex, PACKET), (self.ifindex, PACKET | INBOUND),
                                (self.ifindex, PACKET), (self.ifindex, PACKET),
                                (self.ifindex, PACKET | INBOUND)])

    def test_only_what_both_offload_belongs_together(self):
        self.assertEqual(self.add_policy("out"), (0, None))
        self.assertEqual(self.add_sa(self.out, offloaded=False), (0, None))
        listener = self.client.open(ACQUIRE_GROUP)
        self.udp.sendto(b"x", (INNER_PEER, 9))
        (acquire,) = self.client.receive(listener, 2.0 * suite.SLOWNESS)
        self.assertEqual(self.offload_of(acquire), (self.ifindex, PACKET))

    def test_packets_go_by_the_device(self):
        for direction in ("out", "in"):
            self.assertEqual(self.add_policy(direction), (0, None))
        self.assertEqual(self.add_sa(self.out), (0, None))
        self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True), (0, None))
        self.peer.wire.drain()
        payload = os.urandom(40)
        self.udp.sendto(payload, (INNER_PEER, 9))
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", 1, 2 * suite.SLOWNESS)
        self.assertTrue(frames, "nothing on the wire")
        self.assertTrue(self.out.open(frames[0][34:]).payload.endswith(payload))
        self.send(self.sealed(udp(payload)))
        self.wait_for(lambda: payload in self.host_gets(), "the packet at the host", 2)
        sas = {sa["spi"]: sa for sa in self.host.show("sa")}
        for spi in (SPI_OUT, SPI_IN):
            self.assertEqual(sas[f"{spi:#010x}"]["usage"]["packets"], 1)

    def test_the_device_follows_a_nat(self):
        """UPDSA with other ports, as key management sends it when the peer's NAT has another mapping."""
        for direction in ("out", "in"):
            self.assertEqual(self.add_policy(direction), (0, None))
        for port, kind in ((4500, "NEWSA"), (1024, "UPDSA"), (1025, "UPDSA")):
            self.assertEqual(self.add_sa(self.out, kind=kind, encap=(4500, port)), (0, None))
            self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True, kind=kind, encap=(port, 4500)), (0, None))
            self.peer.wire.drain()
            self.udp.sendto(b"by a NAT", (INNER_PEER, 9))
            (frame,) = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", 1, 2 * suite.SLOWNESS)
            self.assertEqual((frame[23], *struct.unpack("!HH", frame[34:38])), (socket.IPPROTO_UDP, 4500, port))
            self.assertTrue(self.out.open(frame[42:]).payload.endswith(b"by a NAT"))
            payload = os.urandom(40)
            esp = self.into.seal(udp(payload), IPIP)
            self.send(self.outer(struct.pack("!4H", port, 4500, 8 + len(esp), 0) + esp, socket.IPPROTO_UDP))
            self.wait_for(lambda: payload in self.host_gets(), "the packet at the host", 2)
            placed = [p["effective"] for sa in self.host.show("sa") for p in sa["placements"]]
            self.assertEqual(placed, ["packet", "packet"])

    def test_an_operator_moves_it_there_and_back(self):
        """The client asked for no offload: Cygnet gives the device the policy before the SA, and takes it back."""
        for direction in ("out", "in"):
            self.assertEqual(self.add_policy(direction, offloaded=False), (0, None))
        self.assertEqual(self.add_sa(self.out, offloaded=False), (0, None))
        self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True, offloaded=False), (0, None))
        self.peer.wire.drain()
        modes = ["packet", "no"] * 10
        for spi in (SPI_OUT, SPI_IN):
            # It ends with its SA, which may be gone by then.
            self.addCleanup(self.host.ns.run, [self.host.cygnet.command, "placement", "unset", "spi", f"{spi:#x}"],
                            check=False)
        for round_number, mode in enumerate(modes):
            for spi in (SPI_OUT, SPI_IN):
                self.host.show("placement", "set", "spi", f"{spi:#x}", "mode", mode)
            for i in range(5):
                self.udp.sendto(f"{round_number} {i}".encode(), (INNER_PEER, 9))
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", 5 * len(modes), 5 * suite.SLOWNESS)
        opened = [self.out.open(frame[34:]) for frame in frames]
        self.assertEqual([o.payload[28:].decode() for o in opened],
                         [f"{r} {i}" for r in range(len(modes)) for i in range(5)])
        numbers = [o.seq for o in opened]
        self.assertEqual(numbers, sorted(set(numbers)), "a number twice, or out of order")
        placed = [p["effective"] for sa in self.host.show("sa") for p in sa["placements"]
                  for p in p["history"]]
        self.assertIn("packet", placed)


class NewerDaemons(Messages, WireHost, suite.Case):
    """The sequences of daemons that are newer than Debian's: libreswan 5 with `nic-offload=packet`, strongSwan 6
    with `hw_offload = packet`.
    """

    IKE = 500

    def setUp(self):
        super().setUp()
        self.into = EspJudge(SPI_IN, os.urandom(20), 16)
        self.out = EspJudge(SPI_OUT, os.urandom(20), 16)

    def bypass(self, direction, kind="NEWPOLICY"):
        ends = dict(sport=self.IKE, sport_mask=0xffff, dport=self.IKE, dport_mask=0xffff)
        sel = nl.selector(proto=socket.IPPROTO_UDP, **ends)
        return self.ask(kind, nl.policy_info(sel, direction=DIRECTIONS[direction], priority=1)
                        + self.offload(PACKET))

    def protect_all(self, direction):
        src, dst = (HOST, PEER) if direction == "out" else (PEER, HOST)
        return self.ask("NEWPOLICY", nl.policy_info(nl.selector(), direction=DIRECTIONS[direction], priority=1000)
                        + nl.attr("TMPL", nl.template(src, dst)) + self.offload(PACKET))

    def ip_frames(self, count):
        return self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", count, 2 * suite.SLOWNESS)

    def test_libreswan_lets_ike_pass_by_offloaded_policies(self):
        """IKE passes in clear both ways, before and after the SAs; nothing else does."""
        for direction in ("out", "in"):
            self.assertEqual(self.bypass(direction), (0, None))
            self.assertEqual(self.bypass(direction, "UPDPOLICY"), (0, None))
            self.assertEqual(self.protect_all(direction), (0, None))
        self.assertEqual(self.add_sa(self.out), (0, None))
        self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True), (0, None))
        with inside(self.host.ns):
            ike = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(ike.close)
        ike.bind((HOST, self.IKE))
        self.peer.wire.drain()
        ike.sendto(b"IKE to the peer", (PEER, self.IKE))
        self.udp.sendto(b"not IKE", (PEER, 9))
        clear, sealed = self.ip_frames(2)
        self.assertIn(b"IKE to the peer", clear)
        self.assertEqual(sealed[23], socket.IPPROTO_ESP)
        self.assertTrue(self.out.open(sealed[34:]).payload.endswith(b"not IKE"))
        self.send(udp(b"not IKE", dport=7001, src=PEER, dst=HOST))
        self.send(udp(b"IKE to the host", sport=self.IKE, dport=self.IKE, src=PEER, dst=HOST))
        ike.settimeout(2 * suite.SLOWNESS)
        self.assertEqual(ike.recv(100), b"IKE to the host")
        self.assertNotIn(b"not IKE", b"".join(self.host_gets()))

    def test_strongswan_installs_a_trap(self):
        """The trap's ACQUIRE asks for the device, and the answer's SAs are on it."""
        listener = self.client.open(ACQUIRE_GROUP)
        for direction in ("out", "in"):
            self.assertEqual(self.add_policy(direction), (0, None))
        self.peer.wire.drain()
        self.udp.sendto(b"before", (INNER_PEER, 9))
        (acquire,) = self.client.receive(listener, 2.0 * suite.SLOWNESS)
        self.assertEqual(self.offload_of(acquire), (self.ifindex, PACKET))
        allocated = self.client.ask(self.socket, nl.message(
            "ALLOCSPI", nl.spi_info(SPI_IN, SPI_IN, src=PEER, dst=HOST)))[0]
        self.assertEqual(allocated[0], "NEWSA", allocated)
        self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True, kind="UPDSA"), (0, None))
        self.assertEqual(self.add_sa(self.out), (0, None))
        self.udp.sendto(b"after", (INNER_PEER, 9))
        (frame,) = self.ip_frames(1)
        self.assertTrue(self.out.open(frame[34:]).payload.endswith(b"after"))
        placed = [p["effective"] for sa in self.host.show("sa") for p in sa["placements"]]
        self.assertEqual(placed, ["packet", "packet"])


if __name__ == "__main__":
    suite.main()
