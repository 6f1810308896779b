#!/usr/bin/python3
"""A raw NETLINK_XFRM client. As a program it obeys JSON lines on stdin, so that the test can run it
where it likes: behind the shim, in front of the kernel, without privilege. As a module it has the
messages to send and the `Client` that drives the program.

Structures are those of linux/xfrm.h; be: network byte order, the rest is the host's.
"""

import json
import os
import socket
import struct
import subprocess
import sys

NETLINK_XFRM = 6
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
REQUEST, ACK, DUMP = 1, 4, 0x300
CAPPED, ACK_TLVS = 0x100, 0x200
ERROR, DONE = 2, 3
TYPES = {name: 0x10 + i for i, name in enumerate(
    "NEWSA DELSA GETSA NEWPOLICY DELPOLICY GETPOLICY ALLOCSPI ACQUIRE EXPIRE UPDPOLICY UPDSA "
    "POLEXPIRE FLUSHSA FLUSHPOLICY NEWAE GETAE REPORT MIGRATE NEWSADINFO GETSADINFO NEWSPDINFO "
    "GETSPDINFO MAPPING SETDEFAULT GETDEFAULT".split())}
NAMES = {number: name for name, number in TYPES.items()} | {ERROR: "ERROR", DONE: "DONE"}
ATTR = {"ALG_AUTH": 1, "ALG_CRYPT": 2, "ALG_COMP": 3, "ENCAP": 4, "TMPL": 5, "SEC_CTX": 8,
        "LTIME_VAL": 9, "REPLAY_VAL": 10, "REPLAY_THRESH": 11, "ETIMER_THRESH": 12, "SRCADDR": 13,
        "COADDR": 14, "POLICY_TYPE": 16, "ALG_AEAD": 18, "ALG_AUTH_TRUNC": 20, "MARK": 21,
        "TFCPAD": 22, "REPLAY_ESN_VAL": 23, "SA_EXTRA_FLAGS": 24, "PROTO": 25, "ADDRESS_FILTER": 26,
        "OFFLOAD_DEV": 28, "SET_MARK": 29, "SET_MARK_MASK": 30, "IF_ID": 31, "MTIMER_THRESH": 32,
        "SA_DIR": 33}
INF = 2**64 - 1


def addr(text):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_pton(family, text).ljust(16, b"\0")


def selector(src="0.0.0.0", dst="0.0.0.0", bits=0, family=2, proto=0):
    return (addr(dst) + addr(src) + bytes(8)
            + struct.pack("=HBBB3xiI", family, bits, bits, proto, 0, 0))


def lifetime(hard_packets=INF):
    return struct.pack("=8Q", INF, INF, INF, hard_packets, 0, 0, 0, 0)


def sa_info(src="10.0.0.1", dst="10.0.0.2", spi=0x100, proto=50, mode=1, family=2, reqid=1,
            window=0, flags=0, seq=0, sel=None):
    return (selector(family=0) if sel is None else sel) + addr(dst) + struct.pack(
        "!IB3x", spi, proto) + addr(src) + lifetime() + bytes(32 + 12) + struct.pack(
            "=IIHBBB7x", seq, reqid, family, mode, window, flags)


def sa_id(dst="10.0.0.2", spi=0x100, proto=50, family=2):
    return addr(dst) + struct.pack("!I", spi) + struct.pack("=HBx", family, proto)


def spi_info(low=0x100, high=0x1ff, **kwargs):
    return sa_info(spi=0, **kwargs) + struct.pack("=II", low, high)


def policy_info(sel=None, direction=1, action=0, priority=0, index=0, share=0):
    sel = selector("10.1.0.0", "10.2.0.0", 16) if sel is None else sel
    return sel + lifetime() + bytes(32) + struct.pack("=IIBBBB4x", priority, index, direction, action,
                                                      0, share)


def policy_id(direction=1, index=0, sel=None):
    sel = selector("10.1.0.0", "10.2.0.0", 16) if sel is None else sel
    return sel + struct.pack("=IB3x", index, direction)


def template(src="10.0.0.1", dst="10.0.0.2", proto=50, mode=1, family=2, reqid=1, optional=0):
    return (addr(dst) + struct.pack("!IB3x", 0, proto) + struct.pack("=H2x", family) + addr(src)
            + struct.pack("=IBBBxIII", reqid, mode, 0, optional, *[0xffffffff] * 3))


