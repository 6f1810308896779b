"""Headers, flags, types, options of the socket, many messages in one datagram."""

import struct

import xfrmwire as nl
from cases import case, table

INFO = nl.u32(0)
GOOD = nl.message("GETSADINFO", INFO, seq=1)


@case("fresh.index of the first policies")
def _(c):
    for direction in (nl.IN, nl.OUT, nl.FWD):
        c.policy(direction=direction)
    c.ask("DELPOLICY", nl.policy_id(nl.IN))
    c.policy(direction=nl.IN)
    for direction in (nl.IN, nl.OUT, nl.FWD):
        c.ask("GETPOLICY", nl.policy_id(direction), nl.REQUEST)


# --- Headers ---

for size in (1, 4, 15, 16, 17, 19):
    @case(f"header.{size} bytes of it")
    def _(c, size=size):
        c.raw(GOOD[:size])

for length in (0, 1, 15, 16, 17, 19, 21, 24, 0xffffffff):
    @case(f"header.says {length:#x}")
    def _(c, length=length):
        c.raw(nl.message("GETSADINFO", INFO, length=length))

# Bodies that end between the parts of messages, one byte before and at each fixed part.
FIXED = {"NEWSA": 224, "UPDSA": 224, "DELSA": 24, "GETSA": 24, "NEWPOLICY": 168, "UPDPOLICY": 168,
         "DELPOLICY": 64, "GETPOLICY": 64, "ALLOCSPI": 232, "ACQUIRE": 280, "EXPIRE": 232,
         "POLEXPIRE": 176, "FLUSHSA": 1, "NEWAE": 48, "GETAE": 48, "MIGRATE": 64, "GETSADINFO": 4,
         "NEWSPDINFO": 4, "GETSPDINFO": 4, "SETDEFAULT": 3, "GETDEFAULT": 3}
