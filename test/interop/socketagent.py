#!/usr/bin/python3
"""A program with sockets that have IPsec policies. As a program it runs JSON lines of Python from
stdin, so that the test can run it where it wants: behind the shim, without privilege. As a module
it has the `Agent` that drives the program.
"""

import ctypes
import errno
import json
import os  # pylint: disable=unused-import
import socket
import struct  # pylint: disable=unused-import
import subprocess  # pylint: disable=unused-import
import sys
import traceback

import xfrmwire as nl
from lineprogram import LineProgram

IP_XFRM_POLICY, IPV6_XFRM_POLICY = 17, 35
IN, OUT = 0, 1
ALLOW, BLOCK = 0, 1


class Agent(LineProgram):
    """The program below, somewhere else: `argv` is put in front of it."""

    def __init__(self, namespace, argv=()):
        super().__init__(namespace, __file__, argv)

    def do(self, *lines):
        """Runs statements; returns the value that they left in `result`."""
        answer = self.ask_line("\n".join(lines))
        if "trace" in answer:
            raise RuntimeError(answer["trace"])
        return answer["result"]


# --- Used by the program's lines ---

def info(direction, action=ALLOW, family=socket.AF_INET, selector=None, **kwargs):
    if selector is None:
        zero = "0.0.0.0" if family == socket.AF_INET else "::"
        selector = nl.selector(zero, zero, 0, family)
    return nl.policy_info(selector, direction, action, limits=bytes(64), **kwargs)


def set_policy(s, value):
    """0 or an errno."""
    level, name = ((socket.SOL_IP, IP_XFRM_POLICY) if s.family == socket.AF_INET
                   else (socket.IPPROTO_IPV6, IPV6_XFRM_POLICY))
    try:
        s.setsockopt(level, name, value)
        return 0
    except OSError as error:
        return error.errno


def allow(s, **kwargs):
    """The IKE daemon's bypass: both directions. 0 or an errno."""
    return (set_policy(s, info(OUT, family=s.family, **kwargs))
            or set_policy(s, info(IN, family=s.family, **kwargs)))


def clear(s):
    """setsockopt() with NULL, which Python does not have."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.setsockopt(s.fileno(), socket.SOL_IP, IP_XFRM_POLICY, None, 0)
    return 0 if result == 0 else ctypes.get_errno()


def udp(port=None, host="", family=socket.AF_INET, policy=True):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if port is not None:
        s.bind((host, port))
    if policy and (error := allow(s)):
        raise OSError(error, errno.errorcode[error])
    return s


def unless_refused(act):
    """If the host's kernel has XFRM, it checks the socket's policy as well."""
    try:
        act()
    except PermissionError:
        pass


def received(s, seconds):
    """A datagram's text, or None."""
    s.settimeout(seconds)
    try:
        return s.recv(65536).decode(errors="replace")
    except TimeoutError:
        return None


def main():
    names = dict(globals())
    for line in sys.stdin:
        names["result"] = None
        try:
            exec(json.loads(line), names)  # pylint: disable=exec-used
            answer = {"result": names["result"]}
        except Exception:  # reported to the test, which decides
            answer = {"trace": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
