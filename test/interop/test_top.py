#!/usr/bin/python3
"""cygnet top in a real terminal (tmux), with traffic, a fault, and a daemon that goes and comes back: what it shows
agrees with `cygnet -j`. CYGNET_SCREENS=FOLDER keeps screens with their colours.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time

import suite
from screenkit import Screen
from wirehost import INNER_PEER, SPI_IN, SPI_OUT, WireHost


class Top(WireHost, suite.Case):
    offload = True

    def top(self, *words, columns=80, rows=24, env=None):
        screen = Screen(self.host, [self.host.cygnet.command, "top", *words], columns, rows, env)
        self.addCleanup(screen.close)
        return screen

    def keep(self, screen, name):
        folder = os.environ.get("CYGNET_SCREENS")
        if folder:
            with open(os.path.join(folder, f"{name}.ansi"), "w", encoding="utf-8") as f:
                f.write(screen.text("-e"))

    def traffic(self):
        """Packets out until the test ends, or until it calls what this returns."""
        done = threading.Event()

        def send():
            while not done.is_set():
                self.udp.sendto(b"x" * 400, (INNER_PEER, 9))
                time.sleep(0.002)
        thread = threading.Thread(target=send, daemon=True)
        thread.start()

        def stop():
            done.set()
            thread.join()
        self.addCleanup(stop)
        return stop

    def row(self, screen, spi=SPI_OUT):
        """The line of an SA as words, or None."""
        for line in screen.lines():
            if f"{spi:#010x}" in line and " > " not in line:
                return line.split()
        return None

    def test_what_it_shows_agrees_with_the_command(self):
        stop = self.traffic()
        screen = self.top()
        screen.wait("crypto nic0")
        heads = next(line.split() for line in screen.lines() if "SPI" in line)
        for head in ("DIR", "DST", "SPI", "WHERE", "FOR", "PKT/S", "BIT/S", "DROPS", "LATE", "AGE", "LEFT"):
            self.assertIn(head, heads)

        def packets_per_second():
            row = self.row(screen)
            # WHERE is two words.
            return row and float(row[heads.index("PKT/S") + 1].replace("...", "0"))
        self.wait_for(lambda: (packets_per_second() or 0) > 50, "a rate", 20)
        self.keep(screen, "load-80")
        device = self.host.show("dev")[0]["offload"]
        screen.wait(f'nic0 up {device["slots_used"]}/{device["slots_limit"]} slots')
        stop()
        screen.press("Enter")
        sa = self.sa_report(SPI_OUT)
        screen.wait(f'{sa["usage"]["packets"]} packets, {sa["usage"]["bytes"]} bytes')
        screen.wait("Limits, and when they are reached")
        self.keep(screen, "detail-80")
        screen.press("G")
        screen.wait("Esc back")
        screen.press("Escape")
        screen.wait("SAs 2 by rate")
        screen.press("q")
        self.wait_for(lambda: screen.status() is not None, "the end")
        self.assertEqual(screen.status(), 0)
        self.assertFalse(screen.in_alternate_screen())

    def test_once_agrees_with_the_command(self):
        for _ in range(20):
            self.udp.sendto(b"x" * 100, (INNER_PEER, 9))
        self.wait_for(lambda: self.sa_report(SPI_OUT)["usage"]["packets"] >= 20, "the packets")
        view = json.loads(self.host.ns.run([self.host.cygnet.command, "-j", "top", "--once", "-d", "0.5"]).stdout)
        reports = self.host.show("sa")
        self.assertEqual({row["spi"] for row in view["sas"]}, {sa["spi"] for sa in reports})
        for sa in reports:
            (row,) = [row for row in view["sas"] if row["spi"] == sa["spi"]]
            (half,) = sa["placements"]
            self.assertEqual(row["packets"], sa["usage"]["packets"])
            self.assertEqual(row["place"], f'{half["effective"]} {half["device"]}')
            self.assertEqual((row["reason"], row["since"]), (half["reason"], half["since"]))
        device = self.host.show("dev")[0]
        self.assertEqual(view["devices"][0]["slots_used"], device["offload"]["slots_used"])
        self.assertEqual(len(view["workers"]), self.host.show("stat")["workers"])
        text = self.host.text("top", "--once", "-d", "0.5")
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertIn(f"{SPI_OUT:#010x}", text)
        self.assertNotIn("\x1b", text)
        narrow = self.host.ns.run([self.host.cygnet.command, "top", "--once", "-d", "0.5", "spi", hex(SPI_IN)],
                                  env={**os.environ, "COLUMNS": "40"}).stdout
        self.assertLessEqual(max(map(len, narrow.splitlines())), 40)
        self.assertNotIn(f"{SPI_OUT:#010x}", narrow)

    def test_a_fault_and_its_end(self):
        stop = self.traffic()
        screen = self.top(columns=100)
        screen.wait("crypto nic0")
        self.host.text("sim", "dev", "nic0", "remove")
        screen.wait("nic0 removed")
        screen.wait("software ")
        self.keep(screen, "fault-100")
        screen.press("Tab")
        screen.wait("nic0: its offload unit is removed")
        self.host.text("sim", "dev", "nic0", "insert")
        screen.wait("nic0 up")
        screen.press("BTab")
        screen.wait("crypto nic0")
        screen.press("Tab", "Tab")
        screen.wait("BUSY")
        screen.press("Tab")
        screen.wait("DROPPED FOR")
        stop()

    def test_keys_and_sizes(self):
        screen = self.top()
        screen.wait(f"{SPI_OUT:#010x}")
        screen.press("/")
        screen.press("-l", f"{SPI_IN:#x}")
        screen.press("Enter")
        screen.wait(f'with "{SPI_IN:#x}"')
        self.wait_for(lambda: self.row(screen) is None and self.row(screen, SPI_IN), "the filter")
        screen.press("Escape")
        self.wait_for(lambda: self.row(screen), "the end of the filter")
        screen.press("s", "r")
        screen.wait("by packets, reversed")
        screen.press("p")
        screen.wait("PAUSED")
        screen.press("p", "d")
        screen.press("-l", "0.1")
        screen.press("Enter")
        screen.wait("the delay must be")
        screen.press("?")
        screen.wait("up, down, j, k")
        screen.press("Escape")
        for columns, rows in ((40, 20), (20, 5), (3, 1), (200, 50), (20, 5)):
            screen.resize(columns, rows)
            self.wait_for(lambda size=(columns, rows): len(screen.lines()) <= size[1], "the new size")
        screen.wait("cygnetd up")
        self.wait_for(lambda: self.row(screen) or self.row(screen, SPI_IN), "an SA on a tiny screen")
        os.kill(screen.pid(), signal.SIGTERM)
        self.wait_for(lambda: screen.status() is not None, "the end")
        self.assertEqual(screen.status(), 0)
        self.assertFalse(screen.in_alternate_screen())

    def test_without_colours(self):
        colours = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
        screen = self.top()
        screen.wait("nic0 up")
        self.assertRegex(screen.text("-e"), colours)
        plain = self.top(env={"NO_COLOR": "1"})
        plain.wait("nic0 up")
        self.assertNotRegex(plain.text("-e"), colours)

    def test_where_there_is_no_terminal(self):
        argv = [self.host.cygnet.command, "top"]
        done = self.host.ns.run(argv, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not a terminal", done.stderr)
        self.assertIn("--once", done.stderr)
        done = self.host.ns.run([argv[0], "-j", "top"], check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--once", done.stderr)
        for name, why in (("dumb", "cannot move its cursor"), ("nonesuch", "is unknown here")):
            screen = Screen(self.host, ["env", f"TERM={name}", *argv], columns=160)
            self.addCleanup(screen.close)
            screen.wait(why)
            self.wait_for(lambda it=screen: it.status() == 1, "the exit status")
        # Nobody reads it.
        with subprocess.Popen([*self.host.ns.enter(), *argv, "--once", "-d", "0.5"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as proc:
            proc.stdout.close()
            self.assertEqual(proc.stderr.read(), b"")


class Daemon(WireHost, suite.Case):
    """Its daemon ends and comes back."""

    offload = True

    def test_it_goes_on(self):
        screen = Screen(self.host, [self.host.cygnet.command, "top"])
        self.addCleanup(screen.close)
        screen.wait("crypto nic0")
        suite.xfrm_batch(self.host, ["state flush", "policy flush"])
        screen.wait("no SA exists")
        if os.environ.get("CYGNET_SCREENS"):
            with open(os.path.join(os.environ["CYGNET_SCREENS"], "empty-80.ansi"), "w", encoding="utf-8") as f:
                f.write(screen.text("-e"))
        self.host.stop()
        screen.wait("NO DATA: ")
        screen.wait("no cygnetd in this network namespace")
        screen.press("?")
        screen.wait("up, down, j, k")  # keys are answered
        screen.press("Escape")
        self.host.start([self.device_keys])
        screen.wait("cygnetd up")
        screen.wait("no SA exists")
        screen.press("q")
        self.wait_for(lambda: screen.status() == 0, "the end")


if __name__ == "__main__":
    suite.main()
