"""NEWPOLICY, UPDPOLICY, DELPOLICY, GETPOLICY, POLEXPIRE: valid policies, and how requests identify them."""

import xfrmwire as nl
from cases import case, table

SUB = nl.attr("POLICY_TYPE", nl.policy_type(1))
OTHER = nl.selector("10.3.0.0", "10.4.0.0", 24)


def mark(value, mask):
    return nl.attr("MARK", nl.mark(value, mask))


def if_id(number):
    return nl.attr("IF_ID", nl.u32(number))


# --- Refused ---

for kind in ("NEWPOLICY", "UPDPOLICY"):
    table(f"policy.{kind} with", kind, {
        "share 3": nl.policy_info(share=3), "share 4": nl.policy_info(share=4),
        "action 1": nl.policy_info(action=1), "action 2": nl.policy_info(action=2),
        "family 0": nl.policy_info(nl.selector(family=0)),
        "family 7": nl.policy_info(nl.selector(family=7)),
        "prefix 33": nl.policy_info(nl.selector(bits=33)),
        "destination prefix 33": nl.policy_info(nl.selector(dst_bits=33)),
        "IPv6 prefix 128": nl.policy_info(nl.selector("::", "::", 128, family=10)),
        "IPv6 prefix 129": nl.policy_info(nl.selector("::", "::", 129, family=10)),
        "dir 2": nl.policy_info(direction=2), "dir 3": nl.policy_info(direction=3),
        "dir 255": nl.policy_info(direction=255),
        "index of another direction": nl.policy_info(index=8),
        "flags 255": nl.policy_info(flags=255, action=1),
        "a zero body": bytes(168)})

for number in (0, 1, 2, 255):
    @case(f"policy.type {number}", needs=("sub_policy",))
    def _(c, number=number):
        extra = nl.attr("POLICY_TYPE", nl.policy_type(number))
        c.policy(extra)
        c.ask("GETPOLICY", nl.policy_id() + extra)
        c.ask("DELPOLICY", nl.policy_id() + extra)


@case("policy.the first fault is reported")
def _(c):
    c.ask("NEWPOLICY", nl.policy_info(nl.selector(family=7, bits=200), share=9, action=9, direction=9))
    c.ask("NEWPOLICY", nl.policy_info(nl.selector(family=7, bits=200), action=9, direction=9))
    c.ask("NEWPOLICY", nl.policy_info(nl.selector(bits=200), direction=9, index=1))
    c.ask("NEWPOLICY", nl.policy_info(direction=9, index=1))
    c.ask("NEWPOLICY", nl.policy_info(index=2) + nl.attr("POLICY_TYPE", nl.policy_type(9)))
    c.ask("NEWPOLICY", nl.policy_info() + nl.attr("POLICY_TYPE", nl.policy_type(9))
          + nl.attr("TMPL", nl.template(mode=9)))


# --- Kinds of policies, stored and shown ---

KINDS = {
    "out": {}, "in": {"direction": 0}, "fwd": {"direction": 2}, "block": {"action": 1},
    "priority": {"priority": 0xffffffff}, "flags": {"flags": 3},
    "flags of a newer kernel": {"flags": 4, "action": 1}, "share": {"share": 2},
    "index": {"index": 0x1001}, "limits": {"limits": nl.lifetime(1, 2, 3, 4, 500, 600, 700, 800)},
    "limits of zero": {"limits": bytes(64)},
    "ports": {"sel": nl.selector("10.1.0.0", "10.2.0.0", 24, proto=17, sport=5000, sport_mask=0xffff,
                                 dport=53, dport_mask=0xff00)},
    "ICMP": {"sel": nl.selector(proto=1, sport=8, sport_mask=0xffff, dport=0, dport_mask=0xffff)},
    "user and interface": {"sel": nl.selector(ifindex=9999, user=77)},
    "host bits": {"sel": nl.selector("10.1.2.3", "10.2.3.4", 16)},
    "all of IPv4": {"sel": nl.selector()}, "all of IPv6": {"sel": nl.selector("::", "::", family=10)},
    "IPv6": {"sel": nl.selector("2001:db8::1", "2001:db8:1::", 64, family=10, dst_bits=48)},
    "host to net": {"sel": nl.selector("10.1.0.1", "10.2.0.0", 32, dst_bits=8)}}
