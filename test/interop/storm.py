#!/usr/bin/python3
"""Sends the frames of a file by one interface, over and over, until SIGTERM; then prints how many it
sent and for how long. Arguments: interface, file, frames per second (0: as
fast as the interface accepts them). The file: each frame preceded by its length, 2 bytes, big-endian.
"""

import ctypes
import json
import signal
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
BURST = 64
_libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
                ("iov", ctypes.POINTER(Iovec)), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("header", Msghdr), ("sent", ctypes.c_uint)]


def write_frames(path, frames):
    with open(path, "wb") as f:
        for frame in frames:
            f.write(struct.pack("!H", len(frame)) + frame)


def read_frames(path):
    with open(path, "rb") as f:
        data = f.read()
    frames, at = [], 0
    while at < len(data):
        size = struct.unpack_from("!H", data, at)[0]
        frames.append(data[at + 2:at + 2 + size])
        at += 2 + size
    return frames


class Volley:
    """All frames, ready for sendmmsg."""

    def __init__(self, frames):
        self.buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
        self.iovecs = (Iovec * len(frames))()
        self.messages = (Mmsghdr * len(frames))()
        for i, buffer in enumerate(self.buffers):
            self.iovecs[i] = Iovec(ctypes.addressof(buffer), len(frames[i]))
            self.messages[i].header.iov = ctypes.pointer(self.iovecs[i])
            self.messages[i].header.iovlen = 1

    def send(self, fd, first, count):
        """How many frames were sent."""
        count = min(count, len(self.messages) - first)
        return max(0, _libc.sendmmsg(fd, ctypes.byref(self.messages[first]), count, 0))


def main():
    interface, path, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        s.bind((interface, 0))
        volley = Volley(read_frames(path))
        ended = []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
        print("ready", flush=True)
        started, sent, at = time.monotonic(), 0, 0
        while not ended:
            if rate and sent > rate * (time.monotonic() - started):
                time.sleep(BURST / rate / 2)
                continue
            went = volley.send(s.fileno(), at, BURST)
            sent, at = sent + went, (at + went) % len(volley.messages)
        print(json.dumps({"sent": sent, "seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    main()