for name, size in FIXED.items():
    @case(f"short.{name}", needs=("migrate",) if name == "MIGRATE" else ())
    def _(c, name=name, size=size):
        for length in sorted({0, 1, size // 2, size - 1}):
            c.ask(name, bytes(length))

for number in (0, 1, 2, 3, 15, 0x20, 0x22, 0x26, 0x2a, 0x30, 0xff, 0x1000, 0xffff):
    @case(f"type.{number:#x}")
    def _(c, number=number):
        c.ask(number, bytes(300))
        c.ask(number, b"")

# --- Flags ---

for flags in (0, nl.ACK, nl.REQUEST, nl.REQUEST | nl.ECHO, nl.REQUEST | nl.ACK | nl.ECHO,
              nl.REQUEST | 2, nl.REQUEST | 0xf000):
    @case(f"flags.{flags:#x} on GETSADINFO")
    def _(c, flags=flags):
        c.ask("GETSADINFO", INFO, flags)

for flags in (nl.CREATE, nl.EXCL, nl.REPLACE, nl.APPEND, nl.CREATE | nl.EXCL, nl.ECHO):
    @case(f"flags.{flags:#x} on NEWPOLICY and UPDPOLICY")
    def _(c, flags=flags):
        for kind in ("NEWPOLICY", "NEWPOLICY", "UPDPOLICY"):
            c.ask(kind, nl.policy_info(), flags | nl.REQUEST | nl.ACK)

for flags in (nl.REQUEST, nl.ACK, 0):
    @case(f"flags.{flags:#x} on requests that fail")
    def _(c, flags=flags):
        c.ask("DELSA", nl.sa_id(), flags)
        c.ask("NEWPOLICY", nl.policy_info(direction=7), flags)
        c.ask("FLUSHSA", b"", flags)

table("flags.dump bits are none on", "GETAE", {"GETAE": nl.aevent_id()},
      flags=nl.REQUEST | nl.DUMP | nl.ACK)
table("flags.dump bits are none on", "GETSADINFO", {"GETSADINFO": INFO},
      flags=nl.REQUEST | nl.DUMP | nl.ACK)
table("flags.dump bits are none on", "GETSPDINFO", {"GETSPDINFO": INFO},
      flags=nl.REQUEST | nl.DUMP | nl.ACK)
table("flags.dump bits are none on", "GETDEFAULT", {"GETDEFAULT": bytes(3)},
      flags=nl.REQUEST | nl.DUMP | nl.ACK, needs=("default",))


@case("flags.one of the dump bits")
def _(c):
    for bit in (0x100, 0x200):
        c.dump("GETSA", b"", nl.REQUEST | bit)
        c.dump("GETPOLICY", b"", nl.REQUEST | bit)


# --- What the client writes into its header ---

@case("pid.of events is what the client wrote")
def _(c):
    for pid in (0, 4242, 0xffffffff):
        c.ask("NEWPOLICY", nl.policy_info(), pid=pid)
        c.ask("UPDPOLICY", nl.policy_info(priority=3), pid=pid)
        c.ask("DELPOLICY", nl.policy_id(), pid=pid)


@case("pid.of answers is the port")
def _(c):
    c.ask("GETSADINFO", INFO, pid=4242)
    c.ask("NEWPOLICY", nl.policy_info())
    c.ask("GETPOLICY", nl.policy_id(), pid=4242)
    c.dump("GETPOLICY")
    c.ask("DELSA", nl.sa_id(), pid=4242)


@case("pid.of GETAE's answer is what the client wrote")
def _(c):
    c.allocate(0x300, 0x300)
    c.ask("GETAE", nl.aevent_id(spi=0x300), nl.REQUEST, pid=4242)


@case("seq.zero and the largest")
def _(c):
    for seq in (0, 0xffffffff):
        c.raw(nl.message("NEWPOLICY", nl.policy_info(), seq=seq))
        c.raw(nl.message("DELPOLICY", nl.policy_id(), seq=seq))
        c.raw(nl.message("DELPOLICY", nl.policy_id(), seq=seq))


# --- Options ---

def errors(c, by):
    c.ask("DELSA", nl.sa_id(), by=by)
    c.ask("NEWPOLICY", nl.policy_info(share=9), by=by)
    c.ask("NEWSA", nl.sa_info() + nl.attr("MARK", bytes(4)), by=by)
    c.ask("FLUSHPOLICY", b"", by=by)
    c.ask("NEWPOLICY", nl.policy_info(), by=by)


for extended in (False, True):
    for capped in (False, True):
        @case(f"option.extended {extended} capped {capped}")
        def _(c, extended=extended, capped=capped):
            errors(c, c.endpoint(extended=extended, capped=capped))


@case("option.taken back")
def _(c):
    by = c.endpoint(extended=True, capped=True)
    for option in (nl.NETLINK_EXT_ACK, nl.NETLINK_CAP_ACK):
        by.socket.setsockopt(nl.SOL_NETLINK, option, 0)
    errors(c, by)


# --- Several messages in one datagram ---

def numbered(*messages):
    return b"".join(nl.message(kind, body, seq=100 + i) + bytes(-len(body) % 4)
                    for i, (kind, body) in enumerate(messages))


@case("batch.policies")
def _(c):
    c.raw(numbered(*(("NEWPOLICY", nl.policy_info(nl.selector("10.1.0.0", f"10.9.{i}.0", 24)))
                     for i in range(20))))
    c.dump("GETPOLICY")


@case("batch.an error between others stops nothing")
def _(c):
    c.raw(numbered(("NEWPOLICY", nl.policy_info()), ("NEWPOLICY", nl.policy_info()),
                   ("DELSA", nl.sa_id()), ("FLUSHSA", b""), ("DELPOLICY", nl.policy_id()),
                   ("GETSADINFO", INFO)))


@case("batch.a length that lies ends it")
def _(c):
    c.raw(GOOD + nl.message("GETSADINFO", INFO, seq=2, length=15) + GOOD)
    c.raw(GOOD + nl.message("GETSADINFO", INFO, seq=2, length=999) + GOOD)
    c.raw(GOOD + b"\1\2\3")


@case("batch.unpadded lengths")
def _(c):
    c.raw(nl.message("FLUSHSA", b"\0", seq=1) + bytes(3) + GOOD)
    c.raw(nl.message("FLUSHSA", b"\0", seq=1) + bytes(2) + GOOD)


@case("batch.a hundred questions")
def _(c):
    c.raw(numbered(*(("GETSADINFO", INFO) for _ in range(100))))


@case("batch.without ACK only errors come")
def _(c):
    c.raw(b"".join(nl.message(kind, body, nl.REQUEST, 50 + i) for i, (kind, body) in enumerate((
        ("NEWPOLICY", nl.policy_info()), ("DELSA", nl.sa_id()), ("DELPOLICY", nl.policy_id()),
        ("DELPOLICY", nl.policy_id())))))


@case("batch.a dump and a question")
def _(c):
    c.policy()
    c.raw(nl.message("GETPOLICY", b"", nl.REQUEST | nl.DUMP, 9) + GOOD)
    c.read(c.main, 0.2)


@case("large.body of 60000 bytes")
def _(c):
    c.ask("GETSADINFO", bytes(60000))
    c.ask("NEWPOLICY", nl.policy_info() + nl.attr(60, bytes(60000)))


@case("large.many unknown attributes")
def _(c):
    c.ask("GETSA", nl.sa_id() + b"".join(nl.attr(kind, bytes(100)) for kind in range(60, 160)))


@case("empty.datagram")
def _(c):
    c.raw(b"")
    c.ask("GETSADINFO", INFO)


@case("echo.what failed is echoed whole, padding and all")
def _(c):
    for rest in (b"", b"\1", b"\1\2", b"\1\2\3", b"\1\2\3\4\5"):
        c.ask("DELSA", nl.sa_id() + rest)
    c.ask("DELSA", nl.sa_id() + nl.attr(200, struct.pack("=I", 7)))
