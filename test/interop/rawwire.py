"""The far end of a wire, frame by frame: a network namespace with no IP stack on the interface, so
that only the test sends there.
"""

import contextlib
import ctypes
import os
import re
import select
import socket
import struct
import time

from labkit import LabError, Namespace, connect

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(namespace):
    """Moves this thread into the network namespace; sockets made there stay there."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/proc/{namespace.holder.pid}/ns/net", os.O_RDONLY)
    try:
        if _libc.setns(other, CLONE_NEWNET) != 0:
            raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        if _libc.setns(own, CLONE_NEWNET) != 0:
            os._exit(70)  # the thread must not continue in another namespace
        os.close(own)
        os.close(other)


def sysctl(namespace, name, value):
    namespace.run(["sysctl", "-qw", f"{name}={value}"])


def mac_of(namespace, interface):
    """6 bytes."""
    text = namespace.ip(f"-o link show dev {interface}").stdout
    return bytes.fromhex(text.split("link/ether ")[1].split()[0].replace(":", ""))


def fence_mark(namespace, interface):
    """The mark that a wire's fence lets out, read from its tc filter."""
    text = namespace.run(["tc", "filter", "show", "dev", interface, "egress"]).stdout
    code = re.search(r"bytecode '([^']*)'", text).group(1).split(",")
    return int(code[2].split()[3])  # its length, load the mark, compare


class FrameSocket:
    """Every frame of one interface; outgoing ones too, unless `arriving`."""

    def __init__(self, namespace, interface, arriving=False, mark=0):
        with inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if arriving:
            self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        if mark:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark))
        self.socket.bind((interface, ETH_P_ALL))

    def send(self, frame):
        self.socket.send(bytes(frame))

    def frames(self, match=lambda frame: True, count=1, timeout=2.0):
        """`count` frames that match; fewer if the time is over. Discards frames that do not match."""
        found = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                break
            frame = self.socket.recv(65536)
            if match(frame):
                found.append(frame)
        return found

    def drain(self):
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(65536)
        self.socket.setblocking(True)

    def close(self):
        self.socket.close()


class Peer:
    """A wire to `host`, held at its far end. Create it before the host's daemon starts."""

    def __init__(self, host, index=0):
        self.ns = Namespace("peer")
        self.interface = f"wire{index}"
        sysctl(self.ns, "net.ipv6.conf.default.disable_ipv6", 1)
        connect(host, self, index)
        self.mac = mac_of(self.ns, self.interface)
        self.host_mac = mac_of(host.ns, self.interface)
        self.wire = FrameSocket(self.ns, self.interface, arriving=True)

    def frame(self, ether_type, payload):
        """Sends a frame to the host."""
        return self.host_mac + self.mac + struct.pack("!H", ether_type) + bytes(payload)

    def send_ip(self, packet):
        packet = bytes(packet)
        self.wire.send(self.frame(0x0800 if packet[0] >> 4 == 4 else 0x86dd, packet))

    def close(self):
        self.wire.close()
        self.ns.close()
