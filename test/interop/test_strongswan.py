#!/usr/bin/python3
"""Debian's strongSwan, unmodified, on both sides of a Cygnet wire: every mode, family and algorithm it
negotiates.
"""

import datetime
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import suite
from ikekit import NAMES, StrongswanCase


# --- What two daemons may agree on ---

GCM, CCM, GMAC = "rfc4106(gcm(aes))", "rfc4309(ccm(aes))", "rfc4543(gcm(aes))"
CHACHA = "rfc7539esp(chacha20,poly1305)"
TUNNELS = {
    "psk": ({}, {"mode": "tunnel", "aead": GCM, "esn": True}),
    "certificates": ({"auth": "pubkey"}, {"aead": GCM}),
    "transport": ({"mode": "transport"}, {"mode": "transport"}),
    "ipv6": ({"family": 6, "inner": 6}, {"family": 6}),
    "ipv6_transport": ({"family": 6, "inner": 6, "mode": "transport"}, {"mode": "transport"}),
    "ipv4_in_ipv6": ({"family": 6, "inner": 4}, {"family": 6}),
    "ipv6_in_ipv4": ({"family": 4, "inner": 6}, {"family": 4}),
    "without_esn": ({"esp": "aes128gcm16-noesn"}, {"esn": False, "replay_window": 32}),
    "aes256gcm": ({"esp": "aes256gcm16-esn"}, {"aead": GCM, "key_bits": 256}),
    "aes128gcm8": ({"esp": "aes128gcm8-esn"}, {"aead": GCM, "icv_bits": 64}),
    "aes128ccm": ({"esp": "aes128ccm16-esn"}, {"aead": CCM}),
    "aes256gmac": ({"esp": "aes256gmac-esn"}, {"aead": GMAC}),
    "chacha20": ({"esp": "chacha20poly1305-esn"}, {"aead": CHACHA}),
    "aes_cbc_sha256": ({"esp": "aes128-sha256-esn"}, {"cipher": "cbc(aes)", "icv_bits": 128}),
    "aes_cbc_sha512": ({"esp": "aes256-sha512-noesn"}, {"cipher": "cbc(aes)", "icv_bits": 256}),
    "aes_cbc_sha1": ({"esp": "aes128-sha1-noesn"}, {"cipher": "cbc(aes)", "icv_bits": 96}),
    "aes_ctr_sha384": ({"esp": "aes192ctr-sha384-esn"}, {"cipher": "rfc3686(ctr(aes))"}),
    "3des_xcbc": ({"esp": "3des-aesxcbc-noesn"}, {"cipher": "cbc(des3_ede)"}),
    "null_cmac": ({"esp": "null-aescmac-esn"}, {"cipher": "ecb(cipher_null)"}),
    "no_replay_window": ({"esp": "aes128gcm16-noesn", "child": {"replay_window": 0}},
                         {"replay_window": 0}),
    "replay_window_1024": ({"child": {"replay_window": 1024}}, {"replay_window": 1024}),
    "udp_encapsulated": ({"connection": {"encap": "yes"}}, {"encap": True}),
}


class Tunnels(StrongswanCase):
    """One test for each line of TUNNELS."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make_certificates(cls.daemons)

    def check(self, options, expected):
        self.connect(**options)
        family, inner = options.get("family", 4), options.get("inner", 4)
        self.check_traffic(inner, options.get("mode", "tunnel"),
                           secret="gmac" not in options.get("esp", "") and "null" not in
                           options.get("esp", ""))
        for host in self.hosts:
            for sa in self.sas(host):
                shown = {key: self.fact(sa, key) for key in expected}
                if sa["replay_window"] <= 1:  # outbound SAs have none, or one of 1
                    shown.update({key: expected[key] for key in expected if key == "replay_window"})
                self.assertEqual(shown, expected)
                self.assertEqual(sa["family"], family)
                self.assertGreaterEqual(sa["usage"]["packets"], 6)

    @staticmethod
    def fact(sa, key):
        algorithm = sa.get("aead") or sa["cipher"]
        if key in ("aead", "cipher"):
            return algorithm["name"]
        if key == "key_bits":
            return algorithm["key_bits"]
        if key == "icv_bits":
            return (sa.get("aead") or sa["auth"])["icv_bits"]
        if key == "encap":
            return "encap" in sa
        return sa[key]


def _add(name, options, expected):
    setattr(Tunnels, f"test_{name}", lambda self: self.check(options, expected))


for _name, (_options, _expected) in TUNNELS.items():
    _add(_name, _options, _expected)


def make_certificates(daemons):
    """A CA, and for each daemon a key and a certificate of its."""
    now = datetime.datetime.utcnow()

    def certificate(name, key, issuer, issuer_key, ca):
        builder = (x509.CertificateBuilder()
                   .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
                   .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=10))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = certificate("Cygnet test CA", ca_key, "Cygnet test CA", ca_key, True)
    for daemon in daemons:
        name, key = NAMES[daemon.side], ec.generate_private_key(ec.SECP256R1())
        files = {"x509ca/ca.pem": ca,
                 f"x509/{name}.pem": certificate(name, key, "Cygnet test CA", ca_key, False),
                 f"private/{name}.pem": key.private_bytes(
                     serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                     serialization.NoEncryption())}
        for path, data in files.items():
            with open(os.path.join(daemon.credentials, path), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    suite.main()
