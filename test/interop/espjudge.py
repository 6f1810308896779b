"""A second opinion on ESP, written from RFC 4303: it seals and opens one SA's packets by a suite of
espsuites.py. It does what Scapy 2.5 does not: every suite, ESN with authenticators, any pad bytes,
malformed packets that still authenticate, and a look at what is inside the trailer.
"""

import os
import struct

from espsuites import BadIcv, Gcm


class Refused(Exception):
    """The packet violates the RFCs; the text says why."""


class Opened:
    """An ESP packet whose ICV holds."""

    def __init__(self, seq, iv, text):
        self.seq = seq
        self.iv = iv
        pad_length, self.next_header = text[-2], text[-1]
        if pad_length + 2 > len(text):
            raise Refused(f"pad length {pad_length} in {len(text)} bytes")
        self.payload = text[:len(text) - 2 - pad_length]
        self.padding = text[len(self.payload):-2]


class EspJudge:
    """One SA. key: all material of the suite, in the order of espsuites.py; without a suite it is
    AES-GCM with an ICV of `icv` bytes."""

    def __init__(self, spi, key, icv=16, esn=False, seq=0, suite=None):
        self.spi = spi
        self.material = key
        self.key, self.salt = key[:-4], key[-4:]  # of AES-GCM
        self.suite = suite or Gcm("gcm", len(key) - 4, icv)
        self.icv = self.suite.icv
        self.esn = esn
        self.seq = seq  # the last one sent
        self.ivs = set()  # of all packets opened

    def _high(self, seq):
        return struct.pack("!I", seq >> 32) if self.esn else b""

    def seal_text(self, text, seq=None, iv=None):
        """ESP header to ICV; `text` is everything that is encrypted, trailer included."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        iv = os.urandom(self.suite.iv_size) if iv is None else iv
        header = struct.pack("!II", self.spi, seq & 0xffffffff)
        return header + iv + self.suite.seal(self.material, header, self._high(seq), iv, text)

    def seal(self, payload, next_header, seq=None, iv=None, extra_pad=0):
        """extra_pad: bytes more than needed, a multiple of the alignment."""
        pad = -(len(payload) + 2) % self.suite.align + extra_pad
        text = payload + bytes(range(1, pad + 1)) + bytes([pad, next_header])
        return self.seal_text(text, seq, iv)

    def open(self, esp, seq_high=0):
        """Checks what a receiver can check: ICV, alignment, pad bytes, an IV not seen before."""
        suite = self.suite
        if len(esp) < 8 + suite.iv_size + 2 + suite.icv:
            raise Refused(f"{len(esp)} bytes are too few")
        spi, low = struct.unpack("!II", esp[:8])
        if spi != self.spi:
            raise Refused(f"SPI {spi:#x}, not {self.spi:#x}")
        seq = seq_high << 32 | low
        iv, sealed = esp[8:8 + suite.iv_size], esp[8 + suite.iv_size:]
        try:
            text = suite.open(self.material, esp[:8], self._high(seq), iv, sealed)
        except BadIcv:
            raise Refused("ICV wrong") from None
        if len(text) % suite.align:
            raise Refused(f"{len(text)} bytes of text: not a multiple of {suite.align}")
        opened = Opened(seq, iv, text)
        if opened.padding != bytes(range(1, len(opened.padding) + 1)):
            raise Refused(f"pad bytes {opened.padding.hex()}, not 1, 2, 3 …")
        if iv and iv in self.ivs:
            raise Refused(f"IV {iv.hex()} was used before")
        self.ivs.add(iv)
        return opened
