#!/usr/bin/python3
"""What the host makes of a device with faults: an SA that it does not stop at its limit, slow adds, and packets
that it swallows. Packet offload, as there the device does most by itself.
"""

import os
import struct
import threading
import time

import suite
import xfrmclient as nl
from espjudge import EspJudge
from test_packet_offload import PACKET, Messages
from wirehost import HOST, INNER_PEER, PEER, SPI_OUT, WireHost

ADD_MS = 200
ADDS = 6


class DeviceFaults(Messages, WireHost, suite.Case):
    def setUp(self):
        super().setUp()
        self.out = EspJudge(SPI_OUT, os.urandom(20), 16)
        self.addCleanup(self.fault, "clear")
        self.assertEqual(self.add_policy("out"), (0, None))

    def fault(self, *words):
        self.host.text("sim", "dev", "nic0", *words)

    def key(self):
        return nl.attr("ALG_AEAD", nl.aead(self.out.key + self.out.salt))

    def send_numbered(self, number):
        self.udp.sendto(struct.pack("!I", number), (INNER_PEER, 9))

    def numbers(self, count, timeout):
        """The numbers of packets on the wire, opened by the peer."""
        frames = self.peer.wire.frames(lambda f: f[34:38] == struct.pack("!I", SPI_OUT), count, timeout)
        return [struct.unpack("!I", self.out.open(f[34:]).payload[28:32])[0] for f in frames]

    def test_slow_adds_do_not_delay_packets(self):
        self.assertEqual(self.add_sa(self.out), (0, None))
        self.send_numbered(0)
        self.assertEqual(self.numbers(1, 2 * suite.SLOWNESS), [0])
        self.fault("slow-add", str(ADD_MS), str(ADDS))
        sent, arrived, done = [0], [], threading.Event()

        def stream():
            while not done.is_set():
                sent[0] += 1
                self.send_numbered(sent[0])
                time.sleep(0.001)

        def listen():
            while not done.is_set():
                arrived.extend((n, time.monotonic()) for n in self.numbers(1, 0.05))
        threads = [threading.Thread(target=work, daemon=True) for work in (stream, listen)]
        for thread in threads:
            thread.start()
        took = []
        for i in range(ADDS):
            begin = time.monotonic()
            other = nl.sa_info(HOST, PEER, SPI_OUT + 1 + i, reqid=2, window=32)  # of no policy
            self.assertEqual(self.ask("NEWSA", other + self.key() + self.offload(PACKET)), (0, None))
            took.append(time.monotonic() - begin)
        done.set()
        for thread in threads:
            thread.join()
        arrived.extend((n, time.monotonic()) for n in self.numbers(sent[0] - len(arrived), suite.SLOWNESS))
        self.assertGreaterEqual(min(took), ADD_MS / 1000, "the adds were not slow")
        self.assertEqual([n for n, _ in arrived], list(range(1, sent[0] + 1)))
        times = [at for _, at in arrived]
        gap = max(b - a for a, b in zip(times, times[1:]))
        print(f"{sent[0]} packets during {ADDS} adds of {ADD_MS} ms; longest pause {gap * 1000:.0f} ms")
        self.assertLess(gap, ADD_MS / 1000 * suite.SLOWNESS)

    def test_limit_that_the_device_hides_is_kept_by_the_daemon(self):
        limited = nl.sa_info(HOST, PEER, SPI_OUT, window=32, limits=nl.lifetime(hard_packets=10))
        self.assertEqual(self.ask("NEWSA", limited + self.key() + self.offload(PACKET)), (0, None))
        self.fault("no-expiry", "2")
        listener = self.client.open(1 << 1)  # XFRMNLGRP_EXPIRE
        for number in range(25):
            self.send_numbered(number)
        self.assertEqual(self.numbers(25, 2 * suite.SLOWNESS), list(range(25)), "the device went on")
        (event,) = self.client.receive(listener, 3.0 * suite.SLOWNESS)
        self.assertEqual(event[0], "EXPIRE")
        self.assertEqual(self.host.show("sa"), [])
        self.assertIn("hard limit of 10 packets; the daemon ends it 15 packets later", self.host.log())

    def test_swallowed_packets_show_between_the_two_sides(self):
        self.assertEqual(self.add_sa(self.out), (0, None))

        def sides():
            device = self.host.show("dev")[0]
            return device["host"]["rx_packets"], device["wire_stats"]["tx_packets"]
        self.send_numbered(0)
        self.assertEqual(self.numbers(1, 2 * suite.SLOWNESS), [0])
        before, drops = sides(), suite.counters(self.host)
        self.fault("swallow", "out", "4")
        for number in range(1, 11):
            self.send_numbered(number)
        self.assertEqual(self.numbers(6, 2 * suite.SLOWNESS), list(range(5, 11)))
        self.assertEqual(suite.difference(drops, suite.counters(self.host)), {}, "a drop is counted")
        after = sides()
        self.assertEqual([b - a for a, b in zip(before, after)], [10, 6])


if __name__ == "__main__":
    suite.main()
