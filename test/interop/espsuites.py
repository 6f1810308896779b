"""The algorithms of ESP, implemented independently: each suite seals and opens one ESP packet. They
are written from the RFCs and use only the ciphers of python3-cryptography and Python's own hmac.

A suite also has its name in `ip xfrm`, and in Scapy and Wireshark if they support it.
Key material is one string: cipher key, then salt or nonce (as in XFRM), then authentication key.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


class BadIcv(Exception):
    """The packet is not authentic."""


class Suite:
    """What an SA negotiates. Sizes in bytes; `align`: what the encrypted text is a multiple of."""

    iv_size = 8
    align = 4
    salt_size = 0
    auth_size = 0  # of the authentication key
    scapy_names = None  # arguments of SecurityAssociation; None: Scapy 2.5 cannot
    tshark_names = None  # (encryption, authentication); None: Wireshark 4.0 cannot

    def __init__(self, name, cipher_size, icv):
        self.name, self.cipher_size, self.icv = name, cipher_size, icv

    @property
    def key_size(self):
        return self.cipher_size + self.salt_size + self.auth_size

    def split(self, material):
        """Cipher key, salt, authentication key."""
        cipher_end, salt_end = self.cipher_size, self.cipher_size + self.salt_size
        return material[:cipher_end], material[cipher_end:salt_end], material[salt_end:]

    def scapy(self, material):
        """Arguments of Scapy's SecurityAssociation, or None."""
        if self.scapy_names is None:
            return None
        key, salt, auth = self.split(material)
        return {**self.scapy_names, "crypt_key": key + salt, **({"auth_key": auth} if auth else {})}

    def tshark(self, material):
        """Four columns of Wireshark's table of ESP SAs, or None."""
        if self.tshark_names is None:
            return None
        key, salt, auth = self.split(material)
        return (self.tshark_names[0], _hex(key + salt), self.tshark_names[1], _hex(auth))


def _hex(data):
    return f"0x{data.hex()}" if data else ""


class Aead(Suite):
    """RFC 4106, 4309, 7634: SPI and sequence number (all 64 bits with ESN) are additional data."""

    def __init__(self, name, xfrm, cipher_size, salt_size, icv):
        super().__init__(name, cipher_size, icv)
        self.xfrm, self.salt_size = xfrm, salt_size

    @property
    def algorithms(self):
        """Linux's names."""
        return (self.xfrm,)

    def words(self, material):
        """The algorithm for `ip xfrm state add`."""
        return f"aead {self.xfrm} {_hex(material)} {self.icv * 8}"

    @staticmethod
    def additional(header, high):
        return header[:4] + high + header[4:]

    def seal(self, material, header, high, iv, text):
        """Ciphertext and ICV. header: SPI and low sequence number; high: with ESN 4 bytes more."""
        key, salt, _ = self.split(material)
        return self.encrypt(key, salt + iv, text, self.additional(header, high))

    def open(self, material, header, high, iv, sealed):
        """The text, or BadIcv."""
        key, salt, _ = self.split(material)
        try:
            return self.decrypt(key, salt + iv, sealed, self.additional(header, high))
        except InvalidTag:
            raise BadIcv from None


class Gcm(Aead):
    def __init__(self, name, cipher_size, icv):
        super().__init__(name, "rfc4106(gcm(aes))", cipher_size, 4, icv)
        self.tshark_names = (f"AES-GCM with {icv} octet ICV [RFC4106]", "NULL")
        if icv == 16:
            self.scapy_names = {"crypt_algo": "AES-GCM"}

    def encrypt(self, key, nonce, text, aad):
        cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
        cipher.authenticate_additional_data(aad)
        return cipher.update(text) + cipher.finalize() + cipher.tag[:self.icv]

    def decrypt(self, key, nonce, sealed, aad):
        text, tag = sealed[:-self.icv], sealed[-self.icv:]
        cipher = Cipher(algorithms.AES(key), modes.GCM(nonce, tag, min_tag_length=8)).decryptor()
        cipher.authenticate_additional_data(aad)
        return cipher.update(text) + cipher.finalize()


class Gmac(Gcm):
    """RFC 4543: nothing is encrypted; IV and text are authenticated as additional data."""

    def __init__(self, name, cipher_size):
        super().__init__(name, cipher_size, 16)
        self.xfrm = "rfc4543(gcm(aes))"
        self.scapy_names = self.tshark_names = None

    def encrypt(self, key, nonce, text, aad):
        return text + super().encrypt(key, nonce, b"", aad + nonce[4:] + text)

    def decrypt(self, key, nonce, sealed, aad):
        text = sealed[:-self.icv]
        super().decrypt(key, nonce, sealed[-self.icv:], aad + nonce[4:] + text)
        return text


