"""Dumps: order, filters, several at once, changes meanwhile."""

import struct

import xfrmwire as nl
from cases import case

DUMP = nl.REQUEST | nl.DUMP
MANY = 3000


def fill(c, count=3):
    for i in range(count):
        c.allocate(0x300 + i, 0x300 + i, dst=f"10.0.0.{2 + i}")


def quietly_fill(c, count):
    """Allocates more SPIs than a socket's buffer can list."""
    for i in range(0, count, 50):
        c.main.socket.send(b"".join(nl.message("ALLOCSPI", nl.spi_info(0x1000 + i + k, 0x1000 + i + k),
                                               nl.REQUEST) for k in range(50)))
        c.main.receive()


for kind in ("GETSA", "GETPOLICY"):
    @case(f"dump.empty {kind}")
    def _(c, kind=kind):
        c.dump(kind)
        c.dump(kind, b"", DUMP | nl.ACK)
        c.dump(kind, bytes(24))
        c.dump(kind, b"", nl.DUMP | nl.ACK)  # not a request


@case("dump.SAs, newest first")
def _(c):
    fill(c)
    c.allocate(0x400, 0x400)
    c.dump("GETSA")
    c.dump("GETSA", b"", DUMP | nl.ACK)


@case("dump.policies, newest first", needs=("sub_policy",))
def _(c):
    for i in range(7):
        c.policy(nl.attr("POLICY_TYPE", nl.policy_type(i % 2)), direction=i % 3, priority=7 - i)
    c.policy(sel=nl.selector("::", "::", family=10))
    c.dump("GETPOLICY")
    c.dump("GETPOLICY", nl.attr("POLICY_TYPE", nl.policy_type(1)))
    c.dump("GETPOLICY", nl.policy_id(2))


@case("dump.of many policies")
def _(c):
    for i in range(60):
        c.policy(nl.attr("TMPL", nl.template(reqid=i)), sel=nl.selector("10.1.0.0", f"10.2.{i}.0", 24))
    c.dump("GETPOLICY")


@case("dump.of many SAs")
def _(c):
    fill(c, 60)
    c.dump("GETSA")


FILTERS = {
    "proto 0": nl.attr("PROTO", b"\0"), "proto 255": nl.attr("PROTO", b"\xff"),
    "proto ESP": nl.attr("PROTO", b"\x32"), "proto AH": nl.attr("PROTO", b"\x33"),
    "proto 17": nl.attr("PROTO", b"\x11"), "proto of 4 bytes": nl.attr("PROTO", b"\x33\0\0\0"),
    "proto of none": nl.attr("PROTO", b""),
    "destination": nl.attr("ADDRESS_FILTER", nl.address_filter(dst="10.0.0.3", dst_bits=32)),
    "destination /31": nl.attr("ADDRESS_FILTER", nl.address_filter(dst="10.0.0.2", dst_bits=31)),
    "destination /30 with host bits": nl.attr("ADDRESS_FILTER", nl.address_filter(
        dst="10.0.0.1", dst_bits=30)),
    "source": nl.attr("ADDRESS_FILTER", nl.address_filter("10.0.0.1", src_bits=32)),
    "source of nobody": nl.attr("ADDRESS_FILTER", nl.address_filter("10.9.0.0", src_bits=16)),
    "source and destination": nl.attr("ADDRESS_FILTER", nl.address_filter(
        "10.0.0.0", "10.0.0.4", 8, 32)),
    "prefixes 0": nl.attr("ADDRESS_FILTER", nl.address_filter("10.9.9.9", "10.9.9.9")),
    "IPv6": nl.attr("ADDRESS_FILTER", nl.address_filter("2001:db8::", "::", 32, 0, 10)),
    "IPv6 all": nl.attr("ADDRESS_FILTER", nl.address_filter("::", "::", 0, 0, 10)),
    "family 0": nl.attr("ADDRESS_FILTER", nl.address_filter("10.0.0.0", src_bits=8, family=0)),
    "family 77": nl.attr("ADDRESS_FILTER", nl.address_filter("10.0.0.0", src_bits=8, family=77)),
    "prefix 33": nl.attr("ADDRESS_FILTER", nl.address_filter("10.0.0.1", src_bits=33)),
    "prefix 128": nl.attr("ADDRESS_FILTER", nl.address_filter("10.0.0.1", src_bits=128)),
    "prefix 129": nl.attr("ADDRESS_FILTER", nl.address_filter("10.0.0.1", src_bits=129)),
    "destination prefix 255": nl.attr("ADDRESS_FILTER", nl.address_filter(dst_bits=255)),
    "too short": nl.attr("ADDRESS_FILTER", bytes(35)),
    "both": nl.attr("PROTO", b"\x33") + nl.attr("ADDRESS_FILTER", nl.address_filter(
        dst="10.0.0.0", dst_bits=24)),
    "usersa_id before it": nl.sa_id() + nl.attr("PROTO", b"\x33"),
    "usersa_id of a real SA": nl.sa_id(spi=0x300, dst="10.0.0.2"),
    "bytes left over": nl.attr("PROTO", b"\x32") + b"\1\2\3",
    "SA_DIR": nl.attr("SA_DIR", b"\1"), "bad SA_DIR": nl.attr("SA_DIR", b"\7"),
    "mark": nl.attr("MARK", nl.mark(1, 1)), "if_id": nl.attr("IF_ID", nl.u32(1))}
