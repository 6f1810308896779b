#!/usr/bin/python3
"""A good SA's flow continues while somebody storms the wire: random SPIs, forged and replayed
packets, fragments that never complete, garbage. The counters name these packets and nothing else.

Each storm runs twice: at a rate that the wire port surely carries, where almost nothing of the
good flow may be lost; and as fast as one process can send, which may overrun the port: then the
loss is printed, and the SA must work as before when the storm is over.
"""

import json
import os
import random
import socket
import struct
import subprocess
import threading
import time

from scapy.layers.inet import ICMP, IP, UDP

import labkit
import storm
import suite
from matrixcases import ip_header
from rawwire import FrameSocket
from wirehost import ESP, HOST, INNER_HOST, INNER_PEER, IPIP, PEER, SPI_IN, WireHost

GOOD_RATE = 2000  # packets per second
SECONDS = 1.2
STEADY = 20_000  # storm, packets per second
STORM_FRAMES = 1024
DROPS = {  # of our own, and Linux's
    "random_spi": ({"in-no-state"}, {"XfrmInNoStates"}),
    "bad_icv": ({"in-auth-failed"}, {"XfrmInStateProtoError"}),
    "replayed": ({"in-replay-old", "in-replay-duplicate"}, {"XfrmInStateSeqError"}),
    "fragments": ({"in-fragment-memory"}, set()),
    "garbage_4500": ({"in-no-state"}, {"XfrmInNoStates"}),
    "icmp": (set(), set()),  # it is in clear, and no policy forbids it: the host's stack gets it
}


