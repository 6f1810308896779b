#!/usr/bin/python3
"""Inside interfaces while cygnetd ends, is killed and starts again, with traffic from the lan: nothing
is in clear on the wire, and the fast way is taken again. A reload names what it does not apply.
"""

import os
import re
import signal
import socket
import subprocess
import time

import suite
from insidekit import FAR, MARK, WIRE, InsideByPolicy

CONFIG = """[daemon]
restart_file = "{workdir}/{name}.restart"
[[device]]
name = "nic0"
wire = "wire0"
persist = true
{inside}
"""


class InsideRestart(InsideByPolicy):

    @classmethod
    def make_host(cls, name="host"):
        host = super().make_host(name)
        host.options = ["--supervise"]
        return host

    @classmethod
    def write(cls, host, inside):
        text = CONFIG.format(workdir=cls.workdir, name=host.name, inside=inside)
        path = os.path.join(cls.workdir, f"{host.name}.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return text

    @classmethod
    def start_daemons(cls):
        cls.gw.start(config=cls.write(cls.gw, 'inside = ["lan0"]'))
        cls.peer.start(config=cls.write(cls.peer, ""))

    def programs(self):
        return self.gw.ns.ip("-d link show lan0").stdout.count("prog/xdp")

    def under_traffic(self, sig):
        """Restarts with 500 packets a second, and returns how many were lost, and for how long."""
        self.learn()
        wire = os.path.join(self.workdir, f"{sig.name}.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire, "not esp")
        flood = self.lan.popen(["ping", "-i0.002", "-c1500", "-p", MARK[:8].hex(), f"{FAR}.2"],
                               stdout=subprocess.PIPE, text=True)
        time.sleep(0.5 * suite.SLOWNESS)
        began = time.monotonic()
        self.gw.restart(sig)
        gap = time.monotonic() - began
        received = int(re.search(r"(\d+) received", flood.communicate(timeout=60)[0]).group(1))
        self.learn()
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertFalse(MARK[:8] in frames, "plaintext on the wire")
        self.assertEqual(self.programs(), 1)
        print(f"    {sig.name}: lost {1500 - received}, restart took {gap * 1000:.0f} ms", flush=True)
        return 1500 - received, gap

    def test_an_orderly_restart(self):
        lost, gap = self.under_traffic(signal.SIGUSR1)
        self.assertLess(lost, 500 * gap + 50, "only what the sockets of the old process held is lost")

    def test_a_killed_daemon(self):
        lost, gap = self.under_traffic(signal.SIGKILL)
        self.assertLess(lost, 500 * gap + 200)

    def test_without_a_daemon_the_host_gets_every_packet(self):
        """And has no way past the fence."""
        self.learn()
        wire = os.path.join(self.workdir, "none.pcap")
        capture = suite.start_capture(self.gw.ns, "wire0", wire)
        os.kill(self.gw.daemon.pid, signal.SIGSTOP)  # the supervisor starts no other
        os.kill(self.gw.child(), signal.SIGKILL)
        self.wait_for(lambda: self.programs() == 0, "the program to be gone")
        self.forwarded()
        answer = self.ping(f"{FAR}.2", "-p", MARK[:8].hex(), check=False, count=5)
        self.assertIn("100% packet loss", answer.stdout)
        self.assertGreaterEqual(self.forwarded(), 5)
        os.kill(self.gw.daemon.pid, signal.SIGCONT)
        self.gw.wait_ready()
        self.learn()
        self.gw.ns.run(["ping", "-c1", WIRE["peer"]])
        frames = suite.end_capture(capture, wire, socket.inet_aton(WIRE["peer"]))
        self.assertFalse(MARK[:8] in frames, "plaintext on the wire")

    def test_a_reload_names_what_needs_a_restart(self):
        self.learn()
        self.write(self.gw, 'inside = ["lan0", "lan1"]')
        self.addCleanup(self.write, self.gw, 'inside = ["lan0"]')
        text = self.gw.ns.run([self.gw.cygnet.command, "reload"]).stdout
        self.assertIn("needs a restart of cygnetd: device nic0.inside\n", text)
        self.assertEqual([i["name"] for i in self.gw.show("dev")[0]["inside"]], ["lan0"])
        self.learn()
        self.write(self.gw, 'inside = ["wire0.7"]')
        refused = self.gw.ns.run([self.gw.cygnet.command, "reload"], check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("wire0 belongs to device nic0", refused.stderr)
        self.learn()


if __name__ == "__main__":
    suite.main()
