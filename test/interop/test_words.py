#!/usr/bin/python3
"""The words of the command: options wherever they stand, brief lists of 500 SAs, sums, --watch on a terminal and
in a pipe, orders in force, and completion in a real bash."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import labkit
import suite

SAS = 500
KEY = f"0x{'42' * 20}"
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../etc/completion/cygnet.bash")


class Words(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.host.ns.ip("link add wire0 type veth peer name far0")
        cls.host.ns.ip("link set wire0 up")
        cls.host.ns.ip("link set far0 up")
        cls.host.start(devices=[{"offload": "crypto", "sa_limit": 40, "rekey_reserve": 0}])
        lines = []
        for i in range(SAS):
            ends = (f"src 192.168.100.{i % 250 + 1} dst 192.168.200.200" if i % 2 else
                    f"src 192.168.200.200 dst 192.168.100.{i % 250 + 1}")
            lines.append(f"state add {ends} proto esp spi {0x10000000 + i:#x} reqid {i} mode tunnel "
                         f"aead rfc4106(gcm(aes)) {KEY} 128 offload dev nic0 dir {'in' if i % 2 else 'out'}")
        suite.xfrm_batch(cls.host, lines)

    def cygnet(self, *words, status=0, **options):
        done = self.host.ns.run([self.host.cygnet.command, *words], check=False, **options)
        self.assertEqual(done.returncode, status, f"{words}: {done.stderr}")
        return done

    # --- Options ---

    def test_options_may_stand_behind(self):
        for words in (("-j", "sa"), ("sa", "-j"), ("sa", "list", "--json"), ("sa", "-p", "-j")):
            self.assertEqual(len(json.loads(self.cygnet(*words).stdout)), SAS, words)
        self.assertEqual(json.loads(self.cygnet("dev", "nic0", "-j").stdout)[0]["name"], "nic0")
        self.assertIn("own key log", self.cygnet("dev", "nic0", "-s").stdout)
        self.assertIn("cygnet sa [list]", self.cygnet("sa", "-h").stdout)
        pretty = self.cygnet("sa", "spi", "0x10000000", "-j", "-p").stdout
        self.assertIn('\n        "spi": "0x10000000"', pretty)

    def test_wrong_words_are_answered_with_right_ones(self):
        self.assertIn('did you mean "spi"?', self.cygnet("sa", "spy", "1", status=1).stderr)
        self.assertIn('did you mean "dev"?', self.cygnet("dve", status=1).stderr)
        self.assertIn("has no use for --brief; it is for sa", self.cygnet("stored", "-br", status=1).stderr)

    def test_exit_statuses(self):
        self.cygnet("sa", "spi", "0x1")  # status 0: an empty answer is an answer
        self.cygnet("dev", "nic9", status=2)
        self.cygnet("placement", "set", "spi", "1", status=1)
        self.cygnet("offload", "explain", "dev", "nic0", "aead", "rfc4106(gcm(aes))", "replay-window",
                    "999999", status=3)

    # --- Lists ---

    def test_brief_is_a_line_for_each_sa(self):
        lines = self.cygnet("sa", "-br").stdout.splitlines()
        self.assertEqual(len(lines), SAS)
        self.assertLessEqual(max(map(len, lines)), 80, max(lines, key=len))
        self.assertTrue(all(re.match(r"0x1000[0-9a-f]{4} (in |out) (crypto nic0|software \S+) +valid +0 192", line)
                            for line in lines), lines[:3])
        self.assertEqual(sum("crypto nic0" in line for line in lines), 2 * 40)
        self.assertEqual(len(self.cygnet("dev", "-br").stdout.splitlines()), 1)
        self.assertEqual(self.cygnet("policy", "-br").stdout, "")

    def test_sums_add_up(self):
        sums = json.loads(self.cygnet("sa", "--sum", "device", "-j").stdout)
        groups = {group["name"]: group["sas"] for group in sums["groups"]}
        self.assertEqual(groups.pop("nic0 crypto"), 2 * 40)
        self.assertEqual(sum(groups.values()), SAS - 2 * 40)
        self.assertEqual(sums["total"]["sas"], SAS)
        peers = json.loads(self.cygnet("sa", "--sum", "peer", "-j").stdout)["groups"]
        self.assertEqual(sum(peer["sas"] for peer in peers), SAS)
        self.assertTrue(all(peer["name"].startswith("192.168.100.") for peer in peers))
        reasons = self.cygnet("sa", "--sum", "reason").stdout
        self.assertRegex(reasons, r"table-full +420 ")
        self.assertRegex(reasons, r"total +500 ")

    def test_colours_are_for_terminals(self):
        self.assertNotIn("\033[", self.cygnet("sa", "-br").stdout)
        self.assertIn("\033[32mcrypto nic0\033[0m", self.cygnet("sa", "-br", "-c").stdout)
        self.assertIn("\033[32m", self.on_terminal("sa", "-br", "spi", "0x10000000"))
        self.assertNotIn("\033[", self.on_terminal("sa", "-br", "spi", "0x10000000", NO_COLOR="1"))
        self.assertNotIn("\033[", self.on_terminal("sa", "-br", "spi", "0x10000000", TERM="dumb"))

    # --- Orders ---

    def test_orders_in_force(self):
        self.assertIn("no order", self.cygnet("offload", "list").stderr)
        self.cygnet("offload", "disable", "nic0")
        self.cygnet("placement", "set", "spi", "0x10000001", "mode", "no", "pin")
        orders = json.loads(self.cygnet("offload", "-j").stdout)
        self.assertEqual([(order["kind"], order["uid"]) for order in orders],
                         [("device", 0), ("placement", 0)])
        self.assertLess(abs(orders[0]["since"] - time.time()), 60)
        text = self.cygnet("offload", "list").stdout
        self.assertIn('until "cygnet offload enable dev nic0" or the end of cygnetd', text)
        self.assertIn("placement spi 0x10000001: mode no pin", text)
        # What ends an order is what it says.
        for command in re.findall(r'until "cygnet ([^"]*)"', text):
            self.cygnet(*command.split())
        self.assertEqual(json.loads(self.cygnet("offload", "-j").stdout), [])

    # --- --watch ---

    def popen(self, *words, **options):
        proc = self.host.ns.popen([self.host.cygnet.command, *words], **options)
        self.addCleanup(labkit.end, proc, signal.SIGKILL)
        return proc

    def test_watch_in_a_pipe(self):
        proc = self.popen("sa", "spi", "0x10000000", "-br", "--watch", "0.1", stdout=subprocess.PIPE, text=True)
        lines = [proc.stdout.readline() for _ in range(6)]
        self.assertTrue(all(line.startswith("--- 20") for line in lines[::2]), lines)
        self.assertTrue(all(line.startswith("0x10000000 out") for line in lines[1::2]), lines)
        proc.send_signal(signal.SIGINT)
        self.assertEqual(proc.wait(5), 0)
        proc.stdout.close()

    def test_watch_json_is_a_document_a_line(self):
        proc = self.popen("-j", "sa", "--watch=0.1", stdout=subprocess.PIPE, text=True)
        for _ in range(2):
            self.assertEqual(len(json.loads(proc.stdout.readline())), SAS)
        proc.stdout.close()
        self.assertLess(proc.wait(5), 0, "it ends with its reader")

    def test_watch_on_a_terminal_clears_it(self):
        text = self.on_terminal("sa", "-br", "--watch", "0.1", seconds=1)
        screens = text.split("\033[H\033[2J")
        self.assertGreater(len(screens), 2)
        self.assertRegex(screens[1], r"^Every 0.1 s: cygnet sa -br --watch 0.1  20")
        self.assertLessEqual(screens[1].count("\n"), 24)

    def on_terminal(self, *words, seconds=0, **environment):
        """What the command writes to a terminal of 80 columns and 24 lines."""
        ours, theirs = pty.openpty()
        subprocess.run(["stty", "rows", "24", "cols", "80"], stdin=theirs, check=True)
        proc = self.popen(*words, stdin=theirs, stdout=theirs, stderr=theirs,
                          env={**os.environ, "TERM": "xterm", **environment})
        os.close(theirs)
        text, end = b"", time.monotonic() + seconds
        while proc.poll() is None or select.select([ours], [], [], 0)[0]:
            if seconds and time.monotonic() > end and proc.poll() is None:
                proc.send_signal(signal.SIGINT)
                self.assertEqual(proc.wait(5), 0)
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                text += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        os.close(ours)
        return text.decode().replace("\r\n", "\n")

    # --- Completion ---

    def complete(self, line):
        """What bash offers for the line."""
        script = (f"source {SCRIPT}\nCOMP_LINE=$1 COMP_POINT=${{#1}} COMP_WORDS=($1) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
                  "_cygnet\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n")
        command = os.path.dirname(self.host.cygnet.command)
        done = self.host.ns.run(["bash", "--norc", "-c", script, "bash", line], check=False,
                                env={**os.environ, "PATH": f"{command}:{os.environ['PATH']}"})
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_completion(self):
        self.assertEqual(self.complete("cygnet pla"), ["placement"])
        self.assertEqual(self.complete("cygnet dev n"), ["nic0"])
        self.assertEqual(self.complete("cygnet capture dev "), ["nic0"])
        self.assertEqual(self.complete("cygnet sa spi 0x1000000"), [f"0x1000000{i:x}" for i in (*range(15, -1, -1),)])
        self.assertEqual(self.complete("cygnet sa --sum=re"), ["reason"])
        self.assertEqual(self.complete("cygnet offload enable dev ope"), ["openssl"])
        self.assertIn(r"rfc4106\(gcm\(aes\)\)", self.complete("cygnet offload explain dev nic0 aead rfc4106"))
        self.assertIn("ls", self.complete("cygnet exec -- l"))
        self.assertEqual(self.complete("cygnet sa spy 1 "), [])


class Away(suite.Case):
    """A daemon that ends, hangs and comes back."""

    def setUp(self):
        self.host = self.make_host(self._testMethodName[5:11])
        self.host.ns.ip("link add wire0 type veth peer name far0")
        self.host.start()

    def test_watch_goes_on_without_the_daemon(self):
        proc = self.host.ns.popen([self.host.cygnet.command, "dev", "-br", "--watch", "0.1"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(labkit.end, proc, signal.SIGKILL)
        self.assertTrue(proc.stdout.readline().startswith("--- "))
        self.host.stop()
        self.assertIn("; still watching", proc.stderr.readline())
        self.host.start()
        line = proc.stderr.readline()
        while "still watching" in line:  # another cause, on the way back
            line = proc.stderr.readline()
        self.assertIn("cygnetd answers again", line)
        proc.send_signal(signal.SIGTERM)
        self.assertEqual(proc.wait(5), 0)
        proc.stdout.close()
        proc.stderr.close()

    def test_completion_does_not_wait_for_a_daemon_that_hangs(self):
        self.host.daemon.send_signal(signal.SIGSTOP)
        self.addCleanup(self.host.daemon.send_signal, signal.SIGCONT)
        start = time.monotonic()
        done = self.host.ns.run([self.host.cygnet.command, "complete", "--", "dev", ""], check=False)
        self.assertLess(time.monotonic() - start, 2 * suite.SLOWNESS)
        self.assertEqual((done.returncode, done.stdout.split()), (0, ["list", "dev"]))


if __name__ == "__main__":
    suite.main()