for label, body in FILTERS.items():
    @case(f"dump.filter: {label}", needs=("sa_dir",) if "SA_DIR" in label else ())
    def _(c, body=body):
        fill(c)
        c.allocate(0x400, 0x400)
        c.allocate(0x500, 0x500, family=10, src="2001:db8::1", dst="2001:db8::2")
        c.dump("GETSA", body)


@case("dump.filter errors without extended ACKs")
def _(c):
    by = c.endpoint(extended=False)
    c.dump("GETSA", FILTERS["prefix 129"], by=by)
    c.dump("GETSA", FILTERS["too short"], by=by)
    by = c.endpoint(capped=True)
    c.dump("GETSA", FILTERS["too short"], by=by)


@case("dump.another while one is unfinished")
def _(c):
    quietly_fill(c, MANY)
    c.note("first, not read")
    c.main.socket.send(nl.message("GETSA", b"", DUMP, 900))
    c.main.socket.send(nl.message("GETSA", b"", DUMP, 901))
    c.main.socket.send(nl.message("GETPOLICY", b"", DUMP, 902))
    c.main.socket.send(nl.message("GETSADINFO", nl.u32(0), nl.REQUEST, 903))
    seen, ends = {}, []
    while 900 not in ends:
        found = c.main.receive(c.environment.patience)
        if not found:
            break
        for datagram, _ in found:
            for message in c.split(datagram):
                kind, _, seq = struct.unpack("=HHI", message[4:12])
                seen[kind, seq] = seen.get((kind, seq), 0) + 1
                if kind == nl.ERROR:
                    c.note(f"error {struct.unpack('=i', message[16:20])[0]} for {seq}")
                if kind == nl.DONE:
                    ends.append(seq)
    c.note(*(f"{nl.NAMES[kind]} of {seq}: {count}" for (kind, seq), count in sorted(seen.items())))
    c.dump("GETPOLICY")


@case("dump.two sockets at once")
def _(c):
    quietly_fill(c, MANY)
    other = c.endpoint()
    c.main.socket.send(nl.message("GETSA", b"", DUMP, 900))
    other.socket.send(nl.message("GETSA", b"", DUMP, 901))
    for by in (c.main, other):
        count = 0
        while True:
            found = by.receive(c.environment.patience)
            parts = [m for datagram, _ in found for m in c.split(datagram)]
            count += len(parts)
            if not found or any(m[4] == nl.DONE for m in parts):
                break
        c.note(f"{count} messages")


@case("dump.everything goes meanwhile")
def _(c):
    quietly_fill(c, MANY)
    c.main.socket.send(nl.message("GETSA", b"", DUMP, 900))
    other = c.endpoint()
    c.ask("FLUSHSA", b"\0", by=other)
    parts = []
    while not any(m[4] == nl.DONE for m in parts):
        found = c.main.receive(c.environment.patience)
        if not found:
            break
        parts += [m for datagram, _ in found for m in c.split(datagram)]
    c.note(f"fewer than all: {len(parts) < MANY + 1}",
           f"ends {parts[-1][4]} flags {struct.unpack('=H', parts[-1][6:8])[0]:#x}")


@case("dump.left unfinished")
def _(c):
    quietly_fill(c, MANY)
    leaver = c.endpoint()
    leaver.socket.send(nl.message("GETSA", b"", DUMP, 900))
    leaver.close()
    c.dump("GETSA", nl.attr("PROTO", b"\x33"))