class Ccm(Aead):
    scapy_names = {"crypt_algo": "AES-CCM"}

    def __init__(self, name, cipher_size, icv):
        super().__init__(name, "rfc4309(ccm(aes))", cipher_size, 3, icv)
        self.scapy_names = {"crypt_algo": "AES-CCM", "crypt_icv_size": icv}

    def encrypt(self, key, nonce, text, aad):
        return aead.AESCCM(key, tag_length=self.icv).encrypt(nonce, text, aad)

    def decrypt(self, key, nonce, sealed, aad):
        return aead.AESCCM(key, tag_length=self.icv).decrypt(nonce, sealed, aad)


class ChaCha(Aead):
    scapy_names = {"crypt_algo": "CHACHA20-POLY1305"}

    def __init__(self, name):
        super().__init__(name, "rfc7539esp(chacha20,poly1305)", 32, 4, 16)

    def encrypt(self, key, nonce, text, aad):
        return aead.ChaCha20Poly1305(key).encrypt(nonce, text, aad)

    def decrypt(self, key, nonce, sealed, aad):
        return aead.ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)


# --- A cipher and an authenticator ---


class NullCipher:
    """RFC 2410."""

    xfrm, iv_size, align, salt_size = "ecb(cipher_null)", 0, 4, 0
    scapy, tshark = "NULL", "NULL"

    @staticmethod
    def mode(key, salt, iv):
        return None


class AesCbc:
    """RFC 3602."""

    xfrm, iv_size, align, salt_size = "cbc(aes)", 16, 16, 0
    scapy, tshark = "AES-CBC", "AES-CBC [RFC3602]"

    @staticmethod
    def mode(key, salt, iv):
        return Cipher(algorithms.AES(key), modes.CBC(iv))


class TripleDesCbc:
    """RFC 2451."""

    xfrm, iv_size, align, salt_size = "cbc(des3_ede)", 8, 8, 0
    scapy, tshark = "3DES", "TripleDES-CBC [RFC2451]"

    @staticmethod
    def mode(key, salt, iv):
        return Cipher(algorithms.TripleDES(key), modes.CBC(iv))


class AesCtr:
    """RFC 3686: nonce, IV and a block counter that starts at 1."""

    xfrm, iv_size, align, salt_size = "rfc3686(ctr(aes))", 8, 4, 4
    scapy, tshark = "AES-CTR", "AES-CTR [RFC3686]"

    @staticmethod
    def mode(key, salt, iv):
        return Cipher(algorithms.AES(key), modes.CTR(salt + iv + b"\0\0\0\1"))


class Hmac:
    def __init__(self, digest, key_size):
        self.digest, self.key_size = getattr(hashlib, digest), key_size
        self.xfrm = f"hmac({digest})"

    def full(self, key, data):
        return hmac.new(key, data, self.digest).digest()


class Cmac:
    """RFC 4493, 4494."""

    xfrm, key_size = "cmac(aes)", 16

    @staticmethod
    def full(key, data):
        mac = CMAC(algorithms.AES(key))
        mac.update(data)
        return mac.finalize()


class Xcbc:
    """RFC 3566."""

    xfrm, key_size = "xcbc(aes)", 16

    @staticmethod
    def _encrypt(key, block):
        cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return cipher.update(block) + cipher.finalize()

    @classmethod
    def full(cls, key, data):
        first, whole, cut = (cls._encrypt(key, bytes([n]) * 16) for n in (1, 2, 3))
        last = data[-(len(data) % 16 or 16):] if data else b""
        mask = whole
        if len(last) < 16:
            last, mask = (last + b"\x80").ljust(16, b"\0"), cut
        head = data[:len(data) - (len(data) % 16 or 16)] if data else b""
        final = bytes(a ^ b for a, b in zip(last, mask))
        cipher = Cipher(algorithms.AES(first), modes.CBC(bytes(16))).encryptor()
        return (cipher.update(head + final) + cipher.finalize())[-16:]