for label, kwargs in KINDS.items():
    @case(f"policy.shown: {label}")
    def _(c, kwargs=kwargs):
        c.policy(**kwargs)
        c.policy(**kwargs)
        direction, sel = kwargs.get("direction", 1), kwargs.get("sel")
        c.ask("GETPOLICY", nl.policy_id(direction, sel=sel), nl.REQUEST)
        c.policy(kind="UPDPOLICY", **kwargs)
        c.dump("GETPOLICY")
        c.ask("DELPOLICY", nl.policy_id(direction, sel=sel))
        c.ask("GETPOLICY", nl.policy_id(direction, sel=sel), nl.REQUEST)


@case("policy.IPv4 addresses with rubbish behind")
def _(c):
    sel = bytearray(nl.selector("10.1.0.0", "10.2.0.0", 16))
    sel[4:16] = b"\7" * 12
    c.policy(sel=bytes(sel))
    c.dump("GETPOLICY")


@case("policy.current lifetime of the request is not taken")
def _(c):
    body = bytearray(nl.policy_info())
    body[120:152] = nl.usage(1, 2, 3, 4)
    c.ask("NEWPOLICY", bytes(body))
    c.dump("GETPOLICY")


# --- Identity ---

@case("identity.selector bytes count")
def _(c):
    for sel in (nl.selector("10.1.0.0", "10.2.0.0", 24), nl.selector("10.1.0.7", "10.2.0.0", 24),
                nl.selector("10.1.0.0", "10.2.0.0", 25),
                nl.selector("10.1.0.0", "10.2.0.0", 24, proto=17),
                nl.selector("10.1.0.0", "10.2.0.0", 24, sport=1),
                nl.selector("10.1.0.0", "10.2.0.0", 24, dport_mask=1),
                nl.selector("10.1.0.0", "10.2.0.0", 24, ifindex=c.environment.ifindex()),
                nl.selector("10.1.0.0", "10.2.0.0", 24, user=5)):
        c.policy(sel=sel, action=1)
        c.policy(sel=sel, action=1, priority=9)
    c.dump("GETPOLICY")


@case("identity.direction, type, mark and if_id count", needs=("sub_policy",))
def _(c):
    for extra in (b"", SUB, mark(1, 1), mark(1, 3), mark(0, 1), if_id(5), SUB + if_id(5)):
        for direction in (nl.IN, nl.OUT):
            c.policy(extra, direction=direction, action=1)
            c.policy(extra, direction=direction, action=1)
    c.dump("GETPOLICY")
    for extra in (if_id(5), mark(1, 3), SUB, b""):
        c.ask("GETPOLICY", nl.policy_id() + extra, nl.REQUEST)
        c.ask("DELPOLICY", nl.policy_id() + extra)
        c.ask("DELPOLICY", nl.policy_id() + extra)


@case("identity.action, priority and templates do not count")
def _(c):
    c.policy()
    c.policy(action=1)
    c.policy(priority=1)
    c.policy(nl.attr("TMPL", nl.template()))


for value, mask in ((1, 1), (3, 1), (0xff, 0xf0), (0, 0xff), (5, 0), (0, 0)):
    @case(f"identity.mark {value:#x}/{mask:#x}")
    def _(c, value=value, mask=mask):
        c.policy(mark(value, mask), action=1)
        c.policy(mark(value & mask, mask), action=1)
        c.ask("GETPOLICY", nl.policy_id(), nl.REQUEST)
        c.ask("GETPOLICY", nl.policy_id() + mark(value, mask), nl.REQUEST)
        c.ask("GETPOLICY", nl.policy_id() + mark(value, 0xffffffff), nl.REQUEST)
        c.ask("DELPOLICY", nl.policy_id() + mark(0, mask))
        c.ask("DELPOLICY", nl.policy_id() + mark(value, mask))
        c.dump("GETPOLICY")


@case("identity.many marks of one selector")
def _(c):
    for value in range(6):
        c.policy(mark(value, 0xff), action=1)
    c.policy(mark(0, 0))
    c.policy(mark(2, 2), action=1)
    for value in (0, 3, 5, 6):
        c.ask("GETPOLICY", nl.policy_id() + mark(value, 0xff), nl.REQUEST)
    c.ask("DELPOLICY", nl.policy_id())
    c.dump("GETPOLICY")


