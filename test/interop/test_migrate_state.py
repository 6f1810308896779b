#!/usr/bin/python3
"""MIGRATE_STATE (Linux 7.2): single SAs move under traffic, in software and on the device. Numbers and
the replay window go on, and listeners are told.
"""

import os
import struct
import threading
import time

from scapy.layers.inet import IP, UDP

import suite
import xfrmclient as nl
from wirehost import HOST, INNER_PEER, IPIP, PEER, SPI_IN, SPI_OUT, WireHost, udp

MIGRATE_GROUP = 1 << 6
ESRCH, EINVAL, EOPNOTSUPP = 3, 22, 95


class MigrateState(WireHost):
    window = 64

    def setUp(self):
        super().setUp()
        self.client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(self.client.close)
        self.socket = self.client.open()

    def ask(self, body):
        """(errno, text) of a MIGRATE_STATE."""
        answer = self.client.ask(self.socket, nl.message("MIGRATE_STATE", body, seq=9, pid=77))[-1]
        return answer[3][:2]

    def move(self, inbound, extra=b"", **changes):
        """Moves one of the pair; what `changes` does not name stays."""
        ends = (PEER, HOST) if inbound else (HOST, PEER)
        arguments = {"dst": ends[1], "spi": SPI_IN if inbound else SPI_OUT, "new": ends, **changes}
        self.assertEqual(self.ask(nl.migrate_state(**arguments) + extra), (0, None))

    def shown(self, inbound):
        """GETSA: the fixed part, and the attributes by number."""
        body = self.client.ask(self.socket, nl.message("GETSA", nl.sa_id(
            HOST if inbound else PEER, SPI_IN if inbound else SPI_OUT), nl.REQUEST))[0][3]
        return body[:224], dict(nl.attributes(body[224:]))

    def test_probe(self):
        self.assertEqual(self.ask(nl.migrate_state(spi=0xdead)), (ESRCH, "Can not find state"))
        self.assertEqual(self.ask(nl.migrate_state(spi=0)), (EINVAL, "Invalid SPI 0x0"))
        self.assertEqual(self.ask(b""), (EINVAL, "Invalid header length"))

    def test_numbers_go_on_when_encapsulation_comes_and_goes(self):
        stop = threading.Event()

        def send():
            while not stop.is_set():
                self.udp.sendto(os.urandom(40), (INNER_PEER, 9))
                time.sleep(0.001)

        sender = threading.Thread(target=send)
        self.peer.wire.drain()
        sender.start()
        try:
            for i in range(6):
                time.sleep(0.1)
                kind = 0 if i % 2 else 2
                self.move(False, nl.attr("ENCAP", nl.encap(4500, 4500, kind)))
        finally:
            time.sleep(0.1)
            stop.set()
            sender.join()
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", 1 << 20, 0.3)
        opened = [(f[23] == 17, self.out.open(f[42:] if f[23] == 17 else f[34:]).seq)
                  for f in frames]
        numbers = [seq for _, seq in opened]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)), "repeated or lost")
        changes = sum(a[0] != b[0] for a, b in zip(opened, opened[1:]))
        self.assertEqual(changes, 6)
        info, _ = self.shown(False)
        self.assertGreaterEqual(struct.unpack("=Q", info[168:176])[0], len(frames), "packets")

    def test_the_window_goes_on(self):
        old = self.outer(self.into.seal(udp(), IPIP))
        self.passes(old)
        self.move(True, nl.attr("ENCAP", nl.encap(4500, 4500)), reqid=1)

        def in_udp(packet):
            return bytes(IP(src=PEER, dst=HOST) / UDP(sport=4500, dport=4500, chksum=0) / packet[20:])

        self.drops("in-replay-duplicate", "XfrmInStateSeqError", in_udp(old), good=False)
        self.passes(in_udp(self.sealed()))
        self.move(True, nl.attr("ENCAP", nl.encap(kind=0)))
        self.passes(self.sealed())

    def test_listeners_get_the_sa_as_it_is(self):
        listener = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(listener.close)
        number = listener.open(MIGRATE_GROUP)
        selector = nl.selector("10.1.0.0", "10.2.0.0", 16)
        self.move(False, nl.attr("ENCAP", nl.encap(4500, 4501)), reqid=5, sel=selector, flags=1)
        (kind, _, seq, body), = listener.receive(number, 2 * suite.SLOWNESS)
        self.assertEqual((kind, seq), ("MIGRATE_STATE", 9))
        self.assertEqual(body[:132], nl.migrate_state(
            dst=PEER, spi=SPI_OUT, new=(HOST, PEER), reqid=5, sel=selector, flags=1))
        self.assertEqual(nl.attributes(body[132:]), [(nl.ATTR["ENCAP"], nl.encap(4500, 4501))])
        info, attributes = self.shown(False)
        self.assertEqual(info[:56], selector)
        self.assertEqual(struct.unpack("=I", info[208:212])[0], 5)
        self.assertIn(nl.ATTR["ENCAP"], attributes)
        self.assertNotIn(nl.ATTR["OFFLOAD_DEV"], attributes, "cleared by the flag")

    def test_what_cannot_be_is_refused_and_changes_nothing(self):
        before = self.shown(False)
        ends = {"dst": PEER, "spi": SPI_OUT, "new": (HOST, PEER)}
        for body, number in (
                (nl.migrate_state(**ends) + nl.attr("ENCAP", nl.encap(0, 4500)), EOPNOTSUPP),
                (nl.migrate_state(**ends) + nl.attr("IF_ID", nl.u32(1)), EINVAL),
                (nl.migrate_state(**ends, flags=2), EINVAL)):
            found, text = self.ask(body)
            self.assertEqual(found, number, text)
            self.assertTrue(text)
        self.assertEqual(self.shown(False), before)
        self.good()


class InSoftware(MigrateState, suite.Case):
    """The CPU seals and opens."""


class OnDevice(MigrateState, suite.Case):
    """Crypto offload."""

    offload = True

    def test_it_stays_on_its_device(self):
        for inbound in (False, True):
            self.move(inbound)
            self.assertIn(nl.ATTR["OFFLOAD_DEV"], self.shown(inbound)[1])
        self.good()


if __name__ == "__main__":
    suite.main()
