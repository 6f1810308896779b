#!/usr/bin/python3
"""Tests espjudge.py against Scapy where Scapy can do it, against published vectors where it cannot,
and against forgeries. No daemon is needed.
"""

import logging
import os
import struct
import unittest

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402

from espjudge import EspJudge, Refused  # noqa: E402
from espsuites import SUITES, Aead, Gcm, Gmac, Xcbc  # noqa: E402

SPI = 0x1234
SIZES = (*range(18), 100, 1001)


def packet(size):
    return IP(bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / os.urandom(size)))


def scapy_sa(suite, material, esn=None):
    high = {} if esn is None else {"esn_en": True, "esn": esn}
    return SecurityAssociation(ESP, spi=SPI, **suite.scapy(material), **high)


class AgainstScapy(unittest.TestCase):
    def agree(self, suite, high=None):
        material = os.urandom(suite.key_size)
        base = 0 if high is None else high << 32
        judge = EspJudge(SPI, material, esn=high is not None, seq=base, suite=suite)
        for number, size in enumerate(SIZES, 1):
            original = packet(size)
            payload = bytes(original)[20:]
            sa = scapy_sa(suite, material, high)
            sealed = bytes(sa.encrypt(original.copy(), seq_num=number))
            opened = judge.open(sealed[20:], high or 0)
            self.assertEqual((opened.payload, opened.next_header), (payload, 17))
            ours = IP(bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=50) / judge.seal(payload, 17)))
            self.assertEqual(bytes(sa.decrypt(ours))[20:], payload)

    def test_every_suite_that_scapy_has(self):
        able = [suite for suite in SUITES.values() if suite.scapy_names]
        self.assertEqual(sorted(SUITES[n].name for n in SUITES if not SUITES[n].scapy_names),
                         ["cbc128+sha256-96", "cbc128+xcbc-96", "gcm192-icv8", "gcm256-icv12",
                          "gmac128"])
        for suite in able:
            with self.subTest(suite.name):
                self.agree(suite)

    def test_esn_of_aeads(self):
        for suite in SUITES.values():
            if isinstance(suite, Aead) and suite.scapy_names:
                with self.subTest(suite.name):
                    self.agree(suite, 7)


class AgainstVectors(unittest.TestCase):
    def test_xcbc_of_rfc_3566(self):
        key = bytes(range(16))
        for size, mac in ((0, "75f0251d528ac01c4573dfd584d79f29"),
                          (3, "5b376580ae2f19afe7219ceef172756f"),
                          (16, "d2a246fa349b68a79998a4394ff7a263"),
                          (20, "47f51b4564966215b8985c63055ed308"),
                          (32, "f54f0ec8d2b9f3d36807734bd5283fd4"),
                          (34, "becbb3bccdb518a30677d5481fb6b4d8")):
            self.assertEqual(Xcbc.full(key, bytes(range(size))).hex(), mac)

    def test_xcbc_of_a_thousand_zeros(self):
        self.assertEqual(Xcbc.full(bytes(range(16)), bytes(1000)).hex(),
                         "f0dafee895db30253761103b5d84528f")

    def test_gmac_is_gcm_without_text(self):
        # RFC 4543, section 3.3 by the definition: additional data are SPI, number, IV and text.
        material, text, iv = os.urandom(20), b"clear text..", os.urandom(8)
        header = struct.pack("!II", SPI, 5)
        sealed = Gmac("gmac", 16).seal(material, header, b"\0\0\0\7", iv, text)
        aad = header[:4] + b"\0\0\0\7" + header[4:] + iv + text
        tag = Gcm("gcm", 16, 16).encrypt(material[:16], material[16:] + iv, b"", aad)
        self.assertEqual(sealed, text + tag)


class AgainstForgeries(unittest.TestCase):
    """The judge notices every flipped bit, and the high word of ESN counts."""

    def each(self, check):
        for suite in SUITES.values():
            with self.subTest(suite.name):
                check(EspJudge(SPI, os.urandom(suite.key_size), esn=True, seq=3 << 32, suite=suite))

    def refuses(self, text, judge, sealed, high=3):
        with self.assertRaisesRegex(Refused, text):
            judge.open(sealed, high)

    def test_every_byte_counts(self):
        def check(judge):
            sealed = judge.seal(b"payload of some length", 17)
            for at in range(4, len(sealed)):
                forged = sealed[:at] + bytes([sealed[at] ^ 0x80]) + sealed[at + 1:]
                self.refuses("ICV wrong", judge, forged)
        self.each(check)

    def test_high_word_counts(self):
        def check(judge):
            sealed = judge.seal(b"payload", 17)
            for high in (0, 2, 4):
                self.refuses("ICV wrong", judge, sealed, high)
            self.assertEqual(judge.open(sealed, 3).payload, b"payload")
        self.each(check)

    def test_repeated_iv(self):
        def check(judge):
            iv = bytes(judge.suite.iv_size)
            judge.open(judge.seal(b"payload", 17, iv=iv), 3)
            if iv:
                self.refuses("used before", judge, judge.seal(b"payload", 17, iv=iv))
        self.each(check)

    def test_pad_bytes_and_alignment(self):
        def check(judge):
            align = judge.suite.align
            self.refuses("pad bytes", judge,
                         judge.seal_text(b"\0" * (align - 2) + bytes([align - 2, 17])))
            self.refuses("pad length", judge, judge.seal_text(b"\0" * (align - 2) + b"\xff\x11"))
            if isinstance(judge.suite, Aead) or align == 4:  # a block cipher cannot do otherwise
                self.refuses("not a multiple", judge, judge.seal_text(b"\0" * align + b"\0\x11"))
        self.each(check)


if __name__ == "__main__":
    unittest.main(verbosity=2)
