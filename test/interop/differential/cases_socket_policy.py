"""Socket policies: setsockopt() of IP_XFRM_POLICY and IPV6_XFRM_POLICY, and how they are shown. From
port 0 to no destination: test_socket_policies.py tests what they let pass.
"""

import ctypes
import os
import socket
import subprocess

import xfrmwire as nl
from cases import case
from cases_sockets import INFO, drop_privilege, in_child, outcome

V4, V6 = (socket.AF_INET, socket.IPPROTO_IP, 17), (socket.AF_INET6, socket.IPPROTO_IPV6, 35)
ANY = {socket.AF_INET: nl.selector(), socket.AF_INET6: nl.selector("::", "::", family=10)}
IN, OUT = 0, 1


def opened(way=V4, kind=socket.SOCK_DGRAM, protocol=0):
    return socket.socket(way[0], kind, protocol)


def wish(way=V4, direction=OUT, **kwargs):
    return nl.policy_info(ANY[way[0]], direction, **kwargs)


def put(c, s, body, way=V4, label=None):
    c.note(f"{label or len(body)}: {outcome(s.setsockopt, way[1], way[2], body)}")


def clear(c, s, way=V4):
    """Calls setsockopt() with NULL, which Python cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.setsockopt(s.fileno(), way[1], way[2], None, 0)
    c.note(f"cleared: {result} {ctypes.get_errno() if result else ''}")


def look(c):
    c.ask("GETSPDINFO", INFO, nl.REQUEST)
    return c.dump("GETPOLICY")


def index_of(messages, direction):
    """The index of the first policy shown for the direction."""
    for message in messages:
        if message[4:6] == bytes([nl.TYPES["NEWPOLICY"], 0]) and message[16 + 160] == direction:
            return int.from_bytes(message[16 + 156:16 + 160], "little")
    return 0


def of_sockets(c, expected, patience=100):
    """Waits until there are that many: on both sides they disappear shortly after their socket."""
    for _ in range(patience):
        c.main.socket.send(nl.message("GETSPDINFO", INFO, nl.REQUEST))
        answer = c.main.socket.recv(4096)
        counts = dict(nl.attributes(answer[20:]))[1]
        found = [int.from_bytes(counts[i:i + 4], "little") for i in (12, 16, 20)]
        if found == expected:
            break
        c.silence(0.01)
    c.note(f"of sockets: {found}")


for name, way_of in (("IPv4", V4), ("IPv6", V6)):
    @case(f"socketpolicy.{name}: directions and lengths")
    def _(c, way=way_of):
        s = opened(way)
        for direction in (IN, OUT, 2, 3, 9):
            put(c, s, wish(way, direction), way, f"dir {direction}")
        for body in (b"", wish(way)[:100], wish(way) + b"x" * 10, wish(way) + bytes(4000),
                     bytes(5000)):
            put(c, s, body, way)
        look(c)
        s.close()
        of_sockets(c, [0, 0, 0])

    @case(f"socketpolicy.{name}: what is in it")
    def _(c, way=way_of):
        s = opened(way)
        family = int(way[0])
        for label, body in {
                "share 9": wish(way, share=9), "action 2": wish(way, action=2),
                "flags": wish(way, flags=3), "priority": wish(way, priority=77),
                "index of its own": wish(way, index=0x101), "index of in": wish(way, index=0x100),
                "family 0": nl.policy_info(nl.selector(family=0)),
                "family 9": nl.policy_info(nl.selector(family=9)),
                "prefix": nl.policy_info(nl.selector(
                    "10.0.0.0" if family == 2 else "fd00::", "10.0.0.0" if family == 2 else "fd00::",
                    8, family)),
                "prefix too long": nl.policy_info(nl.selector(
                    "10.0.0.0" if family == 2 else "fd00::", "10.0.0.0" if family == 2 else "fd00::",
                    129, family)),
                "ports": nl.policy_info(nl.selector(
                    "0.0.0.0" if family == 2 else "::", "0.0.0.0" if family == 2 else "::", 0, family,
                    proto=17, sport=500, sport_mask=0xffff, dport=4500, dport_mask=0xff00)),
                "limits": wish(way, limits=nl.lifetime(hard_add=1, soft_use=3)),
                "block": wish(way, action=1)}.items():
            put(c, s, body, way, label)
            c.dump("GETPOLICY")
        s.close()
        of_sockets(c, [0, 0, 0])

    @case(f"socketpolicy.{name}: by the other family's option")
    def _(c, way=way_of):
        other = V6 if way is V4 else V4
        s = opened(way)
        put(c, s, wish(other), (way[0], other[1], other[2]), "option")
        put(c, s, wish(other), way, "selector")
        look(c)
        s.close()
        of_sockets(c, [0, 0, 0])  # the daemon hears of it a little later


@case("socketpolicy.each is replaced by the next")
def _(c):
    s = opened()
    for direction in (OUT, IN, OUT, OUT):
        put(c, s, wish(direction=direction, priority=5))
        look(c)
    clear(c, s)
    look(c)
    clear(c, s)


@case("socketpolicy.TCP has them as well")
def _(c):
    s = opened(kind=socket.SOCK_STREAM)
    put(c, s, wish())
    look(c)
    s.close()
    of_sockets(c, [0, 0, 0])


@case("socketpolicy.raw")
def _(c):
    put(c, opened(kind=socket.SOCK_RAW, protocol=89), wish())


@case("socketpolicy.with a template")
def _(c):
    s = opened()
    put(c, s, wish() + nl.template(), label="one")
    s.close()
    s = opened()
    put(c, s, wish() + 7 * nl.template(), label="seven")
    put(c, s, wish() + nl.template(family=10, mode=0), label="of another family")
    put(c, s, wish() + nl.template(proto=17), label="for UDP")
    put(c, s, wish() + nl.template(mode=9), label="in mode 9")


@case("socketpolicy.not of this kind")
def _(c):
    s = socket.socket(socket.AF_UNIX)
    put(c, s, wish(), V4, "unix")
    put(c, s, wish(), V6, "unix")
    reader, writer = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)
    for fd in (reader, 99):
        c.note(f"{libc.setsockopt(fd, 0, 17, bytes(168), 168)} {ctypes.get_errno()}")
    for fd in (reader, writer):
        os.close(fd)
    s = opened()
    c.note(f"NULL: {libc.setsockopt(s.fileno(), 0, 17, None, 168)} {ctypes.get_errno()}")
    value = ctypes.create_string_buffer(168)
    size = ctypes.c_uint(168)
    c.note(f"get: {libc.getsockopt(s.fileno(), 0, 17, value, ctypes.byref(size))} "
           f"{ctypes.get_errno()}")


@case("socketpolicy.out of the reach of requests")
def _(c):
    s = opened()
    put(c, s, wish())
    put(c, s, wish(direction=IN))
    messages = look(c)
    for direction in (3, 4):
        index = index_of(messages, direction)
        for low in (0, 1, direction):
            c.ask("GETPOLICY", nl.policy_id(low, index), nl.REQUEST)
            c.ask("DELPOLICY", nl.policy_id(low, index))
            c.ask("POLEXPIRE", nl.policy_expire(direction=low, index=index))
    for direction in (0, 1, 3, 4):
        c.ask("DELPOLICY", nl.policy_id(direction, sel=nl.selector()))
    c.ask("FLUSHPOLICY")
    look(c)


@case("socketpolicy.beside those of the SPD")
def _(c):
    c.policy()
    s = opened()
    put(c, s, wish(priority=3))
    look(c)
    c.policy(sel=nl.selector())
    c.ask("FLUSHPOLICY")
    look(c)


@case("socketpolicy.duplicates and children hold it")
def _(c):
    s = opened()
    put(c, s, wish())
    copy = s.dup()
    s.close()
    of_sockets(c, [0, 1, 0])
    child = subprocess.Popen(["sleep", "600"], pass_fds=[copy.fileno()])
    copy.close()
    of_sockets(c, [0, 1, 0])
    child.kill()
    child.wait()
    of_sockets(c, [0, 0, 0])


@case("socketpolicy.without privilege", listener=False)
def _(c):
    s = opened()

    def without():
        drop_privilege()
        put(c, s, wish())
        put(c, s, b"")
        put(c, s, wish()[:100])
        clear(c, s)
    in_child(c, without)
    of_sockets(c, [0, 0, 0])
