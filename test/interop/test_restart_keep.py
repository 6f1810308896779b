#!/usr/bin/python3
"""Restarts under `cygnetd --supervise` that tunnels survive: the queues of host and wire keep packets.
No number is used twice, nothing is accepted twice, and nothing leaves in clear.
"""

import os
import signal
import socket
import statistics
import time

import labkit
import suite
from flow import EAST, IN_EAST, IN_WEST, Pair, SPI_E, SPI_W, WEST, Watch
from rawwire import FrameSocket, fence_mark

# `long`: more restarts, for the figures of the documentation.
RUNS = int(os.environ.get("CYGNET_RESTARTS", "1"))
MORE_SAS = int(os.environ.get("CYGNET_RESTART_SAS", "0"))


class Nonces(Watch):
    """Keeps the IVs of west's ESP packets, whatever their SPI."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.ivs = []

    def take(self, frame):
        super().take(frame)
        if frame[23] == 50 and frame[26:30] == socket.inet_aton(WEST):
            self.ivs.append(frame[42:50])


class Recorder(Watch):
    """Keeps the ESP frames of one SPI that it sees."""

    def __init__(self, namespace, spi):
        super().__init__(namespace)
        self.spi = spi
        self.kept = []

    def take(self, frame):
        super().take(frame)
        if frame[23] == 50 and int.from_bytes(frame[34:38], "big") == self.spi:
            self.kept.append(frame)


class Kept(Pair):
    @classmethod
    def make_host(cls, name="host"):
        host = super().make_host(name)
        host.options = ["--supervise"]
        return host

    @classmethod
    def config_of(cls, host):
        return f'restart_file = "{cls.workdir}/{host.name}.restart"'

    def setUp(self):
        super().setUp()
        if MORE_SAS:
            suite.xfrm_batch(self.west, [
                f"state add src {WEST} dst {EAST} proto esp spi {0x10000 + i:#x} reqid 9 mode tunnel "
                f"aead rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128" for i in range(MORE_SAS)])

    def dump(self):
        """All that a client sees of the SAs."""
        return self.west.xfrm("state", options=("-s",)).stdout

    def under_traffic(self, how, sig):
        """Restarts in the middle of both flows. The figures of all runs are printed."""
        lost, gaps = [], []
        for _ in range(RUNS):
            watch, flows = self.traffic()
            self.wait_for(lambda flows=flows: flows[0].sent > 1000, "traffic")
            self.west.restart(sig)
            sent = flows[0].sent
            self.wait_for(lambda flows=flows, sent=sent: flows[0].sent > sent + 1000, "more traffic")
            figures = self.judge(watch, flows, lossless=False)
            lost.append(figures["lost"])
            gaps.append(max(flow.longest for flow in flows))
        print(f"    {how}: lost {statistics.median(lost)} (worst {max(lost)}) of {figures['sent']}, without "
              f"traffic {statistics.median(gaps) * 1000:.0f} ms (worst {max(gaps) * 1000:.0f} ms)", flush=True)
        return max(lost), max(gaps)


class Restart(Kept):
    def test_an_orderly_restart(self):
        lost, gap = self.under_traffic("orderly", signal.SIGUSR1)
        # nic0's queue has room for 500 frames of the host.
        self.assertLessEqual(lost, max(0, self.rate * (gap - 0.2)), "frames wait in the kernel's queues")

    def test_a_killed_daemon_continues_behind_its_numbers(self):
        lost, gap = self.under_traffic("killed", signal.SIGKILL)
        self.assertLess(lost, self.rate * gap + 200, "only what was in the process is lost")

    def test_what_was_accepted_is_accepted_by_no_later_daemon(self):
        """All that east has sent comes again after each restart."""
        recorder = Recorder(self.east.ns, SPI_E)
        recorder.start()
        for sig in (signal.SIGKILL, signal.SIGUSR1, signal.SIGKILL):
            lost, _ = self.under_traffic(sig.name, sig)
            self.replay(list(recorder.kept), lost)
        recorder.finish()

    def replay(self, frames, lost):
        """Only what was lost may be accepted now: it never was."""
        self.assertGreater(len(frames), 1000)
        accepted, drops = self.accepted(), suite.counters(self.west)
        wire = FrameSocket(self.east.ns, "wire0", mark=fence_mark(self.east.ns, "wire0"))
        self.addCleanup(wire.close)
        for i, frame in enumerate(frames):
            wire.send(frame)
            if i % 32 == 0:
                time.sleep(0.002 * suite.SLOWNESS)  # the rings of wire and device are not the matter
        # The high word of an ESN far behind the window is inferred one too high, and the ICV fails.
        refused = ("in-number-unknown", "in-replay-duplicate", "in-replay-old", "late-beyond-window")
        self.wait_for(lambda: sum(suite.difference(drops, suite.counters(self.west)).get(name, 0)
                                  for name in refused) >= 0.9 * len(frames), "the frames to be refused")
        self.assertLessEqual(self.accepted() - accepted, lost)

    def accepted(self):
        return next(sa["usage"]["packets"] for sa in self.west.show("sa") if int(sa["spi"], 16) == SPI_E)

    def test_clients_see_the_same_states(self):
        self.west.xfrm(f"state allocspi src {EAST} dst {WEST} proto esp reqid 1 mode tunnel "
                       "min 0x7001 max 0x7001")
        before = self.dump()
        self.west.restart(signal.SIGUSR1)
        self.assertEqual(self.dump(), before)
        self.assertEqual(self.where(self.west, SPI_W), ("crypto", "requested"))
        # The reserved SPI can still be filled in, and policies and SAs can still be changed.
        self.west.xfrm(f"state update src {EAST} dst {WEST} proto esp spi 0x7001 reqid 1 mode tunnel "
                       f"aead rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128")
        self.assertNotIn("could not be", self.west.log().replace("0 could not be", ""))

    def test_what_ended_stays_ended(self):
        """The keys of a deleted SA are not in the memory that the next daemon gets."""
        key = os.urandom(20)
        self.west.xfrm(f"state add src {WEST} dst {EAST} proto esp spi 0x9009 reqid 9 mode tunnel "
                       f"aead rfc4106(gcm(aes)) 0x{key.hex()} 128")
        self.assertIn(key, self.memory())
        self.west.xfrm(f"state delete src {WEST} dst {EAST} proto esp spi 0x9009")
        self.assertNotIn(key, self.memory())
        self.west.restart(signal.SIGKILL)
        self.assertNotIn("0x00009009", self.dump())

    def test_a_key_that_comes_back_repeats_no_nonce(self):
        """It was deleted and is added under another SPI, in the same memory, with crashes between."""
        watch = Nonces(self.east.ns)
        watch.start()
        old = SPI_W
        for new in (0x1011, 0x1012):
            self.ping()
            self.west.xfrm(f"state delete src {WEST} dst {EAST} proto esp spi {old:#x}")
            self.west.restart(signal.SIGKILL)
            self.keys[new] = self.keys[SPI_W]
            self.add_sa(self.west, WEST, EAST, new, "out")
            self.add_sa(self.east, WEST, EAST, new, "in")
            old = new
        self.ping()
        watch.finish()
        self.assertGreaterEqual(len(watch.ivs), 15)
        self.assertEqual(len(set(watch.ivs)), len(watch.ivs), "an IV was used twice under one key")
        masked = {iv[:6] for iv in watch.ivs}  # the mask is the key's: small numbers change the end only
        self.assertEqual(len(masked), 1, masked)

    def ping(self):
        self.wait_for(lambda: self.west.ns.run(
            ["ping", "-c5", "-i0.02", "-W1", "-I", IN_WEST, IN_EAST], check=False).returncode == 0, "five pings")

    def memory(self):
        """The kept memory, as only root can read it."""
        folder = f"/proc/{self.west.daemon.pid}/fd"
        for fd in os.listdir(folder):
            if "cygnet-state" in os.readlink(f"{folder}/{fd}"):
                with open(f"{folder}/{fd}", "rb") as f:
                    return f.read(1 << 20)
        return self.fail("the supervisor holds no state")


class Supervisor(Kept):
    def test_other_workers_get_other_queues(self):
        """What an earlier configuration left is closed. SAs find their device by its name."""
        path = os.path.join(self.workdir, "west.toml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("[daemon]", "[daemon]\nworkers = 2"))
        self.addCleanup(self.west.restart, signal.SIGUSR1)
        self.addCleanup(self.rewrite, path, text)
        before = self.west.ns.ip("-o link show nic0").stdout.split(":")[0]
        self.west.restart(signal.SIGUSR1)
        self.assertIn("2 workers", self.west.log() + self.text_of_workers())
        self.assertNotEqual(self.west.ns.ip("-o link show nic0").stdout.split(":")[0], before)
        for spi in (SPI_W, SPI_E):
            self.assertEqual(self.where(self.west, spi), ("crypto", "requested"))

    def test_a_wire_of_another_mtu_gets_another_ring(self):
        """A ring that was opened for a larger MTU stays while the MTU falls; the next daemon must not read
        it as one of smaller slots, which would find headers in the middle of frames."""
        for mtu in (8000, 3000):
            for host in (self.west, self.east):
                host.ns.ip(f"link set wire0 mtu {mtu}")
            self.wait_for(lambda mtu=mtu: self.west.show("dev")[0]["mtu"] == min(mtu, 2226), "the MTU")
        self.addCleanup(lambda: [host.ns.ip("link set wire0 mtu 1500") for host in (self.west, self.east)])
        self.west.restart(signal.SIGUSR1)
        text = self.west.ns.run(["ping", "-c200", "-i0.01", "-W5", "-q", "-I", IN_WEST, IN_EAST]).stdout
        self.assertIn(" 0% packet loss", text)

    def text_of_workers(self):
        tasks = f"/proc/{self.west.child()}/task"
        names = []
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/comm", encoding="ascii") as f:
                names.append(f.read().strip())
        return "2 workers" if {"cygnet-w0", "cygnet-w1"} <= set(names) else str(names)

    @staticmethod
    def rewrite(path, text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def test_a_start_that_fails_ends_it(self):
        result = self.east.ns.run([self.east.cygnet.daemon, "--supervise", "--config", "/nowhere.toml"],
                                  check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nowhere.toml", result.stderr)


class Stop(Kept):
    """nic0 ends with the daemon, and its addresses with it."""

    def test_a_stop_forgets_all(self):
        host = self.west
        host.ended_by_test = True
        labkit.end(host.daemon)
        self.assertEqual(host.daemon.returncode, 0, host.log())
        self.assertNotIn("nic0", host.ns.ip("-o link").stdout)
        self.start_again()
        self.assertEqual(host.show("sa"), [])
        self.assertTrue(host.show("policy"), "policies outlive a stop")

    def start_again(self):
        with open(os.path.join(self.workdir, "west.toml"), encoding="utf-8") as f:
            self.west.start(config=f.read())
        self.west.ended_by_test = False


if __name__ == "__main__":
    suite.main()
