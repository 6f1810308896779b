#!/usr/bin/python3
"""FIPS mode and trust, with the cases that led to Cygnet: a certified NIC, one that is not, and one of
each in one daemon; no key is offered before the check."""

import ctypes
import os
import struct

import suite
from test_placement import HOST, HOST1, PEER, PEER1, Placement

CARD = {"model": "Acme CX-9", "serial": "A17", "firmware": "28.39"}
OTHER = {"model": "Bolt B-1", "serial": "B2", "firmware": "1.0"}


def module(**keys):
    lines = [f"{k} = {v}" if k == "expires" else f'{k} = "{v}"' for k, v in keys.items()]
    return "[[module]]\n" + "\n".join(lines) + "\n"


class Fips(Placement):
    """A daemon in FIPS mode whose list names the software module, and what the class lists."""

    listed = ()
    devices = [{"offload": "crypto", **CARD}]
    mode = "on"

    @classmethod
    def setUpClass(cls):
        suite.Case.setUpClass.__func__(cls)
        cls.list_file = os.path.join(cls.workdir, "boundary.toml")
        cls.engine = cls.software_module()
        cls.write_list(*cls.listed)
        cls.daemon_keys = f'\n[fips]\nmode = "{cls.mode}"\nboundary = "{cls.list_file}"\n'
        super().setUpClass()

    @classmethod
    def software_module(cls):
        """The name and version that this machine's OpenSSL reports in FIPS mode, queried as an operator would."""
        host = cls.make_host("asked")
        host.ns.ip("link add wire0 type veth peer name wire1")
        host.ns.ip("link set wire0 up")
        host.start([{}])
        report = host.show("doctor", "--fips")
        host.stop()
        host.ended_by_test = True
        row = next(r for r in report["rows"] if r["name"] == "openssl")
        model, version = row["identity"].split(", version ")
        return {"kind": "engine", "name": "openssl", "model": model, "version": version,
                "certificate": "4282"}

    @classmethod
    def write_list(cls, *modules):
        with open(cls.list_file, "w", encoding="utf-8") as f:
            f.write("\n".join(module(**m) for m in (cls.engine, *modules)))

    def key_log(self, number=0):
        return self.host.show("dev")[number]["key_log"]

    def doctor(self):
        result = self.host.ns.run([self.host.cygnet.command, "doctor", "--fips"], check=False)
        return result.returncode, result.stdout


LISTED = {"kind": "device", **CARD, "certificate": "4711", "expires": "2099-12-31"}