# --- Selections that Cygnet cannot evaluate: refused unless the policy blocks ---

for label, extra, kwargs in (
        ("mark", mark(1, 3), {}), ("if_id", if_id(5), {}),
        ("user", b"", {"sel": nl.selector(user=77)}), ("flags", b"", {"flags": 0x80}),
        ("AH", nl.attr("TMPL", nl.template(proto=nl.AH)), {}),
        ("algorithms", nl.attr("TMPL", nl.template(algorithms=(1, 2, 3))), {"direction": 0})):
    @case(f"selection.{label}")
    def _(c, extra=extra, kwargs=kwargs):
        c.policy(extra, **kwargs)
    @case(f"selection.{label}, blocking")
    def _(c, extra=extra, kwargs=kwargs):
        c.policy(extra, action=1, **kwargs)
        c.dump("GETPOLICY")


@case("selection.an interface of others")
def _(c):
    c.policy(sel=nl.selector(ifindex=9999))
    c.policy(sel=nl.selector(ifindex=9999), action=1)


# --- By index ---

@case("index.get and delete by it")
def _(c):
    c.policy(index=0x1001)
    c.policy(index=0x1009, sel=OTHER)
    c.ask("GETPOLICY", nl.policy_id(1, 0x1001, OTHER), nl.REQUEST)
    c.ask("GETPOLICY", nl.policy_id(0, 0x1001), nl.REQUEST)
    c.ask("GETPOLICY", nl.policy_id(1, 0x1000), nl.REQUEST)
    c.ask("GETPOLICY", nl.policy_id(1, 0x1009, bytes(56)), nl.REQUEST)
    c.ask("GETPOLICY", nl.policy_id(3, 0x1009), nl.REQUEST)
    c.ask("DELPOLICY", nl.policy_id(0, 0x1001))
    c.ask("DELPOLICY", nl.policy_id(1, 0x1001, bytes(56)))
    c.ask("DELPOLICY", nl.policy_id(1, 0x1001, bytes(56)))
    c.ask("DELPOLICY", nl.policy_id(1, 0x1009, bytes(56)))


@case("index.wanted but taken")
def _(c):
    c.policy(index=0x1001)
    c.policy(index=0x1001, sel=OTHER)
    c.policy(index=0x1001)
    c.dump("GETPOLICY")


@case("index.with mark, if_id and type", needs=("sub_policy",))
def _(c):
    c.policy(mark(1, 1) + if_id(7) + SUB, index=0x2001, action=1)
    for extra in (b"", mark(1, 1), if_id(7), SUB, mark(1, 1) + if_id(7), mark(1, 1) + SUB,
                  if_id(7) + SUB, mark(1, 1) + if_id(7) + SUB):
        c.ask("GETPOLICY", nl.policy_id(1, 0x2001) + extra, nl.REQUEST)
    c.ask("DELPOLICY", nl.policy_id(1, 0x2001) + if_id(7) + SUB)
    c.ask("DELPOLICY", nl.policy_id(1, 0x2001) + mark(1, 1) + if_id(7) + SUB)


@case("index.goes up by 8 whatever the direction")
def _(c):
    for i in range(6):
        c.policy(direction=i % 3, sel=nl.selector("10.1.0.0", f"10.{i}.0.0", 16))
    c.ask("DELPOLICY", nl.policy_id(0, sel=nl.selector("10.1.0.0", "10.0.0.0", 16)))
    c.policy(direction=0, sel=OTHER)
    c.dump("GETPOLICY")


@case("index.stays with UPDPOLICY")
def _(c):
    c.policy()
    c.policy(kind="UPDPOLICY", priority=3)
    c.policy(kind="UPDPOLICY", priority=4, index=0x3001)
    c.dump("GETPOLICY")
    c.policy(kind="UPDPOLICY", sel=OTHER, index=0x3001)
    c.dump("GETPOLICY")


# --- Update ---

@case("update.makes what is not there")
def _(c):
    c.policy(kind="UPDPOLICY")
    c.policy()
    c.dump("GETPOLICY")


