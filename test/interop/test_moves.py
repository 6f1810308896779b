#!/usr/bin/python3
"""SAs that move under load: between NIC, look-aside engine and CPU; off a device by the operator's
command or by a fault of the device, and back. Nothing is lost, doubled or in clear; no number is used twice."""

import os
import pathlib
import shutil
import signal
import tempfile
import time
import unittest

import suite
from flow import EAST, Pair, SPI_E, SPI_W, WEST

MOVES = 1000 if suite.SLOWNESS == 1 else 200  # sanitizers: the speed does not count


class Moves(Pair):
    """Moves between NIC, look-aside and CPU as fast as the operator's command runs."""

    config = '[look_aside]\nengine = "thread_offload"\nmode = "auto"'

    def test_a_thousand_moves_between_three_places(self):
        seen = set()
        watch, flows = self.traffic()
        begin = time.monotonic()
        moved = 0
        steps = (("placement", "set", "reqid", "1", "mode", "no"),                # look-aside
                 ("offload", "disable", "dev", "thread_offload"),               # CPU
                 ("placement", "set", "reqid", "1", "mode", "crypto", "dev", "nic0"),  # NIC
                 ("offload", "enable", "dev", "thread_offload"))                # nothing moves
        while moved < MOVES:
            for step in steps:
                moved += self.west.show(*step)["moved"]
                if moved < 20:
                    seen.add(self.where(self.west, SPI_W)[0])
        took = time.monotonic() - begin
        print(f"\n    {moved} moves of halves of SAs in {took:.1f} s", flush=True)
        self.judge(watch, flows)
        self.assertEqual(seen, {"look-aside", "software", "crypto"})
        nic = self.west.show("dev")[0]["offload"]
        engines = {e["name"]: e["jobs"] for e in self.west.show("engine")}
        self.assertGreater(nic["sealed"], 0)
        self.assertGreater(nic["opened"], 0)
        self.assertGreater(engines["thread_offload"], 0)
        self.assertEqual(nic["dropped_stale"], 0)


class OwnProcess(Pair):
    """A driver in a process of its own, which is killed under load: the SAs leave, and come back with it."""

    @classmethod
    def setUpClass(cls):
        library = os.path.join(os.environ["CYGNET_BUILD"], "src/plugin/isolation/libisolated_soft_driver.so")
        if not os.path.exists(library):
            raise unittest.SkipTest("the driver is not built")
        # Where the process's user can read it, and only root can change it.
        folder = tempfile.mkdtemp(prefix="cygnet-isolated.", dir="/var/lib")
        cls.addClassCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        cls.device = {"offload": "crypto", "driver": "plugin", "plugin": shutil.copy(library, folder), "isolate": True}
        super().setUpClass()

    def child(self):
        for task in pathlib.Path(f"/proc/{self.west.daemon.pid}/task").glob("*/children"):
            for pid in task.read_text().split():
                return int(pid)
        return None

    def test_killed_twice(self):
        watch, flows = self.traffic()
        for again in range(2):
            self.assertEqual(self.where(self.west, SPI_W)[0], "crypto")
            os.kill(self.child(), signal.SIGKILL)
            self.wait_for(lambda: self.where(self.west, SPI_W) == ("software", "device-failed"), "the SA to leave", 2)
            device = self.west.show("dev")[0]
            self.assertIn("killed by signal 9", device["failure"])
            self.assertEqual((device["held"], device["held_known_by"]), ([], "ledger"))
            keys = [k for k in self.west.show("ledger") if k["kind"] == "key" and k["holder"] == "nic0"]
            self.assertGreaterEqual(len(keys), 2 * (again + 1))
            self.assertTrue(all(k["erased"] and "process ended" in k["note"] for k in keys), keys)
            self.wait_for(lambda: self.where(self.west, SPI_W)[0] == "crypto", "the SA to come back", 10)
            self.assertEqual(self.west.show("dev")[0]["failure"], "")
        # While there is no process, nobody carries the frames.
        self.judge(watch, flows, lossless=False)


class BreakGlass(Pair):
    def test_disable_and_enable(self):
        watch, flows = self.traffic()
        for _ in range(10):
            begin = time.monotonic()
            self.cygnet(self.west, "offload", "disable", "dev", "nic0")
            self.assertEqual(self.where(self.west, SPI_W), ("software", "operator-disabled"))
            self.assertEqual(self.where(self.west, SPI_E), ("software", "operator-disabled"))
            self.assertLess(time.monotonic() - begin, 1 * suite.SLOWNESS)
            self.wait_for(lambda: not self.west.show("dev")[0]["held"], "the keys to be erased")
            self.cygnet(self.west, "offload", "enable", "dev", "nic0")
            self.assertEqual(self.where(self.west, SPI_W), ("crypto", "returned"))
        self.judge(watch, flows)
        history = self.west.show("sa", "spi", hex(SPI_W))[0]["placements"][0]["history"]
        self.assertGreaterEqual(len(history), 15)

    def test_the_devices_own_fate(self):
        watch, flows = self.traffic()
        for fault, back, reason in (("reset 100", None, "device-reset"),
                                    ("down", "up", "device-down"),
                                    ("crash", "reset 50", "device-failed")):
            for _ in range(3):
                self.cygnet(self.west, "sim", "dev", "nic0", *fault.split())
                self.wait_for(lambda: self.where(self.west, SPI_W) == ("software", reason)
                              or self.where(self.west, SPI_W)[0] == "crypto" and back is None,
                              f"the SA to leave ({fault})", 1)
                if back:
                    self.cygnet(self.west, "sim", "dev", "nic0", *back.split())
                self.wait_for(lambda: self.where(self.west, SPI_W)[0] == "crypto",
                              f"the SA to come back after {fault}", 3)
        figures = self.judge(watch, flows)
        self.assertGreater(figures["sent"], 1000 / suite.SLOWNESS)

    def test_link_down_and_removal_keep_the_sas(self):
        watch, flows = self.traffic()
        for fault, back, reason in (("link-down", "link-up", "link-down"),
                                    ("remove", "insert", "device-removed")):
            self.cygnet(self.west, "sim", "dev", "nic0", fault)
            self.wait_for(lambda: self.where(self.west, SPI_W) == ("software", reason),
                          f"the SA to leave ({fault})", 1)
            self.cygnet(self.west, "sim", "dev", "nic0", back)
            self.wait_for(lambda: self.where(self.west, SPI_W)[0] == "crypto", "its return", 3)
        # Only packets sent while the link is down are lost.
        self.judge(watch, flows, lossless=False)
        watch, flows = self.traffic()
        time.sleep(1)
        self.judge(watch, flows)


