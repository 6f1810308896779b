#!/usr/bin/python3
"""Writes the vector files of this folder, except aes_gcm.txt and the netlink ones.

    make_vectors.py DIR    DIR: the folder cryptography_vectors of Debian's python3-cryptography-vectors

Sources: NIST CAVP response files and RFC test cases as that package carries them, RFC test cases
typed in below, and AES-CCM in the shape of RFC 4309 (11-byte nonce, AAD of 8 or 12 bytes), for which
no standard has vectors, from python3-cryptography. check_vectors.py recomputes them.
"""
import pathlib
import random
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

HERE = pathlib.Path(__file__).parent
MAX_AAD = 24  # what a job has room for: SPI, sequence number, IV

# RFC 3602 section 4: cases 1 to 4.
RFC3602 = [
    ("06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41",
     b"Single block msg".hex(), "e353779c1079aeb82708942dbe77181a"),
    ("c286696d887c9aa0611bbb3e2025a45a", "562e17996d093d28ddb3ba695a2e6f58",
     bytes(range(32)).hex(),
     "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"),
    ("6c3ea0477630ce21a2ce334aa746c2cd", "c782dc4c098c66cbd9cd27d825682c81",
     b"This is a 48-byte message (exactly 3 AES blocks)".hex(),
     "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5"
     "021c19216bad525c8579695d83ba2684"),
    ("56e47a38c5598974bc46903dba290349", "8ce82eefbea0da3c44699ed7db51b7d9",
     bytes(range(0xa0, 0xe0)).hex(),
     "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e"
     "35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55"),
]
# RFC 3566 section 4.6: cases 1 to 7, all under the key 00 01 … 0f.
RFC3566 = [
    (b"", "75f0251d528ac01c4573dfd584d79f29"),
    (bytes(range(3)), "5b376580ae2f19afe7219ceef172756f"),
    (bytes(range(16)), "d2a246fa349b68a79998a4394ff7a263"),
    (bytes(range(20)), "47f51b4564966215b8985c63055ed308"),
    (bytes(range(32)), "f54f0ec8d2b9f3d36807734bd5283fd4"),
    (bytes(range(34)), "becbb3bccdb518a30677d5481fb6b4d8"),
    (bytes(1000), "f0dafee895db30253761103b5d84528f"),
]
# RFC 7634 appendix A: an ICMP packet in ESP.
RFC7634 = dict(
    source="RFC 7634 appendix A", key=bytes(range(0x80, 0xa0)).hex(),
    nonce="a0a1a2a31011121314151617", aad="0102030400000005",
    plaintext="45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10"
              "0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
              "2425262728292a2b2c2d2e2f303132333435363701020204",
    ciphertext="24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
               "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3"
               "cbec163fac469b502773f6fb94e664da9165b82829f641e0",
    icv="76aaa8266b7fb0f7b11b369907e1ad43")


def records(path):
    """Records of a response file: dicts of lower-case names; section lines stay in force."""
    section, record = {}, {}
    for line in path.read_text().splitlines() + [""]:
        line = line.strip()
        if line.startswith("#"):
            continue
        if line.startswith("["):
            name, _, value = line.strip("[]").partition("=")
            if not value:
                section = {}
            section[name.strip().lower()] = value.strip()
        elif line in ("FAIL",):
            record["result"] = "fail"
        elif "=" in line:
            name, _, value = line.partition("=")
            record[name.strip().lower()] = value.strip()
        elif record:
            yield {**section, **record}
            record = {}


def text(value):
    """Hex, or a quoted string, as some of the files have it."""
    return value[1:-1].encode().hex() if value.startswith('"') else value.lower()


def write(name, head, rows):
    with open(HERE / name, "w", encoding="ascii") as out:
        for line in head.strip().splitlines():
            out.write(f"# {line.strip()}\n")
        out.write("# Written by make_vectors.py, checked by check_vectors.py.\n")
        for row in rows:
            out.write("\n" + "".join(f"{k} = {v}".rstrip() + "\n" for k, v in row.items()))
    print(f"{name}: {len(rows)}")


def cbc(root):
    rows = [dict(source=f"RFC 3602 case {i + 1}", key=k, iv=iv, plaintext=p, ciphertext=c)
            for i, (k, iv, p, c) in enumerate(RFC3602)]
    for name in ("CBCMMT128", "CBCMMT192", "CBCMMT256"):
        for r in records(root / f"ciphers/AES/CBC/{name}.rsp"):
            if "encrypt" in r:
                rows.append(dict(source=f"NIST CAVP {name} {r['count']}", key=r["key"], iv=r["iv"],
                                 plaintext=r["plaintext"], ciphertext=r["ciphertext"]))
    write("aes_cbc.txt", "AES-CBC: RFC 3602 section 4; NIST CAVP AESVS multi-block messages.", rows)
    rows = []
    for name in ("TCBCMMT2", "TCBCMMT3"):
        for r in records(root / f"ciphers/3DES/CBC/{name}.rsp"):
            if "encrypt" in r:
                rows.append(dict(source=f"NIST CAVP {name} {r['count']}",
                                 key=r["key1"] + r["key2"] + r["key3"], iv=r["iv"],
                                 plaintext=r["plaintext"], ciphertext=r["ciphertext"]))
    write("des3_cbc.txt", "Triple-DES-CBC: NIST CAVP TDES multi-block messages.", rows)


