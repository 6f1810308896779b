"""A second opinion on ESP with AES-GCM, written from RFC 4303 and RFC 4106 on nothing but the
cipher of python3-cryptography. It does what Scapy 2.5 does not: ICVs of 8 and 12 bytes, any pad
bytes, malformed packets that still authenticate, and a look at what is inside the trailer.
"""

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Refused(Exception):
    """The packet is not what the RFCs ask for; the text says why."""


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
    """One SA: key with the salt at its end, as everywhere in XFRM."""

    def __init__(self, spi, key, icv=16, esn=False, seq=0):
        self.spi = spi
        self.key, self.salt = key[:-4], key[-4:]
        self.icv = icv
        self.esn = esn
        self.seq = seq  # last one sent
        self.ivs = set()  # of all packets opened

    def _aad(self, seq):
        if self.esn:  # RFC 4106, section 5
            return struct.pack("!III", self.spi, seq >> 32, seq & 0xffffffff)
        return struct.pack("!II", self.spi, seq)

    def seal_text(self, text, seq=None, iv=None):
        """ESP header to ICV; `text` is everything that is encrypted, trailer included."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        iv = os.urandom(8) if iv is None else iv
        cipher = Cipher(algorithms.AES(self.key), modes.GCM(self.salt + iv)).encryptor()
        cipher.authenticate_additional_data(self._aad(seq))
        sealed = cipher.update(text) + cipher.finalize()
        return (struct.pack("!II", self.spi, seq & 0xffffffff) + iv + sealed
                + cipher.tag[:self.icv])

    def seal(self, payload, next_header, seq=None, iv=None, extra_pad=0):
        pad = -(len(payload) + 2) % 4 + extra_pad
        text = payload + bytes(range(1, pad + 1)) + bytes([pad, next_header])
        return self.seal_text(text, seq, iv)

    def open(self, esp, seq_high=0):
        """Checks what a receiver could: ICV, alignment, pad bytes, an IV not seen before."""
        if len(esp) < 8 + 8 + 2 + self.icv:
            raise Refused(f"{len(esp)} bytes are too few")
        spi, low = struct.unpack("!II", esp[:8])
        if spi != self.spi:
            raise Refused(f"SPI {spi:#x}, not {self.spi:#x}")
        seq = seq_high << 32 | low
        iv, sealed, tag = esp[8:16], esp[16:len(esp) - self.icv], esp[len(esp) - self.icv:]
        cipher = Cipher(algorithms.AES(self.key),
                        modes.GCM(self.salt + iv, tag, min_tag_length=8)).decryptor()
        cipher.authenticate_additional_data(self._aad(seq))
        try:
            text = cipher.update(sealed) + cipher.finalize()
        except InvalidTag:
            raise Refused("ICV wrong") from None
        if len(text) % 4:
            raise Refused(f"{len(text)} bytes of text: not a multiple of 4")
        opened = Opened(seq, iv, text)
        if opened.padding != bytes(range(1, len(opened.padding) + 1)):
            raise Refused(f"pad bytes {opened.padding.hex()}, not 1, 2, 3 …")
        if iv in self.ivs:
            raise Refused(f"IV {iv.hex()} was used before")
        self.ivs.add(iv)
        return opened
