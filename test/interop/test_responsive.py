#!/usr/bin/python3
"""Whatever the wire and the host's users do, clients are answered and established flows continue:
spoofed ARP while there are many SAs, and packets to ever new destinations that need an SA each.
"""

import os
import socket
import statistics
import struct
import threading
import time

import suite
import xfrmclient as nl
from flow import EAST, SPI_W, WEST, Pair
from rawwire import FrameSocket, fence_mark, inside, mac_of

MANY = 2000         # SAs
SECONDS = 4         # of each attack
ARP_RATE = 400      # frames a second
STORM_RATE = 5000   # packets a second
PER_POLICY = 512    # the limit of larval states, from cygnetd(8)
MAX_MEDIAN = 0.020 * suite.SLOWNESS
# Generous, as another process may have the CPU for some time; still far below a pass over all SAs
# for each event, which would delay answers for seconds.
MAX_P95 = 0.150 * suite.SLOWNESS


class Attack(threading.Thread):
    """Calls act(n) `rate` times a second."""

    def __init__(self, rate, act):
        super().__init__(daemon=True)
        self.rate, self.act = rate / suite.SLOWNESS, act
        self.count = 0
        self.done = threading.Event()

    def run(self):
        begin = time.monotonic()
        while not self.done.is_set():
            due = int((time.monotonic() - begin) * self.rate) - self.count
            for _ in range(min(due, 50)):
                self.act(self.count)
                self.count += 1
            time.sleep(0.001)

    def finish(self):
        self.done.set()
        self.join()


class Responsive(Pair):
    rate = 500
    offload = False

    def setUp(self):
        super().setUp()
        self.client = nl.Client(self.west.ns, [self.west.cygnet.command, "exec", "--"])
        self.addCleanup(self.client.close)
        self.socket = self.client.open(nl.group_mask("ACQUIRE"))

    def add_many(self):
        suite.xfrm_batch(self.west, [
            f"state add src {WEST} dst 192.0.2.{3 + i % 250} proto esp spi {0x10000 + i:#x} "
            f"reqid {100 + i} mode tunnel aead rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128"
            for i in range(MANY)])

    def answer_times(self, seconds):
        """The times of requests, one after the other."""
        question = nl.message(nl.TYPES["GETSA"], nl.sa_id(dst=EAST, spi=SPI_W), flags=nl.REQUEST)
        times = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            self.assertEqual(self.client.send(self.socket, question), 0)
            times.append(time.monotonic() - begin)
            self.client.receive(self.socket)
            time.sleep(0.005)
        return times

    def under(self, name, attack):
        """Runs both flows, and a client with requests, during the attack."""
        watch, flows = self.traffic()
        attack.start()
        times = sorted(self.answer_times(SECONDS))
        attack.finish()
        median, p95 = statistics.median(times), times[len(times) * 95 // 100]
        print(f"    {name}: {attack.count} attempts, {len(times)} answers, median "
              f"{median * 1e3:.1f} ms, 95 % {p95 * 1e3:.1f} ms, longest {times[-1] * 1e3:.1f} ms",
              flush=True)
        self.judge(watch, flows)
        self.assertLess(median, MAX_MEDIAN)
        self.assertLess(p95, MAX_P95)

    def test_spoofed_arp(self):
        self.add_many()
        wire = FrameSocket(self.east.ns, "wire0", mark=fence_mark(self.east.ns, "wire0"))
        self.addCleanup(wire.close)
        own = socket.inet_aton(WEST)
        to = mac_of(self.west.ns, "nic0")

        def spoof(n):
            mac = struct.pack("!BBI", 2, 0xEE, n)
            sender = bytes([192, 0, 2, 3 + n % 250])
            wire.send(to + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
                      + mac + sender + bytes(6) + own)
        self.under("spoofed ARP", Attack(ARP_RATE, spoof))

    def test_packets_without_sa(self):
        self.west.ns.ip("route add 198.18.0.0/15 via 192.0.2.2 dev nic0")
        self.addCleanup(self.west.ns.ip, "route del 198.18.0.0/15")
        self.west.xfrm(f"policy add src {WEST}/32 dst 198.18.0.0/15 dir out "
                       "tmpl proto esp reqid 9 mode transport")
        with inside(self.west.ns):
            out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(out.close)

        def knock(n):
            out.sendto(b"x", (f"198.{18 + (n >> 16) % 2}.{n >> 8 & 255}.{n & 255}", 9))
        self.under("packets without SA", Attack(STORM_RATE, knock))
        larval = [sa for sa in self.west.show("sa") if int(sa["spi"], 16) == 0]
        self.assertEqual(len(larval), PER_POLICY)
        self.assertGreater(self.west.show("stat")["acquires_refused"], 0)
        self.assertIn(f"ACQUIRE: {PER_POLICY} larval states of one policy", self.west.log())


if __name__ == "__main__":
    suite.main()