@case("update.replaces everything")
def _(c):
    c.policy(nl.attr("TMPL", nl.template() * 2), priority=5, flags=1)
    c.policy(nl.attr("TMPL", nl.template(reqid=9)), kind="UPDPOLICY", priority=7, action=1,
             limits=nl.lifetime(hard_add=900))
    c.dump("GETPOLICY")
    c.policy(kind="UPDPOLICY")
    c.dump("GETPOLICY")


@case("update.of the order")
def _(c):
    sels = [nl.selector("10.1.0.0", f"10.2.{i}.0", 24) for i in range(4)]
    for i, sel in enumerate(sels):
        c.policy(sel=sel, priority=i)
    c.policy(kind="UPDPOLICY", sel=sels[0], priority=9)
    c.policy(kind="UPDPOLICY", sel=sels[2], priority=2)
    c.dump("GETPOLICY")


# --- Missing ---

table("missing.GETPOLICY", "GETPOLICY", {
    "selector": nl.policy_id(), "index": nl.policy_id(index=9), "dir 3": nl.policy_id(3),
    "dir 255": nl.policy_id(255), "index of another dir": nl.policy_id(0, 9),
    "zero body": bytes(64), "family 0": nl.policy_id(sel=nl.selector(family=0)),
    "family 9": nl.policy_id(sel=nl.selector(family=9)),
    "prefix 77": nl.policy_id(sel=nl.selector(bits=77)),
    "type 2": nl.policy_id() + nl.attr("POLICY_TYPE", nl.policy_type(2))})
table("missing.DELPOLICY", "DELPOLICY", {
    "selector": nl.policy_id(), "index": nl.policy_id(index=9), "dir 3": nl.policy_id(3),
    "index of another dir": nl.policy_id(0, 9), "zero body": bytes(64),
    "type 2": nl.policy_id() + nl.attr("POLICY_TYPE", nl.policy_type(2))})
table("missing.POLEXPIRE", "POLEXPIRE", {
    "selector": nl.policy_expire(), "soft": nl.policy_expire(0), "dir 3": nl.policy_expire(direction=3),
    "index": nl.policy_expire(index=9), "zero body": bytes(176),
    "type 2": nl.policy_expire() + nl.attr("POLICY_TYPE", nl.policy_type(2))})


# --- POLEXPIRE ---

for hard in (0, 1, 2, 255):
    @case(f"polexpire.hard {hard}")
    def _(c, hard=hard):
        c.policy(nl.attr("TMPL", nl.template()), limits=nl.lifetime(hard_add=900))
        c.ask("POLEXPIRE", nl.policy_expire(hard), pid=4242)
        c.ask("GETPOLICY", nl.policy_id(), nl.REQUEST)
        c.ask("POLEXPIRE", nl.policy_expire(hard), nl.REQUEST)


@case("polexpire.by index, mark, if_id and type", needs=("sub_policy",))
def _(c):
    c.policy(mark(1, 1) + if_id(7) + SUB, index=0x4001, action=1)
    c.ask("POLEXPIRE", nl.policy_expire(0, index=0x4001))
    c.ask("POLEXPIRE", nl.policy_expire(0, index=0x4001) + mark(1, 1) + if_id(7) + SUB)
    c.ask("POLEXPIRE", nl.policy_expire(1) + mark(1, 1) + if_id(7) + SUB)


# --- Security context and offload, which this kernel may lack ---

for label, context in {"empty": nl.security_context(), "one": nl.security_context(b"system_u\0"),
                       "shorter than it says": nl.security_context(b"abc", claimed=9),
                       "longer than the attribute": nl.security_context(b"abc", length=99),
                       "length zero": nl.security_context(b"abc", length=0)}.items():
    @case(f"policy.security context: {label}")
    def _(c, context=context):
        c.policy(nl.attr("SEC_CTX", context))
        c.ask("GETPOLICY", nl.policy_id() + nl.attr("SEC_CTX", context))
        c.ask("DELPOLICY", nl.policy_id() + nl.attr("SEC_CTX", context))
        c.ask("DELPOLICY", nl.policy_id())

for flags in (0, 1, 2, 4, 6, 8, 255):
    @case(f"policy.offload flags {flags}")
    def _(c, flags=flags):
        c.policy(nl.attr("OFFLOAD_DEV", nl.offload(c.environment.ifindex(), flags)))
        c.policy(nl.attr("OFFLOAD_DEV", nl.offload(77777, flags)), sel=OTHER)