class Pair(Suite):
    """Encrypt, then authenticate all from the SPI to the next header; with ESN also the high word,
    which is not sent (RFC 4303, section 2.2.1). `attribute`: auth-trunc, or auth."""

    def __init__(self, name, cipher, cipher_size, mac, icv, attribute="auth-trunc", scapy=None,
                 tshark=None):
        super().__init__(name, cipher_size, icv)
        self.cipher, self.mac, self.attribute = cipher, mac, attribute
        self.iv_size, self.align = cipher.iv_size, cipher.align
        self.salt_size, self.auth_size = cipher.salt_size, mac.key_size
        if scapy:
            self.scapy_names = {"crypt_algo": cipher.scapy, "auth_algo": scapy}
        if tshark:
            self.tshark_names = (cipher.tshark, tshark)

    @property
    def algorithms(self):
        return self.cipher.xfrm, self.mac.xfrm

    def words(self, material):
        key, salt, auth = self.split(material)
        bits = f" {self.icv * 8}" if self.attribute == "auth-trunc" else ""
        cipher_key = _hex(key + salt) or '""'
        return (f"enc {self.cipher.xfrm} {cipher_key} {self.attribute} "
                f"{self.mac.xfrm} {_hex(auth)}{bits}")

    def seal(self, material, header, high, iv, text):
        key, salt, auth = self.split(material)
        mode = self.cipher.mode(key, salt, iv)
        if mode:
            cipher = mode.encryptor()
            text = cipher.update(text) + cipher.finalize()
        return text + self.mac.full(auth, header + iv + text + high)[:self.icv]

    def open(self, material, header, high, iv, sealed):
        key, salt, auth = self.split(material)
        text, icv = sealed[:-self.icv], sealed[-self.icv:]
        if not hmac.compare_digest(self.mac.full(auth, header + iv + text + high)[:self.icv], icv):
            raise BadIcv
        mode = self.cipher.mode(key, salt, iv)
        if mode and len(text) % self.align == 0:
            cipher = mode.decryptor()
            text = cipher.update(text) + cipher.finalize()
        return text


SHA1, SHA256 = Hmac("sha1", 20), Hmac("sha256", 32)
SHA384, SHA512 = Hmac("sha384", 48), Hmac("sha512", 64)
_ANY_96 = "ANY 96 bit authentication [no checking]"

SUITES = {suite.name: suite for suite in (
    Gcm("gcm128-icv16", 16, 16), Gcm("gcm256-icv16", 32, 16), Gcm("gcm192-icv8", 24, 8),
    Gcm("gcm256-icv12", 32, 12), Ccm("ccm128-icv16", 16, 16), Ccm("ccm256-icv8", 32, 8),
    Gmac("gmac128", 16), ChaCha("chacha20poly1305"),
    Pair("null+sha256-128", NullCipher, 0, SHA256, 16, scapy="SHA2-256-128",
         tshark="HMAC-SHA-256-128 [RFC4868]"),
    Pair("cbc128+sha1-96", AesCbc, 16, SHA1, 12, scapy="HMAC-SHA1-96",
         tshark="HMAC-SHA-1-96 [RFC2404]"),
    Pair("cbc256+sha256-128", AesCbc, 32, SHA256, 16, scapy="SHA2-256-128",
         tshark="HMAC-SHA-256-128 [RFC4868]"),
    # With ALG_AUTH the kernel truncates sha256 to 96 bits; no RFC does.
    Pair("cbc128+sha256-96", AesCbc, 16, SHA256, 12, attribute="auth",
         tshark="HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]"),
    Pair("cbc256+sha384-192", AesCbc, 32, SHA384, 24, scapy="SHA2-384-192",
         tshark="HMAC-SHA-384-192 [RFC4868]"),
    Pair("cbc256+sha512-256", AesCbc, 32, SHA512, 32, scapy="SHA2-512-256",
         tshark="HMAC-SHA-512-256 [RFC4868]"),
    Pair("ctr128+sha256-128", AesCtr, 16, SHA256, 16, scapy="SHA2-256-128",
         tshark="HMAC-SHA-256-128 [RFC4868]"),
    Pair("ctr256+sha1-96", AesCtr, 32, SHA1, 12, scapy="HMAC-SHA1-96",
         tshark="HMAC-SHA-1-96 [RFC2404]"),
    Pair("3des+sha1-96", TripleDesCbc, 24, SHA1, 12, scapy="HMAC-SHA1-96",
         tshark="HMAC-SHA-1-96 [RFC2404]"),
    Pair("cbc128+xcbc-96", AesCbc, 16, Xcbc, 12, tshark=_ANY_96),
    Pair("cbc128+cmac-96", AesCbc, 16, Cmac, 12, scapy="AES-CMAC-96", tshark=_ANY_96))}
