"""Attributes: too short, of the wrong length, not allowed, double, unknown, cut off."""

import xfrmwire as nl
from cases import case

# The smallest length of each.
MINIMUM = {"SA": 224, "POLICY": 168, "LASTUSED": 8, "ALG_AUTH_TRUNC": 72, "ALG_AEAD": 72,
           "ALG_AUTH": 68, "ALG_CRYPT": 68, "ALG_COMP": 68, "ENCAP": 24, "TMPL": 64, "SEC_CTX": 8,
           "LTIME_VAL": 32, "REPLAY_VAL": 12, "REPLAY_THRESH": 4, "ETIMER_THRESH": 4, "SRCADDR": 16,
           "COADDR": 16, "POLICY_TYPE": 6, "MIGRATE": 76, "KMADDRESS": 40, "MARK": 8, "TFCPAD": 4,
           "REPLAY_ESN_VAL": 24, "SA_EXTRA_FLAGS": 4, "PROTO": 1, "ADDRESS_FILTER": 36,
           "OFFLOAD_DEV": 8, "SET_MARK": 4, "SET_MARK_MASK": 4, "IF_ID": 4, "MTIMER_THRESH": 4}
BODIES = {"NEWSA": nl.sa_info(), "DELSA": nl.sa_id(), "NEWPOLICY": nl.policy_info(direction=7),
          "GETPOLICY": nl.policy_id(), "ALLOCSPI": nl.spi_info(2, 1), "EXPIRE": nl.sa_expire(),
          "NEWAE": nl.aevent_id(), "FLUSHPOLICY": b"", "ACQUIRE": nl.acquire(nl.policy_info(share=9)),
          "GETSADINFO": nl.u32(0), "SETDEFAULT": bytes(4)}

for attribute, least in MINIMUM.items():
    @case(f"attribute.{attribute} is too short")
    def _(c, attribute=attribute, least=least):
        for size in sorted({0, least // 2, least - 1}):
            c.ask("NEWSA", nl.sa_info() + nl.attr(attribute, bytes(size)))
            c.ask("NEWPOLICY", nl.policy_info(direction=7) + nl.attr(attribute, bytes(size)))

for kind, body in BODIES.items():
    @case(f"attribute.of {kind} are checked", needs=("default",) if kind == "SETDEFAULT" else ())
    def _(c, kind=kind, body=body):
        c.ask(kind, body + nl.attr("MARK", bytes(7)))
        c.ask(kind, body + nl.attr("MARK", bytes(8)) + nl.attr("TMPL", bytes(63)))
        c.ask(kind, body + nl.attr("TMPL", bytes(63)) + nl.attr("MARK", bytes(7)))

    @case(f"attribute.of {kind}: SA_DIR", needs=("sa_dir",))
    def _(c, kind=kind, body=body):
        for value in (b"", b"\0", b"\1", b"\3", b"\xff", b"\1\0", nl.u32(1)):
            c.ask(kind, body + nl.attr("SA_DIR", value))

    @case(f"attribute.of {kind}: SA_PCPU", needs=("sa_pcpu",))
    def _(c, kind=kind, body=body):
        for value in (b"", b"\0", nl.u32(0), bytes(8)):
            c.ask(kind, body + nl.attr("SA_PCPU", value))

STRICT = {"NAT_KEEPALIVE": 4, "IPTFS_DROP_TIME": 4, "IPTFS_REORDER_WINDOW": 2, "IPTFS_DONT_FRAG": 0,
          "IPTFS_INIT_DELAY": 4, "IPTFS_MAX_QSIZE": 4, "IPTFS_PKT_SIZE": 4}
for attribute, exact in STRICT.items():
    @case(f"attribute.{attribute} is exact", needs=("sa_pcpu",))
    def _(c, attribute=attribute, exact=exact):
        for size in sorted({0, 1, exact, exact + 1, exact + 4}):
            c.ask("NEWSA", nl.sa_info() + nl.attr(attribute, bytes(size)))

for flag in (0x4000, 0x8000, 0xc000):
    @case(f"attribute.with flag {flag:#x}", needs=("sa_dir",))
    def _(c, flag=flag):
        for attribute, size in (("MARK", 8), ("SA_DIR", 1), ("TMPL", 63)):
            c.ask("NEWSA", nl.sa_info() + nl.attr(nl.ATTR[attribute] | flag, b"\1" * size))


@case("attribute.unknown ones are ignored")
def _(c):
    for number in (0, 27, 42, 43, 63, 64, 255, 0x1fff):
        c.ask("NEWPOLICY", nl.policy_info(direction=7) + nl.attr(number, b"\1\2\3\4"))


@case("attribute.the last of two counts")
def _(c):
    c.policy(nl.attr("MARK", nl.mark(1, 1)) + nl.attr("MARK", nl.mark(2, 3)), action=1)
    c.policy(nl.attr("IF_ID", nl.u32(4)) + nl.attr("IF_ID", nl.u32(5)), action=1)
    c.policy(nl.attr("TMPL", nl.template()) + nl.attr("TMPL", nl.template(reqid=8) * 2))
    c.dump("GETPOLICY")


@case("attribute.bytes left over")
def _(c):
    for rest in (b"\1", b"\1\2\3", b"\5\0\1\0", b"\0\0\0\0", b"\3\0\1\0", b"\xff\xff\1\0"):
        c.ask("DELPOLICY", nl.policy_id() + rest)
        c.ask("NEWPOLICY", nl.policy_info(direction=7) + rest)
        c.ask("UPDPOLICY", nl.policy_info() + rest)
        c.ask("NEWPOLICY", nl.policy_info() + rest)


@case("attribute.length that lies")
def _(c):
    for length in (0, 3, 4, 11, 13, 0xffff):
        c.ask("NEWSA", nl.sa_info() + nl.attr("MARK", bytes(8), length=length))
        c.ask("DELPOLICY", nl.policy_id() + nl.attr("MARK", bytes(8), length=length))


@case("attribute.without its padding")
def _(c):
    c.ask("DELPOLICY", nl.policy_id() + nl.attr("PROTO", b"\1")[:5])
    c.ask("DELPOLICY", nl.policy_id() + nl.attr("PROTO", b"\1")[:7])


@case("attribute.longer than need be")
def _(c):
    c.policy(nl.attr("MARK", nl.mark(1, 1) + bytes(9)) + nl.attr("IF_ID", nl.u32(3) + b"\7" * 5)
             + nl.attr("POLICY_TYPE", nl.policy_type(0) + bytes(30)), action=1)
    c.dump("GETPOLICY")


@case("attribute.of no use to the request")
def _(c):
    extra = b"".join(nl.attr(kind, bytes(MINIMUM[kind])) for kind in (
        "ALG_AEAD", "ENCAP", "LTIME_VAL", "SRCADDR", "MIGRATE", "KMADDRESS", "TFCPAD", "PROTO",
        "ADDRESS_FILTER", "MTIMER_THRESH", "LASTUSED", "SA", "POLICY"))
    c.policy(extra)
    c.ask("GETPOLICY", nl.policy_id() + extra)
    c.ask("GETSADINFO", nl.u32(0) + extra)
    c.ask("DELPOLICY", nl.policy_id() + extra)
