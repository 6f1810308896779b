"""The auditing peer of a cluster of gateways: it reads all that the gateways put on the wire, and knows
the keys. It finds a number or an IV that is used twice, an inner packet that arrives twice, and clear
text; and it says which gateway sent what.
"""

import collections
import select
import socket
import struct
import threading
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import suite
from flow import MARK, widen
from rawwire import FrameSocket, inside

SOL_PACKET, PACKET_STATISTICS = 263, 6
ESP, UDP = 50, 17
WINDOW = 4096
PORT = 7001
KEPT = 200_000  # packets that a sender keeps for a replay


class Bits:
    """A set of integers that are dense in places."""

    def __init__(self):
        self.pages = {}

    def add(self, number):
        """Whether it is new."""
        page = self.pages.setdefault(number >> 15, bytearray(4096))
        at, bit = (number >> 3) & 4095, 1 << (number & 7)
        known = page[at] & bit
        page[at] |= bit
        return not known


class Tally:
    """Numbered packets: how often each arrived, and when."""

    def __init__(self):
        self.counts = bytearray()
        self.unique = self.doubled = 0
        self.last = None
        self.longest = 0.0  # seconds between two arrivals

    def take(self, number):
        if number >= len(self.counts):
            self.counts.extend(bytes(number - len(self.counts) + 100_000))
        if self.counts[number]:
            self.doubled += 1
        else:
            self.unique += 1
            self.counts[number] = 1
        now = time.monotonic()
        if self.last is not None:
            self.longest = max(self.longest, now - self.last)
        self.last = now

    def missing(self, first, end):
        """Numbers of [first, end) that did not arrive."""
        return end - first - sum(self.counts[first:end])


class Audited:
    """One SA of the gateways towards the peer: what they sealed, and what a receiver accepts of it."""

    esn = True

    def __init__(self, spi, material, high=0):
        self.spi, self.salt = spi, material[-4:]
        self.cipher = AESGCM(material[:-4])
        self.high = high  # of an ESN
        self.numbers, self.ivs = Bits(), Bits()
        self.masks = set()
        self.top = 0
        self.sealed = self.repeated = self.repeated_ivs = self.forged = self.old = 0
        self.ranges = {}  # gateway: [[first, last] of runs of numbers]

    def open(self, esp, gateway):
        """The inner packet if a receiver accepts it, or None."""
        low = int.from_bytes(esp[4:8], "big")
        try:
            text = self._text(esp, low)
        except InvalidTag:
            self.forged += 1
            return None
        seq, iv = self.high << 32 | low, int.from_bytes(esp[8:16], "big")
        self.sealed += 1
        self.masks.add(seq ^ iv)
        self.repeated_ivs += not self.ivs.add(iv)
        if not self.numbers.add(seq):
            self.repeated += 1
            return None
        self._note(gateway, seq)
        if seq + WINDOW <= self.top:
            self.old += 1
            return None
        self.top = max(self.top, seq)
        return text[:len(text) - 2 - text[-2]]

    def _text(self, esp, low):
        """Decrypts. A number that passed 2^32 has the next high half."""
        if not self.esn:
            return self.cipher.decrypt(self.salt + esp[8:16], esp[16:], esp[:8])
        crossed = low < 1 << 30 and self.top & 0xffffffff > 3 << 30
        for high in ((self.high + 1, self.high) if crossed else (self.high,)):
            try:
                aad = esp[:4] + struct.pack("!II", high, low)
                text = self.cipher.decrypt(self.salt + esp[8:16], esp[16:], aad)
                self.high = high
                return text
            except InvalidTag:
                continue
        raise InvalidTag

    def _note(self, gateway, seq):
        runs = self.ranges.setdefault(gateway, [])
        if runs and runs[-1][1] < seq <= runs[-1][1] + 1024:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])


