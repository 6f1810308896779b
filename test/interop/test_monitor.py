#!/usr/bin/python3
"""cygnet monitor: what happens is told as it happens, to many watchers, one of whom never reads; across a restart."""

import json
import os
import queue
import signal
import subprocess
import threading
import time

import labkit
import suite
from wirehost import HOST, INNER_PEER, PEER, SPI_OUT, WireHost


class Watcher:
    """`cygnet -j monitor WORDS`, read line by line."""

    def __init__(self, host, *words, options=("-j",)):
        self.proc = host.ns.popen([host.cygnet.command, *options, "monitor", *words], stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        # It watches as soon as the daemon has answered: an order of ours tells.
        labkit.wait_for(lambda: self._hears(host), 10, "the monitor")

    def _read(self):
        for line in self.proc.stdout:
            self.lines.put(line)

    def _hears(self, host):
        host.ns.run([host.cygnet.command, "placement", "unset", "spi", "0xffffff"], check=False)  # nothing is set
        time.sleep(0.05)
        return not self.lines.empty()

    def wait(self, timeout=10, **fields):
        """The next event with these fields."""
        seen = []
        deadline = time.monotonic() + timeout * suite.SLOWNESS
        while time.monotonic() < deadline:
            try:
                event = json.loads(self.lines.get(timeout=0.2))
            except queue.Empty:
                continue
            labkit.schemakit.check(("monitor",), event)
            seen.append(event)
            if all(event.get(k) == v for k, v in fields.items()):
                return event
        raise AssertionError(f"no {fields} among {seen}")

    def close(self):
        labkit.end(self.proc)
        self.reader.join()
        self.proc.stdout.close()


class Monitor(WireHost, suite.Case):
    offload = True

    def watch(self, *words, **kwargs):
        watcher = Watcher(self.host, *words, **kwargs)
        self.addCleanup(watcher.close)
        return watcher

    def order(self, *words):
        self.host.text(*words)

    def test_orders_moves_keys_and_devices(self):
        watcher = self.watch()
        self.addCleanup(self.order, "offload", "enable", "dev", "nic0")
        spi = f"{SPI_OUT:#010x}"
        self.order("offload", "disable", "dev", "nic0")
        event = watcher.wait(event="order", command='{"command":"offload","action":"disable","device":"nic0"}')
        self.assertEqual(event["peer_uid"], str(os.getuid()))
        self.assertLess(abs(event["time_ms"] / 1000 - time.time()), 5)
        moved = watcher.wait(event="placement", spi=spi, direction="out")
        self.assertEqual((moved["effective"], moved["reason"]), ("software", "operator-disabled"))
        gone = watcher.wait(event="key", spi=spi, holder="nic0", erased=True)
        self.assertNotEqual(gone["until_ms"], 0)
        self.order("offload", "enable", "dev", "nic0")
        watcher.wait(event="placement", spi=spi, effective="crypto")
        self.order("sim", "dev", "nic0", "remove")
        watcher.wait(event="device", device="nic0", state="removed", warning=True)
        self.order("sim", "dev", "nic0", "insert")
        watcher.wait(event="device", device="nic0", state="up")
        suite.xfrm_batch(self.host, ["state flush", "policy add dst 203.0.113.9 dir out action block"])
        watcher.wait(event="sa", action="flushed")
        self.assertIn("203.0.113.9", watcher.wait(event="policy")["request"])
        self.install()
        added = watcher.wait(event="sa", action="added", spi=spi)
        self.assertEqual((added["mode"], added["reqid"]), ("tunnel", 1))
        self.assertNotIn((self.out.key + self.out.salt).hex(), json.dumps(added))

    def test_the_guard(self):
        watcher = self.watch("guard", "order")
        self.addCleanup(self.order, "offload", "enable", "dev", "nic0")
        self.order("sim", "dev", "nic0", "skip-seal", "3")
        for _ in range(5):
            self.udp.sendto(b"x" * 100, (INNER_PEER, 9))
        hit = watcher.wait(event="guard", device="nic0")
        self.assertTrue(hit["warning"])
        self.assertGreaterEqual(int(hit["packets"]), 1)

    def test_only_what_is_asked_for(self):
        watcher = self.watch("order")
        self.order("offload", "disable", "dev", "nic0")
        self.order("offload", "enable", "dev", "nic0")
        watcher.wait(command='{"command":"offload","action":"enable","device":"nic0"}')
        done = self.host.ns.run([self.host.cygnet.command, "monitor", "nonsense"], check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("placement", done.stderr)

    def test_lines_for_people(self):
        watcher = self.watch("order", options=())
        line = watcher.lines.get(timeout=10)
        self.assertRegex(line, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} order      operator \(uid \d+, pid \d+\): ")

    def test_one_who_never_reads(self):
        slow, other = self.watch(), self.watch("order")
        os.kill(slow.proc.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, slow.proc.pid, signal.SIGCONT)
        suite.xfrm_batch(self.host, [
            f"state add src {HOST} dst {PEER} proto esp spi {spi:#x} reqid 9 mode tunnel "
            f"aead rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128" for spi in range(0x10000, 0x10000 + 1500)])
        self.assertEqual(len(self.host.show("sa")), 1502)
        self.order("placement", "set", "spi", "0x77", "mode", "no")
        self.order("placement", "unset", "spi", "0x77")
        other.wait(event="order", command='{"command":"placement","action":"unset","spi":119}')
        os.kill(slow.proc.pid, signal.SIGCONT)
        lost = slow.wait(event="lost")
        self.assertGreater(lost["count"], 0)
        self.order("placement", "set", "spi", "0x78", "mode", "no")
        self.order("placement", "unset", "spi", "0x78")
        slow.wait(event="order", command='{"command":"placement","action":"unset","spi":120}')

    def test_its_reader_goes(self):
        with subprocess.Popen([*self.host.ns.enter(), self.host.cygnet.command, "monitor"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as proc:
            time.sleep(0.5)
            proc.stdout.close()
            self.assertEqual(proc.wait(5), 0)
            self.assertEqual(proc.stderr.read(), b"")


class Daemon(WireHost, suite.Case):
    def test_it_outlives_the_daemon(self):
        watcher = Watcher(self.host)
        self.addCleanup(watcher.close)
        self.host.stop()
        self.assertIn("cygnetd is gone", watcher.wait(event="daemon", state="gone")["text"])
        self.host.start([self.device_keys])
        watcher.wait(event="daemon", state="back")
        self.install()
        watcher.wait(event="sa", action="added")


if __name__ == "__main__":
    suite.main()
