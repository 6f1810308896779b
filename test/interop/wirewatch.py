"""Watches a wire: nothing in clear, no sequence number twice, and no unexpected frame. As a context
manager it checks by itself.
"""

import collections
import ctypes
import socket
import struct
import threading

from flow import MARK, widen
from rawwire import FrameSocket

ESP, UDP, ICMP6, HOP_BY_HOP, FRAGMENT = 50, 17, 58, 0, 44
SO_ATTACH_FILTER = 26
NEIGHBOUR_TYPES = range(130, 138)  # MLD, router and neighbour discovery
# If there are very many frames, IPv4 ESP is filtered out before Python:
# ldh [12]; jne #0x800, accept; ldb [23]; jeq #50, drop; accept: ret #0x40000; drop: ret #0
NO_ESP4 = ((0x28, 0, 0, 12), (0x15, 0, 2, 0x800), (0x30, 0, 0, 23), (0x15, 1, 0, ESP),
           (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0))


def attach_filter(sock, program):
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                    struct.pack("HP", len(program), ctypes.addressof(buffer)))


class Watch(threading.Thread):
    """Every frame of one interface, from __enter__ to __exit__. `allow(frame)`: further allowed
    frames. `sample`: IPv4 ESP is not checked. Not `secret`: the text may be in clear."""

    def __init__(self, namespace, interface, sample=False, secret=True, allow=lambda frame: False):
        super().__init__(daemon=True)
        self.wire = FrameSocket(namespace, interface)
        widen(self.wire.socket)
        if sample:
            attach_filter(self.wire.socket, NO_ESP4)
        self.wire.socket.settimeout(0.1)
        self.allow, self.secret = allow, secret
        self.frames = self.esp = self.encapsulated = self.ike = self.clear = self.repeated = 0
        self.strangers = []
        self.numbers = collections.defaultdict(set)
        self.done = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, traceback):
        self.done.set()
        self.join()
        self.wire.close()
        if kind is not None:
            return
        if self.clear or self.repeated or self.strangers:
            raise AssertionError(f"on the wire: {self.clear} frames in clear, {self.repeated} repeated "
                                 f"sequence numbers, strangers {[s.hex() for s in self.strangers[:3]]}")

    def run(self):
        while True:
            try:
                frame = self.wire.socket.recv(65536)
            except socket.timeout:
                if self.done.is_set():
                    return
                continue
            self._judge(frame)

    def _judge(self, frame):
        self.frames += 1
        self.clear += self.secret and MARK in frame
        kind = frame[12:14]
        if kind == b"\x08\x00":
            proto, body = frame[23], frame[14 + (frame[14] & 15) * 4:]
        elif kind == b"\x86\xdd":
            proto, body = frame[20], frame[54:]
        else:
            return  # ARP
        if proto == ESP:
            self._count_esp(body)
        elif proto == UDP and self._is_ike_or_esp(body):
            pass
        elif proto == HOP_BY_HOP or proto == ICMP6 and body[0] in NEIGHBOUR_TYPES:
            pass
        elif not self.allow(frame):
            self.strangers.append(frame)

    def _is_ike_or_esp(self, body):
        ports = struct.unpack("!HH", body[:4])
        if 500 in ports:
            self.ike += 1
            return True
        if 4500 not in ports:
            return False
        if len(body) == 9 or body[8:12] == bytes(4):  # keep-alive, or IKE behind its marker
            self.ike += 1
        else:
            self.encapsulated += 1
            self._count_esp(body[8:])
        return True

    def _count_esp(self, body):
        spi, seq = struct.unpack("!II", body[:8])
        self.esp += 1
        self.repeated += seq in self.numbers[spi]
        self.numbers[spi].add(seq)
