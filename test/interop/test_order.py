#!/usr/bin/python3
"""Two workers share an SA, on a busy machine: its numbers reach the wire in order, and so do the packets
of each flow, by the software NIC and by a plain wire.
"""

import os
import signal
import socket
import struct
import subprocess

import suite
from rawwire import inside
from wirehost import INNER_HOST, INNER_PEER, WireHost

FLOWS = 20  # enough for both queues of the TAP interface
PACKETS = 100  # of a burst; the workers find both queues filled
BURSTS = 12


def is_ip(frame):
    return frame[12:14] == b"\x08\x00"


class Load:
    """Busy loops, more than the machine has CPUs. They end by themselves."""

    def __init__(self):
        loop = ["timeout", "120", "sh", "-c", "while :; do :; done"]
        self.procs = [subprocess.Popen(loop) for _ in range(2 * (os.cpu_count() or 1))]

    def close(self):
        for proc in self.procs:
            proc.terminate()
        for proc in self.procs:
            proc.wait()


class TwoWorkers(WireHost):
    daemon_keys = "workers = 2"
    device_keys = {"offload": "no"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.own(Load())

    def setUp(self):
        self.install(policies=self.policies(directions=("out",)))

    def burst(self, sockets, begin):
        """Packets of all flows in turn. The daemon finds them together: it is stopped meanwhile."""
        os.kill(self.host.daemon.pid, signal.SIGSTOP)
        try:
            for i in range(begin, begin + PACKETS):
                sockets[i % FLOWS].sendto(struct.pack("!I", i), (INNER_PEER, 9))
        finally:
            os.kill(self.host.daemon.pid, signal.SIGCONT)
        return self.peer.wire.frames(is_ip, PACKETS, 10 * suite.SLOWNESS)

    def test_numbers_and_flows_leave_in_order(self):
        self.peer.wire.drain()
        with inside(self.host.ns):
            sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(FLOWS)]
        for sock in sockets:
            self.addCleanup(sock.close)
            sock.bind((INNER_HOST, 0))
        numbers, texts = [], []
        for i in range(BURSTS):
            for frame in self.burst(sockets, i * PACKETS):
                opened = self.out.open(frame[34:])
                numbers.append(opened.seq)
                texts.append(struct.unpack("!I", opened.payload[28:32])[0])
        self.assertEqual(sorted(numbers), list(range(1, BURSTS * PACKETS + 1)))
        behind = [max(numbers[:i + 1]) - n for i, n in enumerate(numbers)]
        late = [distance for distance in behind if distance > 0]
        self.assertEqual(len(late), 0, f"numbers left behind later ones, up to {max(behind)}")
        for flow in range(FLOWS):
            of_flow = [text for text in texts if text % FLOWS == flow]
            self.assertTrue(of_flow == sorted(of_flow), f"flow {flow} is out of order")
        loads = self.host.show("stat")["worker_loads"]
        self.assertEqual([load["packets"] > 0 for load in loads], [True, True], loads)


class SoftwareNic(TwoWorkers, suite.Case):
    pass


class PlainWire(TwoWorkers, suite.Case):
    device_keys = {"driver": "af_packet"}


if __name__ == "__main__":
    suite.main()
