"""Two daemons on one wire with numbered datagrams flowing both ways. Reports datagrams that were
lost, came twice or left in clear, and reused sequence numbers, while the test moves SAs.
"""

import collections
import json
import os
import socket
import struct
import threading
import time

import suite
from labkit import connect
from rawwire import FrameSocket, inside, sysctl

MARK = b"Cygnet in clear"
WEST, EAST = "192.0.2.1", "192.0.2.2"
IN_WEST, IN_EAST = "10.1.0.1", "10.2.0.1"
SPI_W, SPI_E = 0x1001, 0x2001  # west to east, east to west
PORT = 7001


SO_RCVBUFFORCE = 33


def widen(sock):
    """Buffer space for datagrams that arrive while this process is busy."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    except PermissionError:  # not the machine's root
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)


class Flow(threading.Thread):
    """Numbered datagrams from one namespace to another. No two flows share a number: what waited in a queue
    for a flow that is over is `late`, not doubled.
    """

    begins = 0  # of the next flow

    def __init__(self, source, target, ends, rate):
        super().__init__(daemon=True)
        self.rate, self.ends = rate / suite.SLOWNESS, ends
        family = socket.AF_INET6 if ":" in ends[0] else socket.AF_INET
        with inside(source):
            self.out = socket.socket(family, socket.SOCK_DGRAM)
        self.out.bind((ends[0], PORT))
        with inside(target):
            self.into = socket.socket(family, socket.SOCK_DGRAM)
        widen(self.into)
        self.into.bind((ends[1], PORT + 1))
        self.into.settimeout(0.5)
        self.sent = self.late = 0
        self.first = Flow.begins
        Flow.begins += 1 << 20
        self.received = collections.Counter()
        self.longest = 0.0  # seconds between two datagrams that arrived
        self.done = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)

    def run(self):
        self.reader.start()
        begin = time.monotonic()
        while not self.done.is_set():
            due = int((time.monotonic() - begin) * self.rate) - self.sent
            for _ in range(min(due, 20)):
                self.out.sendto(struct.pack("!I", self.first + self.sent) + MARK, (self.ends[1], PORT + 1))
                self.sent += 1
            time.sleep(0.001)

    def _read(self):
        quiet = 0
        last = None
        while quiet < 3:
            try:
                number = struct.unpack("!I", self.into.recv(100)[:4])[0]
                if number < self.first:
                    self.late += 1
                    continue
                self.received[number] += 1
                now = time.monotonic()
                self.longest = max(self.longest, now - (last or now))
                last = now
                quiet = 0
            except socket.timeout:
                quiet += self.done.is_set()

    def finish(self):
        self.done.set()
        self.join()
        self.reader.join()
        self.out.close()
        self.into.close()

    @property
    def lost(self):
        return self.sent - len(self.received)

    @property
    def doubled(self):
        return sum(n - 1 for n in self.received.values())


class Watch(threading.Thread):
    """Watches every IP frame on the wire for clear text and reused sequence numbers."""

    def __init__(self, namespace, interface="wire0"):
        super().__init__(daemon=True)
        self.wire = FrameSocket(namespace, interface)
        widen(self.wire.socket)
        self.wire.socket.settimeout(0.3)
        self.frames = self.clear = self.repeated = 0
        self.numbers = collections.defaultdict(set)
        self.done = threading.Event()

    def run(self):
        while True:
            try:
                frame = self.wire.socket.recv(2048)
            except socket.timeout:
                if self.done.is_set():
                    return
                continue
            if frame[12:14] == b"\x08\x00":
                self.take(frame)

    def take(self, frame):
        self.frames += 1
        self.clear += MARK in frame
        if frame[23] == 50:
            spi, seq = struct.unpack("!II", frame[34:42])
            self.repeated += seq in self.numbers[spi]
            self.numbers[spi].add(seq)

    def finish(self):
        self.done.set()
        self.join()
        self.wire.close()


class Pair(suite.Case):
    """West and east, one tunnel, SAs offloaded to the device."""

    device = {"offload": "crypto"}
    config = ""   # further tables of the configuration
    offload = True
    rate = 2000  # datagrams a second, each way

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.west, cls.east = cls.make_host("west"), cls.make_host("east")
        connect(cls.west, cls.east)
        for host, own, inner, far, far_inner in (
                (cls.west, WEST, IN_WEST, EAST, "10.2.0.0/16"),
                (cls.east, EAST, IN_EAST, WEST, "10.1.0.0/16")):
            lines = ["[daemon]", 'log_level = "info"', cls.config_of(host), "[[device]]",
                     'name = "nic0"', 'wire = "wire0"']
            lines += [f"{k} = {json.dumps(v)}" for k, v in cls.device.items()]
            host.start(config="\n".join(lines) + "\n")
            sysctl(host.ns, "net.ipv6.conf.nic0.disable_ipv6", 1)
            host.ns.ip(f"addr add {own}/24 dev nic0")
            host.ns.ip(f"addr add {inner}/32 dev lo")
            host.ns.ip(f"route add {far_inner} via {far} dev nic0 src {inner}")

    @classmethod
    def config_of(cls, host):
        return cls.config if host is cls.west else ""

    def setUp(self):
        self.keys = {spi: os.urandom(20).hex() for spi in (SPI_W, SPI_E)}
        for host, directions in ((self.west, ("out", "in")), (self.east, ("in", "out"))):
            self.add_sa(host, WEST, EAST, SPI_W, directions[0])
            self.add_sa(host, EAST, WEST, SPI_E, directions[1])
            for src, dst, a, b, way in (("10.1.0.0/16", "10.2.0.0/16", WEST, EAST, directions[0]),
                                        ("10.2.0.0/16", "10.1.0.0/16", EAST, WEST, directions[1])):
                host.xfrm(f"policy add src {src} dst {dst} dir {way} tmpl src {a} dst {b} "
                          "proto esp reqid 1 mode tunnel")
        # The first packets to a neighbour wait for ARP, in a queue of the kernel that has its own
        # limit.
        self.wait_for(lambda: self.west.ns.run(
            ["ping", "-c1", "-W1", "-I", IN_WEST, IN_EAST], check=False).returncode == 0, "a ping")

    def tearDown(self):
        for host in (self.west, self.east):
            if host.daemon.poll() is None:
                suite.xfrm_batch(host, ["state flush", "policy flush"])

    def add_sa(self, host, src, dst, spi, direction):
        words = (f"state add src {src} dst {dst} proto esp spi {spi:#x} reqid 1 mode tunnel "
                 f"replay-window 4096 flag esn aead rfc4106(gcm(aes)) 0x{self.keys[spi]} 128")
        host.xfrm(words + (f" offload dev nic0 dir {direction}" if self.offload else ""))

    def traffic(self):
        """Both flows and the watch, running."""
        watch = Watch(self.east.ns)
        flows = [Flow(self.west.ns, self.east.ns, (IN_WEST, IN_EAST), self.rate),
                 Flow(self.east.ns, self.west.ns, (IN_EAST, IN_WEST), self.rate)]
        for thread in (watch, *flows):
            thread.start()
        return watch, flows

    def judge(self, watch, flows, lossless=True):
        """Ends the traffic; prints and checks the result."""
        for flow in flows:
            flow.finish()
        watch.finish()
        figures = {"sent": sum(f.sent for f in flows), "lost": sum(f.lost for f in flows),
                   "doubled": sum(f.doubled for f in flows),
                   "late from before": sum(f.late for f in flows), "in clear": watch.clear,
                   "repeated sequence numbers": watch.repeated, "frames watched": watch.frames}
        print("   ", ", ".join(f"{k} {v}" for k, v in figures.items()), flush=True)
        self.assertGreater(figures["sent"], 0)
        self.assertGreaterEqual(watch.frames, sum(len(f.received) for f in flows))
        for what in ("doubled", "in clear", "repeated sequence numbers"):
            self.assertEqual(figures[what], 0, what)
        if lossless:
            drops = {h.name: suite.counters(h) for h in (self.west, self.east)}
            self.assertEqual(figures["lost"], 0, drops)
        return figures

    def cygnet(self, host, *words, check=True):
        return host.ns.run([host.cygnet.command, *words], check=check)

    def where(self, host, spi):
        """(effective, reason) of the half of an SA on this host."""
        sa = next(sa for sa in host.show("sa") if int(sa["spi"], 16) == spi)
        return sa["placements"][0]["effective"], sa["placements"][0]["reason"]
