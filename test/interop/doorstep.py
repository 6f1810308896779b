"""A client's way to cygnetd (src/netlink/rendezvous.h), played step by step: what the shim and the
command do in C++, for tests that bypass them or stop half-way.
"""

import os
import socket
import struct

XFRM, OPERATOR = 1, 2
GROUPS = 0xc79ce7a6
KNOCK, ANSWER, CONFIRM = 8, 9, 10
USERSOCK, ROUTE = 2, 0
MESSAGE = struct.Struct("=IHHII" "II" "16s" "i" "39s" "5x")


def ports():
    """Port ids of the sockets that the kernel let into the groups, in this thread's namespace."""
    with open("/proc/thread-self/net/netlink", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return [int(r[2]) for r in rows if r[1] == str(USERSOCK) and int(r[3], 16) == GROUPS]


def message(kind, service, nonce, name=b"", error=0):
    return MESSAGE.pack(MESSAGE.size, kind, 0, 0, 0, 1, service, nonce, error, name)


def random_name():
    return b"cygnet/" + os.urandom(16).hex().encode()


class Knock:
    """The first half: a listener, and the question to the daemon."""

    def __init__(self, service, port=None):
        self.service, self.nonce, self.name = service, os.urandom(16), random_name()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE)
        self.port = port or ports()[0]
        self.listener.bind(b"\0" + self.name)
        self.listener.listen(16)
        self.netlink.bind((0, 0))
        self.netlink.settimeout(10)
        self.send(KNOCK, self.name)

    def send(self, kind, name):
        self.netlink.sendto(message(kind, self.service, self.nonce, name), (self.port, 0))

    def finish(self):
        """The connection."""
        try:
            while True:
                data, (port, _) = self.netlink.recvfrom(4096)
                fields = MESSAGE.unpack(data)
                if port == self.port and fields[1] == ANSWER and fields[7] == self.nonce:
                    break
            if fields[8]:
                raise OSError(fields[8], os.strerror(fields[8]))
            while True:
                connection, address = self.listener.accept()
                if address == b"\0" + fields[9]:
                    break
                connection.close()
            self.send(CONFIRM, fields[9])
            return connection
        finally:
            self.close()

    def close(self):
        self.listener.close()
        self.netlink.close()


def meet(service=XFRM):
    """Like the C++ client: if strangers have filled the listener's queue, the next one has another name."""
    for _ in range(1000):
        try:
            return Knock(service).finish()
        except BlockingIOError:
            pass
    raise TimeoutError("strangers at every listener")