class Auditor(threading.Thread):
    """Reads what the gateways send. `ports`: {interface of the switch: name of the gateway}."""

    def __init__(self, switch, ports):
        super().__init__(daemon=True)
        self.wires = {}
        for port, gateway in ports.items():
            wire = FrameSocket(switch, port, arriving=True)
            widen(wire.socket)
            wire.socket.setblocking(False)
            self.wires[wire.socket] = gateway, wire
        self.sas = {}
        self.frames = self.clear = self.unread = 0
        self.arrived = Tally()  # at the peer's host
        self.first = {}  # gateway: time of its first ESP frame since `mark`
        self.done = threading.Event()

    def add(self, sa):
        self.sas[sa.spi] = sa

    def mark(self):
        self.first = {}

    def run(self):
        sockets = list(self.wires)
        while True:
            readable = select.select(sockets, [], [], 0.2)[0]
            if not readable and self.done.is_set():
                return
            for sock in readable:
                self._drain(sock, self.wires[sock][0])

    def _drain(self, sock, gateway):
        for _ in range(64):
            try:
                self.take(sock.recv(2048), gateway)
            except BlockingIOError:
                return
            except OSError:  # the port went down for a moment
                return

    def take(self, frame, gateway):
        self.frames += 1
        self.clear += MARK in frame
        if frame[12:14] != b"\x08\x00" or frame[23] != ESP:
            return
        sa = self.sas.get(int.from_bytes(frame[34:38], "big"))
        if sa is None:
            return
        self.first.setdefault(gateway, time.monotonic())
        length = int.from_bytes(frame[16:18], "big")  # short frames are padded
        inner = sa.open(frame[34:14 + length], gateway)
        if inner is not None and inner[9] == UDP and inner[32:].startswith(MARK):
            self.arrived.take(int.from_bytes(inner[28:32], "big"))

    def total(self, name):
        return sum(getattr(sa, name) for sa in self.sas.values())

    def close(self):
        self.done.set()
        self.join()
        for _, wire in self.wires.values():
            statistics = wire.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            self.unread += struct.unpack("II", statistics)[1]
            wire.close()


class Paced(threading.Thread):
    """Calls `send_one(number)` `rate` times a second."""

    def __init__(self, rate):
        super().__init__(daemon=True)
        self.rate = rate / suite.SLOWNESS
        self.sent = 0
        self.done = threading.Event()

    def run(self):
        begin, base = time.monotonic(), self.sent
        while not self.done.is_set():
            due = int((time.monotonic() - begin) * self.rate) - (self.sent - base)
            for _ in range(min(due, 100)):
                try:
                    self.send_one(self.sent)
                except OSError:  # no neighbour at present: it is lost
                    pass
                self.sent += 1
            time.sleep(0.001)

    def close(self):
        if self.is_alive():
            self.done.set()
            self.join()


class PeerSender(Paced):
    """Seals numbered datagrams for the host behind the gateways. Keeps what it sent, for replays."""

    esn = True

    def __init__(self, peer, ends, inner_ends, spi, material, rate=2000, seq=0):
        super().__init__(rate)
        with inside(peer):
            self.wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, ESP)
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)  # never read
        self.ends = ends
        self.spi, self.seq, self.salt = spi, seq, material[-4:]
        self.cipher = AESGCM(material[:-4])
        self.head = inner_header(inner_ends)
        self.kept = collections.deque(maxlen=KEPT)

    def seal(self, inner, seq, iv=None):
        pad = -(len(inner) + 2) % 4
        text = inner + bytes(range(1, pad + 1)) + bytes([pad, 4])
        iv = struct.pack("!Q", seq if iv is None else iv)
        aad = struct.pack("!IQ" if self.esn else "!II", self.spi, seq)
        return (struct.pack("!II", self.spi, seq & 0xffffffff) + iv
                + self.cipher.encrypt(self.salt + iv, text, aad))

    def send_one(self, number):
        self.seq += 1
        packet = self.seal(self.head + struct.pack("!I", number) + MARK, self.seq)
        self.kept.append(packet)
        self.put(packet)

    def put(self, packet):
        self.wire.sendto(packet, (self.ends[1], 0))

    def replay(self, packets):
        """Sends them again, as they were."""
        for i, packet in enumerate(packets):
            self.put(packet)
            if i % 32 == 0:
                time.sleep(0.002 * suite.SLOWNESS)  # the rings of the gateway are not the matter

    def close(self):
        super().close()
        self.wire.close()


def ip_header(ends, proto, length):
    """`length`: of what follows."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0x4000, 64, proto, 0,
                     *(socket.inet_aton(end) for end in ends))
    return ip[:10] + struct.pack("!H", suite.checksum(ip)) + ip[12:]


def inner_header(ends):
    """IP and UDP of a datagram with 4 bytes and MARK."""
    length = 8 + 4 + len(MARK)
    return ip_header(ends, UDP, length) + struct.pack("!HHHH", PORT, PORT, length, 0)


class Client(Paced):
    """The host behind the gateways: sends numbered datagrams to the peer's side, and receives its."""

    def __init__(self, namespace, own, far, rate=2000):
        super().__init__(rate)
        with inside(namespace):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        widen(self.socket)
        self.socket.bind((own, PORT))
        self.socket.settimeout(0.2)
        self.far = far
        self.arrived = Tally()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.ended = threading.Event()
        self.reader.start()

    def send_one(self, number):
        self.socket.sendto(struct.pack("!I", number) + MARK, (self.far, PORT))

    def _read(self):
        while not self.ended.is_set():
            try:
                self.arrived.take(int.from_bytes(self.socket.recv(100)[:4], "big"))
            except OSError:  # a timeout, or what ICMP reported
                continue

    def close(self):
        super().close()
        self.ended.set()
        self.reader.join()
        self.socket.close()
