#!/usr/bin/python3
"""Slots, receive addresses, the reserve for rekeys, the scheduler; whose setting counts; what explain
says before anything is installed; and the errno of each answer to clients."""

import errno
import struct
import time

import suite
import xfrmclient as nl
from flow import Pair, SPI_W
from test_placement import HOST, PEER, Placement


class ReceiveAddresses(Placement):
    devices = [{"offload": "crypto", "address_limit": 2}]

    def test_a_table_of_its_own(self):
        for i, address in enumerate(("192.0.2.1", "192.0.2.11", "192.0.2.12")):
            self.host.xfrm(f"state add src {PEER} dst {address} proto esp spi {0x2001 + i:#x} reqid 1 "
                           f"mode tunnel replay-window 64 aead rfc4106(gcm(aes)) 0x{'42' * 20} 128 "
                           "offload dev nic0 dir in")
        self.assertEqual(self.half(0x2002, "in"), ("crypto", "crypto", "requested"))
        self.assertEqual(self.half(0x2003, "in"), ("crypto", "software", "address-table-full"))
        self.add(0x2004, "in")
        self.assertEqual(self.half(0x2004, "in"), ("crypto", "crypto", "requested"))
        device = self.device()
        self.assertEqual((device["addresses_used"], device["addresses_limit"],
                          device["addresses_high_water"]), (2, 2, 2))
        self.assertIn("address", self.host.text("dev"))


class RekeyReserve(Placement):
    devices = [{"offload": "crypto", "sa_limit": 3, "rekey_reserve": 1}]

    def test_the_last_slot_is_for_a_rekey(self):
        self.policies()
        self.add(0x1001, reqid=1)
        self.add(0x1002, reqid=2)
        self.add(0x1003, reqid=3)
        self.assertEqual(self.half(0x1003), ("crypto", "software", "rekey-reserve"))
        successor = self.add(0x1004, reqid=1)
        self.assertEqual(self.half(0x1004), ("crypto", "crypto", "requested"))
        self.goes_out(successor)


class Scheduler(Pair):
    device = {"offload": "crypto", "sa_limit": 1}
    config = "[scheduler]\nenabled = true\ninterval = 1\nmin_residence = 1"

    def test_the_busy_sa_gets_the_slot_without_a_loss(self):
        # An idle SA has west's only outbound slot when the tunnel's SA is added.
        idle = "0x5000"
        for host in (self.west, self.east):  # both ends start again
            host.xfrm(f"state delete src 192.0.2.1 dst 192.0.2.2 proto esp spi {SPI_W:#x}")
        self.wait_for(lambda: self.west.show("dev")[0]["offload"]["outbound_used"] == 0, "the slot")
        self.west.xfrm(f"state add src 192.0.2.1 dst 192.0.2.2 proto esp spi {idle} reqid 9 mode tunnel "
                       f"aead rfc4106(gcm(aes)) 0x{'42' * 20} 128 offload dev nic0 dir out")
        self.add_sa(self.west, "192.0.2.1", "192.0.2.2", SPI_W, "out")
        self.add_sa(self.east, "192.0.2.1", "192.0.2.2", SPI_W, "in")
        self.assertEqual(self.where(self.west, 0x5000)[0], "crypto")
        self.assertEqual(self.where(self.west, SPI_W), ("software", "table-full"))
        watch, flows = self.traffic()
        self.wait_for(lambda: self.where(self.west, SPI_W) == ("crypto", "promoted"),
                      "the busy SA to be promoted", 10)
        self.assertEqual(self.where(self.west, 0x5000), ("software", "demoted"))
        time.sleep(2.5)
        self.assertEqual(self.where(self.west, SPI_W), ("crypto", "promoted"))
        self.judge(watch, flows)


