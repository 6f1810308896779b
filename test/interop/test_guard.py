#!/usr/bin/python3
"""A device that falsely claims to have sealed: none of its packets leave, and its SAs move away."""

import os
import time

import labkit
import suite
from flow import MARK, Pair, SPI_W
from scapy.utils import PcapReader


class LyingDevice(Pair):
    def lie(self, fault):
        before = suite.counters(self.west)
        self.addCleanup(self.make_honest)  # also after a failed test
        watch, flows = self.traffic()
        time.sleep(0.3)
        self.cygnet(self.west, "sim", "dev", "nic0", fault, "50")
        self.wait_for(lambda: self.where(self.west, SPI_W) == ("software", "device-failed"),
                      "the device to be left", 3)
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

    def make_honest(self):
        self.cygnet(self.west, "sim", "dev", "nic0", "clear")
        self.cygnet(self.west, "offload", "enable", "dev", "nic0")

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


if __name__ == "__main__":
    suite.main()