def ctr(root):
    rows = []
    for bits in (128, 192, 256):
        for r in records(root / f"ciphers/AES/CTR/aes-{bits}-ctr.txt"):
            assert r["iv"].endswith("00000001")
            rows.append(dict(source=f"RFC 3686 section 6, AES-{bits} {r['count']}",
                             key=text(r["key"]), nonce=text(r["iv"])[:24],
                             plaintext=text(r["plaintext"]), ciphertext=text(r["ciphertext"])))
    write("aes_ctr.txt", "AES-CTR as ESP uses it; nonce = salt || IV, the counter starts at 1.\n"
          "RFC 3686 section 6.", rows)


def macs(root):
    for bits, source in (("sha1", "2202"), ("sha256", "4231"), ("sha384", "4231"),
                         ("sha512", "4231")):
        rows = []
        for i, r in enumerate(records(root / f"HMAC/rfc-{source}-{bits}.txt")):
            rows.append(dict(source=f"RFC {source} HMAC-{bits.upper()} {i + 1}", key=r["key"],
                             message=r["msg"], icv=r["md"]))
        write(f"hmac_{bits}.txt", f"HMAC-{bits.upper()}, full length: RFC {source}.", rows)
    write("aes_cmac.txt", "AES-CMAC, full length: NIST SP 800-38B; RFC 4493 section 4 has the same.",
          [dict(source=f"SP 800-38B AES-128 {r['count']}", key=r["key"], message=r["message"],
                icv=r["output"])
           for r in records(root / "CMAC/nist-800-38b-aes128.txt")])
    write("aes_xcbc.txt", "AES-XCBC-MAC, full length: RFC 3566 section 4.6.",
          [dict(source=f"RFC 3566 case {i + 1}", key=bytes(range(16)).hex(), message=m.hex(), icv=c)
           for i, (m, c) in enumerate(RFC3566)])


def gcm(root):
    """The first two records of each shape that ESP could have, and all forged ones of it."""
    rows, gmac = [], []
    for way in ("EncryptExtIV", "Decrypt"):
        for bits in (128, 192, 256):
            seen = {}
            for r in records(root / f"ciphers/AES/GCM/gcm{way}{bits}.rsp"):
                aad = int(r["aadlen"]) // 8
                if r["ivlen"] != "96" or r["taglen"] not in ("128", "96", "64"):
                    continue
                shape = (r["ptlen"], aad, r["taglen"], r.get("result"))
                seen[shape] = seen.get(shape, 0) + 1
                row = dict(source=f"NIST CAVP gcm{way}{bits} {'/'.join(map(str, shape[:3]))} "
                                  f"{r['count']}", key=r["key"], nonce=r["iv"])
                if r["ptlen"] == "0" and aad >= 16 and r["taglen"] == "128" and seen[shape] <= 2:
                    row.update(aad=r["aad"][:32], plaintext=r["aad"][32:],
                               ciphertext=r["aad"][32:], icv=r["tag"])
                    gmac.append(row | ({"result": "fail"} if "result" in r else {}))
                elif aad <= MAX_AAD and seen[shape] <= 1:
                    forged = "result" in r
                    row.update(aad=r["aad"], plaintext="" if forged else r["pt"],
                               ciphertext=r["ct"], icv=r["tag"])
                    rows.append(row | ({"result": "fail"} if forged else {}))
    write("aes_gcm_cavp.txt", "AES-GCM: NIST CAVP, nonces of 96 bits, the truncations of RFC 4106.\n"
          "result = fail: forged, must not open.", rows)
    write("aes_gmac.txt", "AES-GMAC in the job of RFC 4543: NIST CAVP GCM records without plaintext,\n"
          "whose AAD is cut into 16 bytes of job AAD and the text, which nothing encrypts.\n"
          "result = fail: forged, must not open.", gmac)


def chacha(root):
    rows = [RFC7634]
    for r in records(root / "ciphers/ChaCha20Poly1305/boringssl.txt"):
        aad = text(r.get("ad", ""))
        if len(aad) // 2 > MAX_AAD or len(r["nonce"]) != 24:
            continue
        rows.append(dict(source=f"RFC 7539 and BoringSSL {r['count']}", key=r["key"],
                         nonce=r["nonce"], aad=aad, plaintext=text(r["in"]), ciphertext=text(r["ct"]),
                         icv=r["tag"]))
    write("chacha20_poly1305.txt", "ChaCha20-Poly1305: RFC 7634 appendix A; RFC 7539 section 2.8.2\n"
          "and edge lengths, as BoringSSL has them.", rows)


def ccm():
    rng = random.Random(4309)
    rows = []
    for key_bytes in (16, 24, 32):
        for icv in (8, 12, 16):
            for aad_bytes, length in ((8, 0), (8, 1), (12, 16), (8, 31), (12, 68), (12, 257)):
                key, nonce, aad, plain = (rng.randbytes(n)
                                          for n in (key_bytes, 11, aad_bytes, length))
                sealed = AESCCM(key, tag_length=icv).encrypt(nonce, plain, aad)
                rows.append(dict(source=f"python3-cryptography AES-{key_bytes * 8}-CCM", key=key.hex(),
                                 nonce=nonce.hex(), aad=aad.hex(), plaintext=plain.hex(),
                                 ciphertext=sealed[:length].hex(), icv=sealed[length:].hex()))
    write("aes_ccm.txt", "AES-CCM in the shape of RFC 4309: nonce of 11 bytes, AAD of 8 or 12.\n"
          "No standard has vectors of that shape: these are python3-cryptography's, seed 4309.", rows)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1])
    for make in (cbc, ctr, macs, gcm, chacha):
        make(root)
    ccm()


main()
