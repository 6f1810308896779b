"""The socket itself: addresses, options, privilege, and what happens to it in a child."""

import ctypes
import errno
import os
import socket
import struct

import xfrmwire as nl
from cases import case

NET_ADMIN = 12
INFO = nl.u32(0)


def outcome(function, *args):
    try:
        result = function(*args)
        return "done" if result is None else str(result)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def drop_privilege():
    """Drops CAP_NET_ADMIN from the effective set (capset(2), version 3)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    if libc.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    sets = list(struct.unpack("=6I", data.raw[:24]))
    sets[0] &= ~(1 << NET_ADMIN)  # only the effective set counts; the permitted set stays
    if libc.capset(header, struct.pack("=6I", *sets)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def in_child(c, function):
    """Runs in a child and copies its notes."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            c.lines = []
            function()
            os.write(writer, "\n".join(c.lines).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    c.note(*text.splitlines(), f"child ended {os.waitstatus_to_exitcode(status)}")


@case("privilege.none: every request", listener=False)
def _(c):
    c.policy()

    def without():
        drop_privilege()
        by = c.endpoint()
        for kind in sorted(set(nl.TYPES) - {"REPORT", "MAPPING", "NEWSADINFO", "MIGRATE_STATE"}):
            c.ask(kind, bytes(300), by=by)
        c.ask("GETSA", b"", nl.REQUEST | nl.DUMP, by=by)
        c.ask("GETPOLICY", b"", nl.REQUEST | nl.DUMP | nl.ACK, by=by)
        c.ask(0x2a, b"", by=by)
        c.ask(3, b"", by=by)
        c.ask("FLUSHPOLICY", b"", nl.ACK, by=by)
        c.ask("DELPOLICY", bytes(3), by=by)
    in_child(c, without)
    c.dump("GETPOLICY")


@case("privilege.none: nothing is heard", listener=False)
def _(c):
    """A kernel lets anybody bind to the groups of other families, but to XFRM's only with the capability."""
    reader, writer = os.pipe()
    done, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        drop_privilege()
        try:
            listener = c.endpoint(groups=0xff)
            os.write(told, b"1")
            os.read(reader, 1)
            heard = [d for d, sender in listener.receive(0.2) if sender]
            os.write(told, b"%d" % min(len(heard), 9))
        except OSError:
            os.write(told, b"E")
        os._exit(0)
    if os.read(done, 1) == b"1":
        c.policy()
        os.write(writer, b"1")
        c.note(f"heard {os.read(done, 1).decode()}")
    else:
        c.note("cannot bind")
    os.waitpid(pid, 0)
    for fd in (reader, writer, done, told):
        os.close(fd)


@case("socket.address")
def _(c):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, nl.NETLINK_XFRM)
    c.note(f"unbound {s.getsockname()}")
    s.send(nl.message("GETSADINFO", INFO, nl.REQUEST))
    c.note(f"bound by the first send {s.getsockname()[0] != 0} groups {s.getsockname()[1]}",
           f"answer {len(s.recv(4096))}")
    s.close()
    for address in ((0, 0), (0, 0xff), (os.getpid() + 100000, 5)):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nl.NETLINK_XFRM)
        c.note(f"bind {outcome(s.bind, address)} pid {s.getsockname()[0] != 0} "
               f"groups {s.getsockname()[1]:#x}")
        c.note(f"again {outcome(s.bind, (s.getsockname()[0], 1))} groups {s.getsockname()[1]:#x}",
               f"to another {outcome(s.bind, (77, 1))}")
        s.close()


@case("socket.a port that is taken")
def _(c):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nl.NETLINK_XFRM)
    c.note(outcome(s.bind, (c.main.port, 0)))
    s.close()


@case("socket.connected")
def _(c):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nl.NETLINK_XFRM)
    c.note(outcome(s.connect, (0, 0)), str(s.getpeername()))
    s.send(nl.message("GETSADINFO", INFO, nl.REQUEST))
    c.note(f"answer {len(s.recv(4096))}")
    s.close()


@case("socket.sent to an address")
def _(c):
    for address in ((0, 0), (0, 1), (c.main.port, 0), (0x7ffffff0, 0)):
        c.note(f"{'own' if address[0] == c.main.port else address}: " + outcome(
            c.main.socket.sendto, nl.message("GETSADINFO", INFO, nl.REQUEST), address))
        c.note(f"answers {len([1 for _, sender in c.main.receive() if sender])}")


@case("socket.options")
def _(c):
    s = c.main.socket
    for option in (3, 4, 5, 8, 10, 11, 12):
        for value in (1, 0, 7):
            c.note(f"{option} = {value}: {outcome(s.setsockopt, nl.SOL_NETLINK, option, value)} "
                   f"{outcome(s.getsockopt, nl.SOL_NETLINK, option)}")
    for option in (0, 13, 99):
        c.note(f"{option}: {outcome(s.setsockopt, nl.SOL_NETLINK, option, 1)} "
               f"{outcome(s.getsockopt, nl.SOL_NETLINK, option)}")
    for name in ("SO_DOMAIN", "SO_PROTOCOL", "SO_TYPE", "SO_ERROR", "SO_ACCEPTCONN"):
        number = {"SO_DOMAIN": 39, "SO_PROTOCOL": 38}.get(name) or getattr(socket, name)
        c.note(f"{name} {outcome(s.getsockopt, socket.SOL_SOCKET, number)}")


@case("socket.used by a child")
def _(c):
    in_child(c, lambda: c.ask("NEWPOLICY", nl.policy_info()))
    c.ask("NEWPOLICY", nl.policy_info())


@case("socket.duplicated")
def _(c):
    other = c.main.socket.dup()
    c.main.socket.send(nl.message("GETSADINFO", INFO, nl.REQUEST, 7))
    c.note(f"answer {len(other.recv(4096))}")
    other.close()
    c.ask("GETSADINFO", INFO)


@case("socket.written to and read from")
def _(c):
    fd = c.main.socket.fileno()
    c.note(str(os.write(fd, nl.message("GETSADINFO", INFO, nl.REQUEST, 7))))
    c.note(str(len(os.read(fd, 4096))), outcome(os.set_blocking, fd, False), outcome(os.read, fd, 9))
    os.set_blocking(fd, True)


@case("socket.two hundred of them")
def _(c):
    many = [c.endpoint() for _ in range(200)]
    for by in (many[0], many[-1]):
        c.ask("GETSADINFO", INFO, nl.REQUEST, by=by)
    for endpoint in many:
        endpoint.close()
    c.ask("GETSADINFO", INFO, nl.REQUEST)


for family, level, option in (("IPv4", socket.IPPROTO_IP, 17), ("IPv6", socket.IPPROTO_IPV6, 35)):
    @case(f"bypass.{family} by socket policy")
    def _(c, family=family, level=level, option=option):
        udp = socket.socket(socket.AF_INET if family == "IPv4" else socket.AF_INET6, socket.SOCK_DGRAM)
        sel = nl.selector() if family == "IPv4" else nl.selector("::", "::", family=10)
        for direction in (0, 1, 2):
            c.note(f"dir {direction}: " + outcome(
                udp.setsockopt, level, option, nl.policy_info(sel, direction)))
        for body in (b"", nl.policy_info(sel)[:100], nl.policy_info(sel, share=9)):
            c.note(f"{len(body)} bytes: {outcome(udp.setsockopt, level, option, body)}")
        c.ask("GETSPDINFO", INFO, nl.REQUEST)
        c.dump("GETPOLICY")
        udp.close()