def aead(key=b"k" * 20, icv_bits=128, name=b"rfc4106(gcm(aes))", key_bits=None):
    bits = len(key) * 8 if key_bits is None else key_bits
    return name.ljust(64, b"\0") + struct.pack("=II", bits, icv_bits) + key


def esn(window=32, words=1, given=None, oseq=0, seq=0):
    return struct.pack("=6I", words, oseq, seq, 0, 0, window) + bytes(
        4 * (words if given is None else given))


def attr(kind, payload, length=None):
    """`length`: what the header claims."""
    size = 4 + len(payload) if length is None else length
    return struct.pack("=HH", size, ATTR.get(kind, kind)) + payload + bytes(-len(payload) % 4)


def message(kind, body=b"", flags=REQUEST | ACK, seq=1, length=None):
    size = 16 + len(body) if length is None else length
    return struct.pack("=IHHII", size, TYPES.get(kind, kind), flags, seq, 0) + body


def parse(datagram):
    """[(type, flags, seq, payload)]; of errors the payload is (errno, text, attribute offset)."""
    found = []
    while len(datagram) >= 16:
        size, kind, flags, seq, _ = struct.unpack("=IHHII", datagram[:16])
        if size < 16:
            break
        payload = datagram[16:size]
        if kind == ERROR:
            payload = _error(payload, flags)
        elif kind == DONE:
            payload = struct.unpack("=i", payload[:4])[0]
        found.append((NAMES.get(kind, kind), flags, seq, payload))
        datagram = datagram[(size + 3) & ~3:]
    return found


def _error(payload, flags):
    number, echoed = struct.unpack("=iI", payload[:8])
    text, offset = None, None
    if flags & ACK_TLVS:
        rest = payload[20 if flags & CAPPED else 4 + ((echoed + 3) & ~3):]
        while len(rest) >= 4:
            size, kind = struct.unpack("=HH", rest[:4])
            if kind == 1:
                text = rest[4:size].rstrip(b"\0").decode()
            elif kind == 2:
                offset = struct.unpack("=I", rest[4:8])[0]
            rest = rest[(size + 3) & ~3:]
    return (-number, text, offset)


class Client:
    """The program below, somewhere else: `argv` is what to put in front of it."""

    def __init__(self, namespace, argv=()):
        self.proc = namespace.popen([*argv, "/usr/bin/python3", os.path.abspath(__file__)],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, **request):
        self.proc.stdin.write(json.dumps(request) + "\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        if not line:
            raise RuntimeError(f"the client ended: {self.proc.wait()}")
        return json.loads(line)

    def open(self, groups=0, extended=True):
        """A socket's number, or raises with the errno."""
        answer = self.call(op="open", groups=groups, extended=extended)
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return answer["socket"]

    def send(self, number, datagram):
        """0 or an errno."""
        return self.call(op="send", socket=number, data=datagram.hex())["errno"]

    def receive(self, number, wait=0.0):
        """Parsed messages that are there, after waiting for the first."""
        return [m for data in self.call(op="receive", socket=number, wait=wait)["data"]
                for m in parse(bytes.fromhex(data))]

    def ask(self, number, datagram):
        """Replies are there when send() returns (lock-step, as in the kernel)."""
        error = self.send(number, datagram)
        return [("send", error)] if error else self.receive(number)

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(10)
        self.proc.stdout.close()


def _open(sockets, request):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
    s.bind((0, request["groups"]))
    if request["extended"]:
        s.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
    sockets.append(s)
    return {"socket": len(sockets) - 1}


def _receive(sockets, request):
    s = sockets[request["socket"]]
    found = []
    s.settimeout(request["wait"])
    try:
        while True:
            found.append(s.recv(1 << 17).hex())
            s.settimeout(0.0)
    except (BlockingIOError, TimeoutError):
        return {"data": found}


def main():
    sockets = []
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"errno": 0}
        try:
            if request["op"] == "open":
                answer = _open(sockets, request)
            elif request["op"] == "send":
                sockets[request["socket"]].send(bytes.fromhex(request["data"]))
            else:
                answer = _receive(sockets, request)
        except OSError as error:
            answer = {"errno": error.errno, "data": []}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