class Storm(WireHost):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        cls.lines = []
        cls.random = random.Random(303)
        cls.sender = cls.own(FrameSocket(cls.peer.ns, cls.peer.interface))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        print("\n".join(["", cls.__name__, *cls.lines]))

    def setUp(self):
        self.install(window=1024)
        self.host_gets()

    # --- The good flow ---

    def good_frames(self, count):
        """Sealed datagrams, numbered in their payload."""
        head = bytes(IP(src=INNER_PEER, dst=INNER_HOST) / UDP(sport=7000, dport=7001, chksum=0)
                     / bytes(4))[:-4]
        sealed = (self.into.seal(head + struct.pack("!I", i), IPIP) for i in range(count))
        return [self.peer.frame(0x0800, self.plain(esp)) for esp in sealed]

    @staticmethod
    def plain(esp):
        """The same as self.outer(), only faster."""
        return ip_header(4, (PEER, HOST), ESP, len(esp)) + esp

    def flow(self, frames):
        """Sends at GOOD_RATE; returns how many the host's socket got."""
        got, ended = set(), threading.Event()

        def receive():
            receiver = self.udp.dup()
            receiver.settimeout(0.1)
            while not ended.is_set():
                try:
                    got.add(receiver.recv(100))
                except TimeoutError:
                    pass
            receiver.close()
        thread = threading.Thread(target=receive)
        thread.start()
        started = time.monotonic()
        for i, frame in enumerate(frames):
            ahead = started + i / GOOD_RATE - time.monotonic()
            if ahead > 0.002:
                time.sleep(ahead)
            self.sender.send(frame)
        time.sleep(0.3 * suite.SLOWNESS)
        ended.set()
        thread.join()
        return len(got)

    # --- The storms ---

    def esp(self, spi, seq, size=100):
        return self.plain(struct.pack("!II", spi, seq) + self.random.randbytes(size))

    def packets(self, kind):
        for i in range(STORM_FRAMES):
            if kind == "random_spi":
                yield self.esp(self.random.randrange(0x10000, 2**32), i)
            elif kind == "bad_icv":  # ahead of the window, which must not move
                yield self.esp(SPI_IN, 0x10000000 + i)
            elif kind == "fragments":
                yield self.outer(self.random.randbytes(64), id=i, frag=i % 16, flags="MF")
            elif kind == "garbage_4500":
                garbage = b"\xff" * (8 + i % 100)
                yield self.outer(UDP(sport=4500, dport=4500, chksum=0) / garbage, 17)
            elif kind == "icmp":
                yield self.outer(self.icmp(i), 1)

    def icmp(self, i):
        """Fragmentation needed, quoting too little of an outer packet, or nonsense."""
        quoted = bytes(IP(src=HOST, dst=PEER, proto=ESP) / struct.pack("!II", 0x1001, i))
        quoted = quoted[:i % 28] if i % 2 else b"\x4f" + quoted[1:]
        return bytes(ICMP(type=3, code=4, nexthopmtu=i % 1500) / quoted)

    def blow(self, kind, frames, rate):
        """The share of the good flow that arrived during the storm."""
        path = os.path.join(self.workdir, "storm.frames")
        storm.write_frames(path, frames)
        process = self.peer.ns.popen(["/usr/bin/python3", os.path.abspath(storm.__file__),
                                      self.peer.interface, path, str(rate)],
                                     stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        good = self.good_frames(int(GOOD_RATE * SECONDS))
        time.sleep(0.1)
        got = self.flow(good)
        labkit.end(process)
        told = json.loads(process.stdout.read())
        process.stdout.close()
        self.lines.append(f"  {kind:13} {told['sent'] / told['seconds']:9.0f}/s  good packets "
                          f"{got} of {len(good)}, {100 * (len(good) - got) / len(good):.1f} % lost")
        return got / len(good)

    def storm_frames(self, kind):
        if kind == "replayed":
            frames = self.good_frames(STORM_FRAMES)
            for at in range(0, len(frames), 32):
                for frame in frames[at:at + 32]:
                    self.sender.send(frame)
                time.sleep(0.002)
            self.wait_for(lambda: self.sa_report()["replay"]["seq"] == self.into.seq,
                          "the originals")
            self.quiet()
            self.host_gets()
            return frames
        return [self.peer.frame(0x0800, p) for p in self.packets(kind)]

    def weather(self, kind):
        frames = self.storm_frames(kind)
        before, port = self.quiet()
        delivered = self.blow(kind, frames, int(STEADY / suite.SLOWNESS))
        self.assertGreater(delivered, 0.9)
        self.check_counters(kind, before, port)
        self.blow(f"{kind}!", frames, 0)
        self.check_counters(kind, before, port, overload={"port-full"})
        self.good()

    def quiet(self):
        """The counters and the frames on the wire, when no more frames come."""
        last = []

        def settled():
            port = self.host.show("dev")[0]["wire_stats"]
            last.append((suite.counters(self.host), port["rx_packets"]))
            return len(last) > 1 and last[-1] == last[-2]
        self.wait_for(settled, "quiet")
        return last[-1]

    def check_counters(self, kind, before, arrived_before, overload=frozenset()):
        after, arrived = self.quiet()
        found = suite.difference(before, after)
        ours, linux = DROPS[kind]
        names = {name for name in found if not name.startswith("Xfrm")}
        self.assertEqual({name for name in found if name.startswith("Xfrm")}, linux)
        names -= overload
        self.assertLessEqual(names, ours)
        self.assertEqual(bool(names), bool(ours), "nothing was counted")
        if linux:  # each packet once by either
            self.assertEqual(sum(found[n] for n in names), sum(found[n] for n in linux))
            self.assertLessEqual(sum(found[n] for n in names), arrived - arrived_before)


class EspStorms(Storm):
    def test_random_spis(self):
        self.weather("random_spi")

    def test_known_spi_with_bad_icv(self):
        self.weather("bad_icv")
        self.assertLess(self.sa_report()["replay"]["seq"], 0x10000000, "the window moved")

    def test_replayed_packets(self):
        self.weather("replayed")

    def test_garbage_on_port_4500(self):
        self.weather("garbage_4500")

    def test_icmp_about_outer_packets(self):
        self.weather("icmp")


class StormOnSoftware(EspStorms, suite.Case):
    pass


class StormOnDevice(EspStorms, suite.Case):
    offload = True


class StormOfFragments(Storm, suite.Case):
    """A separate class: waiting fragments are counted as late half a minute after the storm."""

    def test_fragments_that_never_complete(self):
        self.weather("fragments")


if __name__ == "__main__":
    suite.main()