class Rules(Placement):
    daemon_keys = """
[[placement]]
name = "never"
reqid = 7
mode = "no"
[[placement]]
name = "always"
reqid = 8
mode = "required"
device = "nic0"
[[placement]]
name = "branch"
peer = "192.0.2.2"
src = "10.9.0.0/16"
mode = "auto"
pin = true
"""

    def test_whose_request_counts(self):
        self.add(0x1007, reqid=7)
        self.assertEqual(self.half(0x1007)[1:], ("software", "operator-rule"))
        self.add(0x1008, reqid=8, offload=None)
        self.assertEqual(self.half(0x1008), ("required", "crypto", "requested"))
        self.add(0x1009, offload=None,
                 extra="sel src 10.9.1.0/24 dst 10.2.0.0/16")
        self.assertEqual(self.half(0x1009), ("auto", "crypto", "requested"))
        self.host.show("placement", "set", "reqid", "7", "mode", "crypto", "dev", "nic0", "pin")
        self.assertEqual(self.half(0x1007)[1:], ("crypto", "requested"))
        self.host.show("placement", "unset", "reqid", "7")
        self.assertEqual(self.half(0x1007)[1:], ("software", "operator-rule"))

    def test_required_fails_with_the_reason(self):
        result = self.host.xfrm(
            f"state add src {HOST} dst {PEER} proto esp spi 0x1001 reqid 8 mode tunnel "
            f"aead rfc4106(gcm(aes)) 0x{'42' * 20} 96", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("offload required: no-capability:icv-96: the device does not support icv-96", result.stderr)
        self.assertEqual(self.host.show("sa"), [])

    def test_required_is_never_software(self):
        self.policies(reqid=8)
        self.add(0x1001, reqid=8)
        self.cygnet("offload", "disable", "dev", "nic0")
        self.assertEqual(self.half(0x1001), ("required", "blocked", "operator-disabled"))
        before = suite.counters(self.host)
        self.peer.wire.drain()
        self.udp.sendto(b"x" * 30, ("10.2.0.1", 9))
        self.assertEqual(self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", timeout=0.3), [])
        gone = suite.difference(before, suite.counters(self.host))
        self.assertEqual(gone.get("out-placement-blocked"), 1, gone)
        self.cygnet("offload", "enable", "dev", "nic0")
        self.assertEqual(self.half(0x1001)[1:], ("crypto", "returned"))

    def cygnet(self, *words, check=True):
        return self.host.ns.run([self.host.cygnet.command, *words], check=check)

    def test_explain(self):
        good = self.cygnet("offload", "explain", "aead", "rfc4106(gcm(aes))", "mode", "tunnel", "esn",
                           "replay-window", "1024", "dev", "nic0")
        self.assertIn("yes", good.stdout)
        bad = self.cygnet("offload", "explain", "aead", "rfc4106(gcm(aes))", "mode", "tunnel", "encap",
                          "espinudp", "replay-window", "1024", "esn", "dev", "nic0", check=False)
        self.assertEqual(bad.returncode, 3)
        self.assertIn("udp-encapsulation", bad.stdout)
        wrong = self.cygnet("offload", "explain", "aead", "rot13", "dev", "nic0", check=False)
        self.assertEqual(wrong.returncode, 2)
        self.assertEqual(self.held(), [])


class AsAKernelAnswers(Placement):
    """reference: xfrm_dev_state_add of Linux 6.16 (offload table of the XFRM protocol's page)."""

    def setUp(self):
        self.client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(self.client.close)
        self.socket = self.client.open()
        self.index = self.host.show("dev")[0]["ifindex"]

    def answer(self, ifindex, flags, *more):
        offload = nl.attr("OFFLOAD_DEV", struct.pack("=iB3x", ifindex, flags))
        reply = self.client.ask(self.socket, nl.message(
            "NEWSA", nl.sa_info() + nl.attr("ALG_AEAD", nl.aead()) + offload + b"".join(more)))
        return reply[0][3][0] if reply else 0

    def fault(self, *words):
        self.host.ns.run([self.host.cygnet.command, "sim", "dev", "nic0", *words])

    def test_errno_for_errno(self):
        packet = 4
        for what, ifindex, flags, number in (
                ("unknown flags", self.index, 8, errno.EINVAL),
                ("no device, packet", 1, packet, errno.EINVAL),
                ("no such interface, packet", 4711, packet, errno.EINVAL)):
            self.assertEqual(self.answer(ifindex, flags), number, what)
            self.assertEqual(self.host.show("sa"), [], what)
        for what, fault, number in (("full", ("table-full", "1"), 0),
                                    ("do it in software", ("add-fail", "EOPNOTSUPP"), 0),
                                    ("no space, as ixgbe says", ("add-fail", "ENOSPC"), errno.ENOSPC),
                                    ("busy", ("add-fail", "EBUSY"), errno.EBUSY)):
            self.fault(*fault)
            self.assertEqual(self.answer(self.index, 0), number, what)
            self.assertEqual(len(self.host.show("sa")), 0 if number else 1, what)
            self.host.xfrm("state flush")
            self.fault("clear")
        self.assertEqual(self.answer(self.index, 0), 0)
        self.assertEqual(self.host.show("sa")[0]["placements"][0]["effective"], "crypto")


if __name__ == "__main__":
    suite.main()
