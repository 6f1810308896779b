#!/usr/bin/python3
"""SAs for the packets of one CPU (RFC 9611): a policy with cpu_acquire and two workers. Which SA each
flow leaves by, and which ACQUIREs key management gets, as strongSwan's per_cpu_sas uses them.
"""

import os
import socket
import struct
import unittest

import suite
import xfrmclient as nl
from espjudge import EspJudge
from rawwire import inside
from wirehost import HOST, INNER_HOST, INNER_PEER, PEER, SPI_OUT, WireHost

ACQUIRE_GROUP = 1 << 0
CPU_ACQUIRE = 4  # XFRM_POLICY_CPU_ACQUIRE
OWN = {0: 0x1100, 1: 0x1101}  # CPU: SPI
FLOWS = 32


@unittest.skipIf(os.sysconf("SC_NPROCESSORS_CONF") < 2, "one CPU: both workers count as it")
class CpuSas(WireHost, suite.Case):
    daemon_keys = "workers = 2"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.own(nl.Client(cls.host.ns, [cls.host.cygnet.command, "exec", "--"]))
        cls.socket = cls.client.open()
        with inside(cls.host.ns):
            cls.senders = [cls.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                           for _ in range(FLOWS)]
        for sender in cls.senders:
            sender.bind((INNER_HOST, 0))

    def setUp(self):
        self.judges = {}
        self.wanted = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(self.wanted.close)
        self.listener = self.wanted.open(ACQUIRE_GROUP)

    def ask(self, kind, body):
        answers = self.client.ask(self.socket, nl.message(kind, body))
        self.assertEqual(answers[0][3][0], 0, f"{kind}: {answers}")

    def policy(self, flags=CPU_ACQUIRE):
        self.ask("NEWPOLICY", nl.policy_info(nl.selector("10.1.0.0", "10.2.0.0", 16), flags=flags)
                 + nl.attr("TMPL", nl.template(HOST, PEER)))

    def sa(self, spi, cpu=None):
        """An outbound SA, of one CPU or of all."""
        self.judges[spi] = EspJudge(spi, os.urandom(20))
        extra = b"" if cpu is None else nl.attr("SA_PCPU", nl.u32(cpu))
        self.ask("NEWSA", nl.sa_info(HOST, PEER, spi) + nl.attr("SA_DIR", b"\2") + extra
                 + nl.attr("ALG_AEAD", nl.aead(self.judges[spi].material)))

    def spis(self):
        """Sends a datagram of each flow; the SPI of each, by flow."""
        self.peer.wire.drain()
        for i, sender in enumerate(self.senders):
            sender.sendto(i.to_bytes(4, "big") + os.urandom(20), (INNER_PEER, 9))
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", FLOWS, 2 * suite.SLOWNESS)
        found = {}
        for frame in frames:
            spi, = struct.unpack("!I", frame[34:38])
            found[int.from_bytes(self.judges[spi].open(frame[34:]).payload[28:32], "big")] = spi
        self.assertEqual(len(found), FLOWS, "a flow did not arrive")
        return found

    def acquires(self, wait=0.3):
        """The CPU of each ACQUIRE that has come."""
        found = []
        for kind, _, _, body in self.wanted.receive(self.listener, wait * suite.SLOWNESS):
            self.assertEqual(kind, "ACQUIRE")
            cpu = dict(nl.attributes(body[280:])).get(nl.ATTR["SA_PCPU"])
            found.append(None if cpu is None else struct.unpack("=I", cpu)[0])
        return found

    def test_each_worker_gets_its_own_sa(self):
        self.policy()
        for sender in self.senders:
            sender.sendto(b"no SA yet", (INNER_PEER, 9))
        self.assertEqual(self.acquires(2), [None], "the first SA is for all CPUs")
        self.sa(SPI_OUT)
        self.assertEqual(set(self.spis().values()), {SPI_OUT}, "meanwhile, the SA of all CPUs")
        self.assertEqual(sorted(self.acquires(2)), [0, 1])
        for cpu, spi in OWN.items():
            self.sa(spi, cpu)
        first = self.spis()
        self.assertEqual(set(first.values()), set(OWN.values()))
        self.assertEqual(self.spis(), first, "a flow stays with its worker")
        self.assertEqual(self.acquires(), [])
        self.ask("DELSA", nl.sa_id(PEER, OWN[1]))
        self.assertEqual(self.spis(), {flow: SPI_OUT if spi == OWN[1] else spi
                                       for flow, spi in first.items()})
        self.wait_for(lambda: self.spis() and self.acquires() == [1], "an ACQUIRE of CPU 1")

    def test_an_sa_of_another_cpu_is_not_used(self):
        self.policy(flags=0)
        self.sa(OWN[1], 1)
        self.peer.wire.drain()
        for sender in self.senders:
            sender.sendto(bytes(24), (INNER_PEER, 9))
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", FLOWS, 0.5 * suite.SLOWNESS)
        self.assertEqual({struct.unpack("!I", f[34:38])[0] for f in frames}, {OWN[1]})
        self.assertLess(len(frames), FLOWS, "the other worker has no SA")
        self.sa(SPI_OUT)
        self.assertEqual(set(self.spis().values()), {OWN[1], SPI_OUT})

    def test_shown_as_it_was_given(self):
        self.sa(OWN[1], 1)
        kind, _, _, body = self.client.ask(
            self.socket, nl.message("GETSA", nl.sa_id(PEER, OWN[1]), nl.REQUEST))[0]
        self.assertEqual(kind, "NEWSA")
        self.assertEqual(dict(nl.attributes(body[224:]))[nl.ATTR["SA_PCPU"]], nl.u32(1))


if __name__ == "__main__":
    suite.main()
