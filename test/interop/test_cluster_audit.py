#!/usr/bin/python3
"""Tests clusteraudit.py: it must find what the tests of the cluster rely on. No daemon is needed."""

import os
import struct
import unittest

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clusteraudit import Audited, Auditor, Bits, PeerSender, Tally, WINDOW, inner_header
from flow import MARK

SPI = 0x1001


class Sealer(PeerSender):
    """Seals without a wire."""

    def __init__(self, material):  # pylint: disable=super-init-not-called
        self.spi, self.salt, self.cipher = SPI, material[-4:], AESGCM(material[:-4])
        self.head = inner_header(("10.1.0.1", "10.2.0.1"))


class Finds(unittest.TestCase):
    def setUp(self):
        self.material = os.urandom(20)
        self.sealer = Sealer(self.material)
        self.auditor = Auditor(None, {})
        self.sa = Audited(SPI, self.material)
        self.auditor.add(self.sa)

    def take(self, seq, number, gateway="gw1", spoil=False, iv=None):
        inner = self.sealer.head + struct.pack("!I", number) + MARK
        esp = bytearray(self.sealer.seal(inner, seq, iv))
        esp[-1] ^= spoil
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(esp), 0, 0, 64, 50, 0, bytes(4), bytes(4))
        self.auditor.take(bytes(12) + b"\x08\x00" + ip + bytes(esp) + bytes(6), gateway)

    def figures(self):
        sa = self.sa
        return sa.repeated, sa.repeated_ivs, sa.forged, sa.old, self.auditor.arrived.doubled

    def test_nothing_in_a_good_flow(self):
        for n in range(100):
            self.take(n + 1, n)
        self.assertEqual(self.figures(), (0, 0, 0, 0, 0))
        self.assertEqual(self.auditor.arrived.unique, 100)
        self.assertEqual(self.sa.ranges, {"gw1": [[1, 100]]})

    def test_a_repeated_number(self):
        self.take(1, 0)
        self.take(1, 1, "gw2")
        self.assertEqual(self.figures(), (1, 1, 0, 0, 0))
        self.assertEqual(self.auditor.arrived.unique, 1, "a receiver refuses it")

    def test_a_second_mask_that_meets_an_iv(self):
        self.take(1, 0)
        self.take(2, 1, "gw2", iv=1)
        self.assertEqual(self.figures(), (0, 1, 0, 0, 0))
        self.assertEqual(len(self.sa.masks), 2)

    def test_a_forgery_and_an_old_number(self):
        self.take(WINDOW + 10, 0)
        self.take(2, 1)
        self.take(WINDOW + 11, 2, spoil=True)
        self.assertEqual(self.figures(), (0, 0, 1, 1, 0))

    def test_a_packet_that_comes_twice(self):
        self.take(1, 7)
        self.take(2, 7)
        self.assertEqual(self.figures()[-1], 1)

    def test_clear_text(self):
        self.auditor.take(bytes(12) + b"\x08\x00" + bytes(30) + MARK, "gw1")
        self.assertEqual(self.auditor.clear, 1)

    def test_an_esn_that_crosses_2_32(self):
        self.sa.top = (1 << 32) - 10
        for n, seq in enumerate(range((1 << 32) - 3, (1 << 32) + 3)):
            self.take(seq, n)
        self.assertEqual(self.figures(), (0, 0, 0, 0, 0))
        self.assertEqual(self.auditor.arrived.unique, 6)

    def test_sets_and_tallies(self):
        bits, tally = Bits(), Tally()
        for n in (0, 1, 1 << 15, 1 << 40):
            self.assertTrue(bits.add(n))
            self.assertFalse(bits.add(n))
        for n in (0, 1, 3, 3):
            tally.take(n)
        self.assertEqual((tally.unique, tally.doubled, tally.missing(0, 5)), (3, 1, 2))


if __name__ == "__main__":
    unittest.main()
