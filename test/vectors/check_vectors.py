#!/usr/bin/python3
"""Recomputes every crypto vector of this folder with python3-cryptography's primitives.

Constructions that have a standard of their own (XCBC, CMAC, CCM) are put together here from AES
alone, after RFC 3566, RFC 4493 and NIST SP 800-38C, so that they do not rest on one library's idea.
"""
import pathlib
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

HERE = pathlib.Path(__file__).parent


def read(name):
    record = {}
    for line in (HERE / name).read_text(encoding="ascii").splitlines() + [""]:
        if line.startswith("#"):
            continue
        if not line:
            if record:
                yield record
            record = {}
            continue
        key, _, value = line.partition("=")
        key, value = key.strip(), value.strip()
        record[key] = value if key in ("source", "result") else bytes.fromhex(value)


def encrypt(algorithm, mode, text):
    worker = Cipher(algorithm, mode).encryptor()
    return worker.update(text) + worker.finalize()


def aes(key, block):
    return encrypt(algorithms.AES(key), modes.ECB(), block)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def masked_cbc_mac(key, whole_mask, padded_mask, message):
    blocks = [message[i:i + 16] for i in range(0, len(message), 16)] or [b""]
    last = blocks.pop()
    if len(last) == 16:
        last = xor(last, whole_mask)
    else:
        last = xor((last + b"\x80").ljust(16, b"\0"), padded_mask)
    state = bytes(16)
    for block in blocks + [last]:
        state = aes(key, xor(state, block))
    return state


def xcbc(key, message):  # RFC 3566 section 4
    k1, k2, k3 = (aes(key, bytes([n]) * 16) for n in (1, 2, 3))
    return masked_cbc_mac(k1, k2, k3, message)


def cmac(key, message):  # RFC 4493 section 2
    def double(block):
        value = int.from_bytes(block, "big") << 1
        return ((value ^ (0x87 if value >> 128 else 0)) & (1 << 128) - 1).to_bytes(16, "big")
    k1 = double(aes(key, bytes(16)))
    return masked_cbc_mac(key, k1, double(k1), message)


def ccm(key, nonce, aad, plain, icv_bytes):  # NIST SP 800-38C section 6.1, appendix A
    q = 15 - len(nonce)
    flags = (64 if aad else 0) + 8 * ((icv_bytes - 2) // 2) + q - 1
    blocks = bytes([flags]) + nonce + len(plain).to_bytes(q, "big")
    if aad:
        head = len(aad).to_bytes(2, "big") + aad
        blocks += head + bytes(-len(head) % 16)
    blocks += plain + bytes(-len(plain) % 16)
    mac = bytes(16)
    for i in range(0, len(blocks), 16):
        mac = aes(key, xor(mac, blocks[i:i + 16]))
    counters = b"".join(bytes([q - 1]) + nonce + n.to_bytes(q, "big")
                        for n in range(2 + len(plain) // 16))
    stream = b"".join(aes(key, counters[i:i + 16]) for i in range(0, len(counters), 16))
    return xor(plain, stream[16:]), xor(mac, stream)[:icv_bytes]


def check_cbc(algorithm):
    def check(r):
        return encrypt(algorithm(r["key"]), modes.CBC(r["iv"]), r["plaintext"]) == r["ciphertext"]
    return check


def check_ctr(r):
    counter = r["nonce"] + (1).to_bytes(4, "big")
    return encrypt(algorithms.AES(r["key"]), modes.CTR(counter), r["plaintext"]) == r["ciphertext"]


def check_hmac(digest):
    def check(r):
        mac = hmac.HMAC(r["key"], digest())
        mac.update(r["message"])
        return mac.finalize() == r["icv"]
    return check


def opened(r, algorithm, mode, aad):
    """The plaintext, or None: forged. By the low-level interface, which takes short tags."""
    worker = Cipher(algorithm, mode).decryptor()
    worker.authenticate_additional_data(aad)
    text = worker.update(r)
    try:
        worker.finalize()
    except InvalidTag:
        return None
    return text


def check_gcm(r):
    mode = modes.GCM(r["nonce"], r["icv"], min_tag_length=8)
    text = opened(r["ciphertext"], algorithms.AES(r["key"]), mode, r["aad"])
    if r.get("result") == "fail":
        return text is None
    sealed = AESGCM(r["key"]).encrypt(r["nonce"], r["plaintext"], r["aad"])
    again = sealed[:len(r["ciphertext"]) + len(r["icv"])]
    return text == r["plaintext"] and again == r["ciphertext"] + r["icv"]


def check_gmac(r):
    tag = AESGCM(r["key"]).encrypt(r["nonce"], b"", r["aad"] + r["plaintext"])
    return (tag == r["icv"] and r["plaintext"] == r["ciphertext"]) == (r.get("result") != "fail")


def check_chacha(r):
    sealed = ChaCha20Poly1305(r["key"]).encrypt(r["nonce"], r["plaintext"], r["aad"])
    return sealed == r["ciphertext"] + r["icv"]


def check_ccm(r):
    got = ccm(r["key"], r["nonce"], r["aad"], r["plaintext"], len(r["icv"]))
    return got == (r["ciphertext"], r["icv"])


CHECKS = {
    "aes_gcm.txt": check_gcm,
    "aes_gcm_cavp.txt": check_gcm,
    "aes_gmac.txt": check_gmac,
    "aes_ccm.txt": check_ccm,
    "chacha20_poly1305.txt": check_chacha,
    "aes_cbc.txt": check_cbc(algorithms.AES),
    "des3_cbc.txt": check_cbc(algorithms.TripleDES),
    "aes_ctr.txt": check_ctr,
    "hmac_sha1.txt": check_hmac(hashes.SHA1),
    "hmac_sha256.txt": check_hmac(hashes.SHA256),
    "hmac_sha384.txt": check_hmac(hashes.SHA384),
    "hmac_sha512.txt": check_hmac(hashes.SHA512),
    "aes_xcbc.txt": lambda r: xcbc(r["key"], r["message"]) == r["icv"],
    "aes_cmac.txt": lambda r: cmac(r["key"], r["message"]) == r["icv"],
}


def main():
    unchecked = {p.name for p in HERE.glob("*.txt")} - set(CHECKS) - {"netlink_xfrm.txt"}
    bad = [f"{name}: no check" for name in sorted(unchecked)]
    count = 0
    for name, check in CHECKS.items():
        rows = list(read(name))
        count += len(rows)
        bad += [f"{name}: no vector"] if not rows else []
        bad += [f"{name}: {r['source']}" for r in rows if not check(r)]
    print("\n".join(bad + [f"{count} vectors, {len(bad)} wrong"]))
    return 1 if bad else 0


sys.exit(main())
