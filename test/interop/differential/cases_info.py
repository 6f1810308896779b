"""Contents of the tables, thresholds, default actions, flushes."""

import xfrmwire as nl
from cases import case, table

table("info.GETSADINFO", "GETSADINFO", {
    "flags 0": nl.u32(0), "flags all": nl.u32(0xffffffff), "longer": nl.u32(5) + bytes(4)})
table("info.GETSPDINFO", "GETSPDINFO", {
    "flags 0": nl.u32(0), "flags all": nl.u32(0xffffffff), "longer": nl.u32(5) + bytes(4)})


@case("info.counts follow")
def _(c):
    for direction in (nl.IN, nl.OUT, nl.OUT, nl.FWD):
        c.policy(direction=direction, sel=nl.selector("10.1.0.0", "10.2.0.0", 16 + direction))
    c.policy(nl.attr("POLICY_TYPE", nl.policy_type(1)))
    c.allocate(0x300, 0x300)
    c.allocate(0x301, 0x301)
    c.ask("GETSPDINFO", nl.u32(0), nl.REQUEST)
    c.ask("GETSADINFO", nl.u32(0), nl.REQUEST)
    c.ask("FLUSHSA", b"\0")
    c.ask("FLUSHPOLICY")
    c.ask("GETSPDINFO", nl.u32(0), nl.REQUEST)
    c.ask("GETSADINFO", nl.u32(0), nl.REQUEST)


# --- Thresholds: attributes of their own numbers, 3 and 4 ---

def thresholds(c, *attributes):
    c.ask("NEWSPDINFO", nl.u32(0) + b"".join(nl.attr(kind, value) for kind, value in attributes))
    c.ask("GETSPDINFO", nl.u32(0), nl.REQUEST)


for label, attributes in {
        "none": (), "v4 24 16": ((3, bytes([24, 16])),), "v6 64 48": ((4, bytes([64, 48])),),
        "both": ((3, bytes([8, 8])), (4, bytes([8, 8]))), "v4 33": ((3, bytes([33, 0])),),
        "v4 remote 33": ((3, bytes([0, 33])),), "v6 129": ((4, bytes([129, 0])),),
        "v6 remote 129": ((4, bytes([0, 129])),), "v4 good v6 bad": ((3, bytes([1, 1])),
                                                                    (4, bytes([200, 0]))),
        "short": ((3, b"\1"),), "empty": ((4, b""),), "longer": ((3, bytes([5, 6, 7, 8])),),
        "unknown": ((9, bytes(4)), (1, bytes(24)), (2, bytes(8))), "0 0": ((3, bytes(2)),
                                                                       (4, bytes(2)))}.items():
    @case(f"thresholds.{label}")
    def _(c, attributes=attributes):
        thresholds(c, *attributes)


# --- Defaults ---

for label, body in {"block all": bytes([1, 1, 1]), "accept all": bytes([2, 2, 2]),
                    "in only": bytes([1, 0, 0]), "fwd only": bytes([0, 1, 0]),
                    "out only": bytes([0, 0, 1]), "of 4 bytes": bytes([1, 2, 1, 9]),
                    "odd values": bytes([3, 77, 255]), "nothing": bytes(3)}.items():
    @case(f"default.set {label}", needs=("default",))
    def _(c, body=body):
        c.ask("SETDEFAULT", body)
        c.ask("GETDEFAULT", bytes(3), nl.REQUEST)
        c.ask("GETDEFAULT", bytes([9, 9, 9, 9]))


@case("default.event comes as if nobody had asked", needs=("default",))
def _(c):
    c.ask("SETDEFAULT", bytes([1, 2, 1]), pid=4242)
    c.ask("SETDEFAULT", bytes([1, 2, 1]), nl.REQUEST, pid=4242)


# --- Flushes ---

for proto in (0, 17, nl.ESP, nl.AH, nl.COMP, nl.ROUTING, 255):
    @case(f"flush.SAs of proto {proto}")
    def _(c, proto=proto):
        c.ask("FLUSHSA", bytes([proto]))
        c.allocate(0x300, 0x300)
        c.allocate(0x301, 0x301)
        c.allocate(0x302, 0x302)
        c.ask("FLUSHSA", bytes([proto]))
        c.ask("FLUSHSA", bytes([proto, 1, 2, 3]))
        c.dump("GETSA")


@case("flush.policies of a type", needs=("sub_policy",))
def _(c):
    sub = nl.attr("POLICY_TYPE", nl.policy_type(1))
    c.policy()
    c.policy(sub)
    c.ask("FLUSHPOLICY", sub)
    c.ask("FLUSHPOLICY", sub)
    c.dump("GETPOLICY")
    c.policy(sub)
    c.ask("FLUSHPOLICY")
    c.ask("FLUSHPOLICY")
    c.dump("GETPOLICY")
    c.ask("FLUSHPOLICY", nl.attr("POLICY_TYPE", nl.policy_type(2)))
    c.ask("FLUSHPOLICY", nl.attr("POLICY_TYPE", nl.policy_type(255)))


@case("flush.of nothing causes no event")
def _(c):
    c.ask("FLUSHSA", b"\0")
    c.ask("FLUSHPOLICY")
    c.ask("FLUSHPOLICY", bytes(8))


@case("flush.without ACK")
def _(c):
    c.policy()
    c.allocate(0x300, 0x300)
    c.ask("FLUSHPOLICY", b"", nl.REQUEST)
    c.ask("FLUSHSA", b"\0", nl.REQUEST)