class Certified(Fips):
    listed = (LISTED,)

    def test_a_certified_nic_is_used(self):
        self.policies()
        out, into = self.add(0x1001), self.add(0x2001, "in")
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.goes_out(out)
        self.comes_in(into)
        self.assertEqual([k["taken"] for k in self.key_log()][-2:], [True, True])
        status, text = self.doctor()
        self.assertIn("4711", text)

    def test_what_is_not_approved_is_refused(self):
        result = self.host.xfrm("state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1001 reqid 1 "
                                f"mode tunnel aead rfc7539esp(chacha20,poly1305) 0x{'42' * 36} 128",
                                check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("approved", result.stderr)
        result = self.host.xfrm("state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1001 reqid 1 "
                                f"mode tunnel enc cbc(des3_ede) 0x{'42' * 24} "
                                f"auth-trunc hmac(sha1) 0x{'43' * 20} 96", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(self.host.show("sa"), [])

    def test_hmac_runs_as_well(self):
        self.host.xfrm("state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1001 reqid 1 mode tunnel "
                       f"enc cbc(aes) 0x{'42' * 16} auth-trunc hmac(sha256) 0x{'43' * 32} 128")
        self.assertEqual(self.half(0x1001), ("no", "software", "not-requested"))

    def test_the_list_changes_under_a_running_daemon(self):
        self.policies()
        out = self.add(0x1001)
        other = dict(LISTED, firmware="28.40")
        for change, reason in (((), "fips-unlisted"), ((other,), "fips-mismatch"),
                               ((dict(LISTED, expires="2020-01-01"),), "fips-expired")):
            self.write_list(*change)
            self.assertEqual(self.host.show("fips", "reload")["moved"], 1)
            self.assertEqual(self.half(0x1001), ("crypto", "software", reason))
            self.goes_out(out)
            self.wait_for(lambda: self.held() == [], "the key to leave the device")
            self.write_list(*self.listed)
            self.host.show("fips", "reload")
            self.assertEqual(self.half(0x1001), ("crypto", "crypto", "returned"))
            self.goes_out(out)

    def test_a_list_that_cannot_be_read_changes_nothing(self):
        self.add(0x1001)
        with open(self.list_file, "a", encoding="utf-8") as f:
            f.write("[[module]]\nkind = 7\n")
        result = self.host.ns.run([self.host.cygnet.command, "fips", "reload"], check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("boundary.toml", result.stderr)
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.write_list(*self.listed)

    def test_the_mode_changes_under_a_running_daemon(self):
        self.write_list()
        self.host.show("fips", "reload")
        self.add(0x1001)
        self.assertEqual(self.half(0x1001)[2], "fips-unlisted")
        self.host.show("fips", "mode", "off")
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.host.show("fips", "mode", "on")
        self.assertEqual(self.half(0x1001)[2], "fips-unlisted")
        self.write_list(*self.listed)
        self.host.show("fips", "reload")


class Opens:
    """Counts how often a file is opened."""

    OPEN, CLOSE = 0x20, 0x10

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        # The close separates two openings: the kernel merges two equal events.
        if self.fd < 0 or libc.inotify_add_watch(self.fd, path.encode(), self.OPEN | self.CLOSE) < 0:
            raise OSError(ctypes.get_errno(), f"watch {path}")

    def count(self):
        # An event of a watched file, unlike that of a folder, has no name.
        return sum(mask == self.OPEN for _, mask, _, _ in struct.iter_unpack("iIII", os.read(self.fd, 4096)))

    def close(self):
        os.close(self.fd)


class Once(Fips):
    @classmethod
    def make_host(cls, name="host"):
        host = super().make_host(name)
        if name == "host":
            cls.opens = cls.own(Opens(cls.list_file))
        return host

    def test_a_start_makes_once_what_its_check_makes(self):
        self.assertEqual(self.opens.count(), 1)
        self.assertTrue(self.host.show("fips")["enforced"])


class NotCertified(Fips):
    def test_no_key_is_ever_offered_to_it(self):
        self.policies()
        out, into = self.add(0x1001), self.add(0x2001, "in")
        self.assertEqual(self.half(0x1001), ("crypto", "software", "fips-unlisted"))
        self.assertEqual(self.half(0x2001, "in"), ("crypto", "software", "fips-unlisted"))
        self.goes_out(out)
        self.comes_in(into)
        self.assertEqual(self.key_log(), [])
        self.assertEqual(self.device()["slots_high_water"], 0)
        status, text = self.doctor()
        self.assertEqual(status, 3)
        self.assertIn("fips-unlisted", text)
        self.assertIn("Acme CX-9", text)


class OneOfEach(Fips):
    listed = (LISTED,)
    devices = [{"offload": "crypto", **CARD}, {"offload": "crypto", **OTHER}]

    def test_the_certified_one_alone_gets_keys(self):
        self.add(0x1001, offload="nic0")
        self.add(0x1002, offload="nic1", ends=(HOST1, PEER1))
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.assertEqual(self.half(0x1002), ("crypto", "software", "fips-unlisted"))
        self.assertEqual(len(self.key_log(0)), 1)
        self.assertEqual(self.key_log(1), [])
        keys = [k for k in self.host.show("ledger") if k["kind"] == "key"]
        self.assertEqual({k["holder"] for k in keys}, {"nic0", "openssl"})


class Trust(Placement):
    """Without FIPS: the operator trusts one card and not the other (T4)."""

    devices = [{"offload": "crypto"}, {"offload": "crypto", "trusted": False}]

    def test_each_device_by_itself(self):
        self.add(0x1001, offload="nic0")
        self.add(0x1002, offload="nic1", ends=(HOST1, PEER1))
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.assertEqual(self.half(0x1002), ("crypto", "software", "not-trusted"))
        self.assertEqual(self.host.show("dev")[1]["key_log"], [])


class Auto(Fips):
    mode = "auto"

    def test_it_follows_the_kernel(self):
        try:
            with open("/proc/sys/crypto/fips_enabled", encoding="ascii") as f:
                enabled = f.read().strip() == "1"
        except FileNotFoundError:
            enabled = False
        self.assertEqual(self.host.show("doctor", "--fips")["enforced"], enabled)
        self.add(0x1001)
        self.assertEqual(self.half(0x1001)[1], "software" if enabled else "crypto")


class Missing(suite.Case):
    def start(self, fips):
        host = self.make_host("none")
        host.ns.ip("link add wire0 type veth peer name wire1")
        path = os.path.join(self.workdir, "fips.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'[fips]\n{fips}\n[[device]]\nname = "nic0"\nwire = "wire0"\n')
        return host.ns.run([host.cygnet.daemon, "--config", path], check=False)

    def test_no_software_module_stops_the_daemon_with_advice(self):
        result = self.start('mode = "on"')
        self.assertNotEqual(result.returncode, 0)
        for word in ("no software crypto module", "OpenSSL", "install"):
            self.assertIn(word, result.stderr)

    def test_a_list_that_is_not_there_stops_the_daemon(self):
        result = self.start('mode = "on"\nboundary = "/nowhere/boundary.toml"')
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("/nowhere/boundary.toml", result.stderr)


if __name__ == "__main__":
    suite.main()
