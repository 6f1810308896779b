#!/usr/bin/python3
"""A raw NETLINK_XFRM client. As a program it executes JSON lines from stdin, so that the test can run it
where it wants: behind the shim, in front of the kernel, without privilege. As a module it has the
messages to send (of xfrmwire) and the `Client` that drives the program.
"""

import json
import os
import socket
import sys

from lineprogram import LineProgram
from xfrmwire import *  # pylint: disable=wildcard-import,unused-wildcard-import


class Client(LineProgram):
    """The program below, somewhere else: `argv` is put in front of it."""

    def __init__(self, namespace, argv=()):
        super().__init__(namespace, __file__, argv)

    def call(self, **request):
        return self.ask_line(request)

    def open(self, groups=0, extended=True):
        """Opens a socket and returns its number; raises with the errno."""
        answer = self.call(op="open", groups=groups, extended=extended)
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return answer["socket"]

    def send(self, number, datagram):
        """0 or an errno."""
        return self.call(op="send", socket=number, data=datagram.hex())["errno"]

    def receive(self, number, wait=0.0):
        """The parsed messages that have arrived, after waiting for the first."""
        return [m for data in self.call(op="receive", socket=number, wait=wait)["data"]
                for m in parse(bytes.fromhex(data))]

    def ask(self, number, datagram):
        """Sends a request and returns its replies, which exist when send() returns (lock-step, as in the kernel)."""
        error = self.send(number, datagram)
        return [("send", error)] if error else self.receive(number)


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
