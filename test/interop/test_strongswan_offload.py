#!/usr/bin/python3
"""Debian's strongSwan, unmodified, on both sides of a Cygnet wire: where the cryptography runs."""

import suite
from ikekit import StrongswanCase


class Offload(StrongswanCase):
    def test_offload_yes_and_auto(self):
        for offload in ("yes", "auto"):
            with self.subTest(offload=offload):
                self.connect(offload=offload)
                before = [host.show("dev")[0]["offload"] for host in self.hosts]
                self.check_traffic()
                for host, was in zip(self.hosts, before):
                    self.assertEqual(self.placements(host), {"in": ("crypto", "requested"),
                                                             "out": ("crypto", "requested")})
                    now = host.show("dev")[0]["offload"]
                    self.assertGreaterEqual(now["sealed"] - was["sealed"], 6)
                    self.assertGreaterEqual(now["opened"] - was["opened"], 6)
                self.daemons[0].down()
                self.wait_for_none()

    def test_offload_no(self):
        self.connect(offload="no")
        self.check_traffic()
        for host in self.hosts:
            self.assertEqual(self.placements(host), {"in": ("software", "not-requested"),
                                                     "out": ("software", "not-requested")})

    def test_what_the_device_cannot_do_runs_in_software(self):
        self.connect(offload="yes", esp="chacha20poly1305-esn")
        self.check_traffic()
        for host in self.hosts:
            self.assertEqual({where for where, _ in self.placements(host).values()}, {"software"})


class NoOffload(StrongswanCase):
    device = {"offload": "no"}

    def test_offload_yes_fails_and_says_why(self):
        self.load(offload="yes")
        result = self.daemons[0].initiate(check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("HW offload is not supported by device", "".join(
            daemon.log() for daemon in self.daemons))

    def test_offload_auto_runs_in_software(self):
        self.connect(offload="auto")
        self.check_traffic()
        for host in self.hosts:
            self.assertEqual(self.placements(host), {"in": ("software", "not-requested"),
                                                     "out": ("software", "not-requested")})


if __name__ == "__main__":
    suite.main()
