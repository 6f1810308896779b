#!/usr/bin/python3
"""Hostile or badly written clients against the real daemon: they never read, leave in the middle, come
by the thousand, send nonsense. (Refused clients: test_access.py.) Each time the others are served
meanwhile, traffic continues, and nothing of the bad clients remains.
"""

import os
import socket
import struct
import time
import unittest

import doorstep
import suite
import xfrmclient as nl
from rawwire import inside
from wirehost import SPI_OUT, WireHost

BIND, OPTION, OVERRUN = 0xff01, 0xff02, 0xff03
INFO = nl.message("GETSADINFO", nl.u32(0), nl.REQUEST)


class Hostile(WireHost, suite.Case):
    window = 64

    def setUp(self):
        super().setUp()
        self.install()
        client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(client.close)
        self.polite, self.number = client, client.open()
        self.fds, self.memory = self.open_files(), self.resident()

    # --- The daemon, from outside ---

    def open_files(self):
        return len(os.listdir(f"/proc/{self.host.daemon.pid}/fd"))

    def resident(self):
        """Bytes."""
        with open(f"/proc/{self.host.daemon.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def raw(self):
        """A connection that bypasses the shim."""
        with inside(self.host.ns):
            s = doorstep.meet()
        self.addCleanup(s.close)
        s.settimeout(5 * suite.SLOWNESS)
        return s

    def bound(self, groups=0, port=77):
        s = self.raw()
        s.send(nl.message(BIND, struct.pack("=II", port, groups)))
        return s

    def assert_unharmed(self):
        """A well-behaved client is answered, and traffic is protected, as usual."""
        reply = self.polite.ask(self.number, INFO)
        self.assertEqual([m[0] for m in reply], ["NEWSADINFO"])
        self.assertEqual(struct.unpack("=I", reply[0][3][8:12])[0], 2)
        self.good()  # an echo request in, its answer out, both sealed
        self.assertIsNone(self.host.daemon.poll())

    def assert_gone(self):
        """Nothing remains of clients that left."""
        self.wait_for(lambda: self.open_files() <= self.fds, "the connections to be closed")

    def assert_grown_by_less_than(self, size):
        if suite.SLOWNESS == 1:  # a sanitizer keeps freed memory
            self.assertLess(self.resident() - self.memory, size)

    # --- Clients that do not read ---

    def test_requests_whose_answers_are_never_read(self):
        bad = self.bound()
        batch = b"".join(nl.message("GETSA", self.sa_key(), nl.REQUEST | nl.ACK) for _ in range(50))
        for _ in range(400):  # 20000 answers with an SA in each
            bad.send(batch)
        self.assert_unharmed()
        self.assert_grown_by_less_than(32 << 20)
        bad.close()
        self.assert_gone()

    def sa_key(self):
        return nl.sa_id("192.0.2.2", SPI_OUT)

    def test_listeners_that_never_read(self):
        for _ in range(20):
            self.bound(groups=0xff)
        batch = b"".join(nl.message("UPDPOLICY", nl.policy_info(direction=2), nl.REQUEST)
                         for _ in range(50))
        busy = self.bound()
        for _ in range(200):
            busy.send(batch)
        self.assert_unharmed()
        self.assert_grown_by_less_than(64 << 20)

    def test_dump_that_is_never_read(self):
        self.fill(3000)
        dumps = [self.bound() for _ in range(20)]
        for s in dumps:
            s.send(nl.message("GETPOLICY", b"", nl.REQUEST | nl.DUMP))
        self.assert_unharmed()
        found = self.polite.call(op="send", socket=self.number, data=nl.message(
            "GETPOLICY", b"", nl.REQUEST | nl.DUMP).hex())
        self.assertEqual(found["errno"], 0)
        count = 0
        while True:
            messages = self.polite.receive(self.number, 5 * suite.SLOWNESS)
            self.assertTrue(messages)
            count += len(messages)
            if messages[-1][0] == "DONE":
                break
        self.assertGreater(count, 3000)
        for s in dumps:
            s.close()
        self.assert_gone()
        self.assert_unharmed()

    def fill(self, count):
        batch = b"".join(nl.message("NEWPOLICY", nl.policy_info(nl.selector(
            "10.77.0.0", f"10.{100 + i // 256}.{i % 256}.0", 24), direction=2), nl.REQUEST)
            for i in range(count))
        s = self.bound()
        while batch:
            s.send(batch[:168 * 100 + 1600])
            batch = batch[168 * 100 + 1600:]
        s.close()

    # --- Clients that leave ---

    def test_disconnecting_in_the_middle_of_a_dump(self):
        self.fill(1000)
        for i in range(200):
            s = self.bound()
            s.send(nl.message("GETPOLICY", b"", nl.REQUEST | nl.DUMP))
            if i % 2:
                s.recv(1 << 16)
            s.close()
        self.assert_unharmed()
        self.assert_gone()
        self.assert_grown_by_less_than(64 << 20)

    def test_leaving_before_the_answer(self):
        for i in range(300):
            s = self.raw()
            s.send(INFO * 20)
            s.shutdown(socket.SHUT_RD if i % 2 else socket.SHUT_RDWR)
            s.close()
        self.assert_unharmed()
        self.assert_gone()

    # --- Many clients ---

    def test_a_thousand_connections(self):
        many = []
        for _ in range(1100):
            try:
                s = self.raw()
                s.send(INFO)
                s.recv(4096)
                many.append(s)
            except OSError:
                break  # beyond the limit: closed by the daemon
            if not many:
                break
        self.assertGreaterEqual(len(many), 1000)
        self.assertLess(len(many), 1100)
        for s in (many[0], many[500], many[-1]):
            s.send(INFO)
            self.assertEqual(nl.parse(s.recv(4096))[0][0], "NEWSADINFO")
        self.assert_unharmed()
        for s in many:
            s.close()
        self.assert_gone()
        s = self.raw()
        s.send(INFO)
        self.assertEqual(nl.parse(s.recv(4096))[0][0], "NEWSADINFO")

    # --- Nonsense ---

    def test_nonsense_on_the_socket(self):
        s = self.bound()
        generator = 12345
        for i in range(2000):
            generator = (generator * 1103515245 + 12345) & 0x7fffffff
            size = generator % 300
            junk = b"".join(struct.pack("=I", (generator * (k + i + 1)) & 0xffffffff)
                            for k in range(size // 4))
            s.send(junk or b"\1")
        for kind in (BIND, OPTION, OVERRUN, 0xff00, 0xffff):
            for size in range(0, 24, 3):
                s.send(nl.message(kind, bytes(size)))
        s.send(b"")
        s.send(bytes(100000))
        self.assert_unharmed()

    def test_descriptors_that_nobody_requested(self):
        s = self.bound()
        passed = [os.open("/dev/null", os.O_RDONLY) for _ in range(16)]
        for _ in range(50):
            socket.send_fds(s, [INFO], passed)
        for fd in passed:
            os.close(fd)
        self.assert_unharmed()
        self.assertLessEqual(self.open_files(), self.fds + 1)

    def test_half_a_request_holds_nobody_up(self):
        slow = self.bound()
        slow.send(INFO[:10])
        started = time.monotonic()
        for _ in range(100):
            self.polite.ask(self.number, INFO)
        self.assertLess(time.monotonic() - started, 20 * suite.SLOWNESS)
        self.assert_unharmed()


if __name__ == "__main__":
    suite.main()
