#!/usr/bin/python3
"""A device that falsely claims to have sealed, or that seals and opens wrongly: none of its packets leave or are
delivered, and its SAs move away."""

import os
import stat
import subprocess
import time

import labkit
import suite
from flow import MARK, Pair, SPI_E, SPI_W
from scapy.utils import PcapReader


class CaughtDevice(Pair):
    left = "software"  # where its SAs are then

    def make_honest(self):
        self.cygnet(self.west, "sim", "dev", "nic0", "clear")
        self.cygnet(self.west, "offload", "enable", "dev", "nic0")

    def wait_until_left(self):
        self.wait_for(lambda: self.where(self.west, SPI_W) == (self.left, "device-failed"),
                      "the device to be left", 3)


class LyingDevice(CaughtDevice):
    def lie(self, fault):
        before = suite.counters(self.west)
        self.addCleanup(self.make_honest)  # also after a failed test
        watch, flows = self.traffic()
        time.sleep(0.3)
        self.cygnet(self.west, "sim", "dev", "nic0", fault, "50")
        self.wait_until_left()
        time.sleep(0.3)
        figures = self.judge(watch, flows, lossless=False)
        stopped = suite.difference(before, suite.counters(self.west))
        self.assertGreater(stopped.get("out-not-sealed", 0), 0)
        # Packets that it had opened and that were still queued are trusted no more than its seals.
        self.assertEqual(stopped["out-not-sealed"] + stopped.get("in-device-stale", 0),
                         figures["lost"], stopped)
        self.make_honest()
        self.assertEqual(self.where(self.west, SPI_W)[0], "crypto")
        watch, flows = self.traffic()
        time.sleep(0.5)
        self.judge(watch, flows)

    def test_that_skips_sealing(self):
        self.lie("skip-seal")

    def test_that_writes_an_icv_over_clear_text(self):
        self.lie("skip-icv")

    def test_what_it_stopped_can_be_looked_at(self):
        self.addCleanup(self.make_honest)
        watch, flows = self.traffic()
        self.cygnet(self.west, "sim", "dev", "nic0", "skip-seal", "5")
        self.wait_for(lambda: self.where(self.west, SPI_W)[0] == "software", "the device to be left", 3)
        self.judge(watch, flows, lossless=False)
        path = os.path.join(self.workdir, "guard.pcapng")
        proc = self.west.ns.popen([self.west.cygnet.command, "capture", "dev", "nic0", "side", "guard",
                                   "count", "1", "write", path])
        self.assertEqual(proc.wait(10), 0)
        with PcapReader(path) as reader:
            frames = [bytes(p) for p in reader]
        self.assertIn(MARK, frames[0])


class ShadowVerification(CaughtDevice):
    """The CPU computes every packet again."""

    device = {"offload": "crypto", "verify": 1}
    mode = "crypto"
    differs = "the packet is not the one that the stack built"
    opened_wrongly = "the ICV that arrived is not the packet's"

    @classmethod
    def config_of(cls, host):
        return f'[ledger]\nfile = "{cls.workdir}/{host.name}.jsonl"\n'

    def shadow(self, host):
        return host.show("dev")[0]["shadow"]

    def catch(self, way, *fault):
        self.addCleanup(self.make_honest)
        watch, flows = self.traffic()
        verified = self.shadow(self.west)[way]["verified"]
        self.wait_for(lambda: self.shadow(self.west)[way]["verified"] > verified, "a verified packet", 15)
        self.cygnet(self.west, "sim", "dev", "nic0", *fault)
        self.wait_until_left()
        self.judge(watch, flows, lossless=False)
        shadow = self.shadow(self.west)
        self.assertIn("shadow verification found a wrong packet", shadow["caught"])
        self.assertGreater(shadow[way]["wrong"], 0)
        self.assertEqual(shadow["evidence"], f"{self.workdir}/evidence-nic0.pcapng")
        self.assertEqual(stat.S_IMODE(os.stat(shadow["evidence"]).st_mode), 0o600)
        self.assertIn("CAUGHT: shadow verification", self.west.text("dev"))
        self.make_honest()
        self.assertEqual(self.shadow(self.west)["caught"], "")
        self.assertEqual(self.where(self.west, SPI_W)[0], self.mode)
        return subprocess.run(["tshark", "-r", shadow["evidence"], "-T", "fields", "-e", "frame.comment"],
                              capture_output=True, text=True, check=True).stdout

    def test_honest_device_loses_nothing(self):
        before = self.shadow(self.west)
        watch, flows = self.traffic()
        for way in ("out", "in"):
            self.wait_for(lambda: self.shadow(self.west)[way]["verified"] > before[way]["verified"] + 100,
                          "verified packets", 15)
        self.judge(watch, flows)
        after = self.shadow(self.west)
        for way in ("out", "in"):
            self.assertEqual(after[way]["wrong"], before[way]["wrong"])
        self.assertIn("the CPU verifies one of 1 packets", self.west.text("sa"))

    def test_wrong_icv(self):
        self.assertIn("the ICV does not verify", self.catch("out", "wrong-icv", "out", "20"))

    def test_wrong_packet_inside(self):
        self.assertIn(self.differs, self.catch("out", "wrong-inner", "out", "20"))

    def test_packet_that_was_opened_wrongly(self):
        self.assertIn(self.opened_wrongly, self.catch("in", "wrong-inner", "in", "20"))


class ShadowVerificationOfPacketOffload(ShadowVerification):
    """The same with the whole of ESP on the device, by the operator's command."""

    device = {"offload": "crypto", "verify": 1}
    left = "blocked"
    mode = "packet"
    differs = "the packet inside is not the one handed over"
    opened_wrongly = "the inner packet differs"

    def setUp(self):
        super().setUp()
        for spi in (SPI_W, SPI_E):
            self.cygnet(self.west, "placement", "set", "spi", f"{spi:#x}", "mode", "packet")
            self.addCleanup(self.cygnet, self.west, "placement", "unset", "spi", f"{spi:#x}", check=False)


if __name__ == "__main__":
    suite.main()