class Storm(Pair):
    """A seeded script of faults on both devices, harder than any card's life."""

    rate = 2500

    @classmethod
    def setUpClass(cls):
        suite.Case.setUpClass.__func__(cls)
        script = os.path.join(cls.workdir, "storm.toml")
        with open(script, "w", encoding="utf-8") as f:
            f.write('''until = "12s"
[[fault]]
every = ["50ms", "300ms"]
do = ["reset 20", "fail-seal 20", "table-full 5", "add-fail EOPNOTSUPP 3", "crash"]
[[fault]]
every = ["400ms", "600ms"]
do = "reset 10"
''')
        cls.device = {"offload": "crypto", "fault_script": script, "fault_seed": 7}
        super().setUpClass()

    def test_nothing_is_lost(self):
        watch, flows = self.traffic()
        time.sleep(6)
        self.judge(watch, flows)
        for host in (self.west, self.east):
            device = host.show("dev")[0]["offload"]
            print(f"    {host.name}: resets {device['resets']}, handed back {device['returned']}, "
                  f"sealed {device['sealed']}, opened {device['opened']}", flush=True)
            self.assertGreater(device["resets"], 3)
            self.assertGreater(device["returned"], 0)
            self.assertGreater(device["sealed"], 0)
            self.assertGreater(device["opened"], 0)


class ThousandSas(Pair):
    device = {"offload": "crypto", "sa_limit": 2048, "address_limit": 0}

    def test_a_thousand_sas_off_and_back(self):
        suite.xfrm_batch(self.west, [
            f"state add src {WEST if i % 2 else EAST} dst {EAST if i % 2 else WEST} proto esp "
            f"spi {0x10000 + i:#x} reqid {100 + i} mode tunnel replay-window 64 "
            f"aead rfc4106(gcm(aes)) 0x{'42' * 20} 128 offload dev nic0 dir {'out' if i % 2 else 'in'}"
            for i in range(998)])
        self.assertEqual(self.west.show("dev")[0]["offload"]["slots_used"], 1000)
        watch, flows = self.traffic()
        time.sleep(0.5)
        times = []
        for _ in range(5):
            for action in ("disable", "enable"):
                begin = time.monotonic()
                report = self.west.show("offload", action, "dev", "nic0")
                times.append((action, report["moved"], report["took_us"],
                              (time.monotonic() - begin) * 1e6))
                self.assertLess(report["took_us"], 1_000_000 * suite.SLOWNESS)
                self.assertEqual(report["moved"], 1000)
                used = 0 if action == "disable" else 1000
                self.wait_for(lambda: self.west.show("dev")[0]["offload"]["slots_used"] == used,
                              f"{used} slots to be in use")
        for action, moved, took, command in times:
            print(f"\n    {action}: {moved} in {took / 1000:.1f} ms; the command {command / 1000:.0f} ms",
                  end="")
        print(flush=True)
        self.judge(watch, flows)


class AsTheKernel(Pair):
    device = {"offload": "crypto", "loss": "kernel"}

    def test_sas_go_with_the_link_and_nobody_is_notified(self):
        monitor = self.west.ns.popen([self.west.cygnet.command, "exec", "--", "ip", "xfrm", "monitor", "SA",
                                      "expire"],
                                     stdout=-1, text=True)
        time.sleep(0.3 * suite.SLOWNESS)
        self.cygnet(self.west, "sim", "dev", "nic0", "link-down")
        self.wait_for(lambda: self.west.show("sa") == [], "the SAs to go")
        time.sleep(0.2)
        monitor.terminate()
        self.assertEqual(monitor.stdout.read(), "")
        monitor.stdout.close()
        self.cygnet(self.west, "sim", "dev", "nic0", "link-up")


class AsKept(Pair):
    def test_listeners_are_notified_that_the_offload_is_gone_and_back(self):
        monitor = self.west.ns.popen([self.west.cygnet.command, "exec", "--", "ip", "xfrm", "monitor", "SA",
                                      "expire"],
                                     stdout=-1, text=True)
        time.sleep(0.3 * suite.SLOWNESS)
        self.cygnet(self.west, "offload", "disable", "dev", "nic0")
        self.cygnet(self.west, "offload", "enable", "dev", "nic0")
        time.sleep(0.3 * suite.SLOWNESS)
        monitor.terminate()
        told = monitor.stdout.read()
        monitor.stdout.close()
        self.assertEqual(told.count("Updated src"), 4, told)  # two SAs, off and back
        self.assertEqual(told.count("crypto offload parameters"), 2, told)


if __name__ == "__main__":
    suite.main()
