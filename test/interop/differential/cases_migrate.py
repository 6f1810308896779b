"""MIGRATE, the ACQUIRE request, and messages that only the kernel may send."""

import xfrmwire as nl
from cases import case, table

MIGRATE = ("migrate",)
MOVE = nl.attr("MIGRATE", nl.migrate())


def prepared(c, templates=nl.template(), extra=b"", **kwargs):
    c.policy(nl.attr("TMPL", templates) + extra, **kwargs)


table("migrate.nothing there", "MIGRATE", {
    "no attribute": nl.policy_id(), "one": nl.policy_id() + MOVE,
    "zero entry": nl.policy_id() + nl.attr("MIGRATE", bytes(76)),
    "a zero body, as libreswan asks": bytes(64) + nl.attr("MIGRATE", bytes(76)),
    "short": nl.policy_id() + nl.attr("MIGRATE", bytes(75)), "dir 3": nl.policy_id(3) + MOVE,
    "type 9": nl.policy_id() + MOVE + nl.attr("POLICY_TYPE", nl.policy_type(9))}, needs=MIGRATE)

ENTRIES = {
    "one that fits": nl.migrate(), "twice": nl.migrate() * 2, "six": b"".join(
        nl.migrate(old=("10.0.0.1", f"10.0.0.{2 + i}")) for i in range(6)),
    "seven": b"".join(nl.migrate(old=("10.0.0.1", f"10.0.0.{2 + i}")) for i in range(7)),
    "a rest": nl.migrate() + bytes(10), "another reqid": nl.migrate(reqid=2),
    "reqid 0": nl.migrate(reqid=0), "another mode": nl.migrate(mode=0), "mode 9": nl.migrate(mode=9),
    "proto 0": nl.migrate(proto=0), "proto AH": nl.migrate(proto=nl.AH),
    "proto 255": nl.migrate(proto=255), "proto 17": nl.migrate(proto=17),
    "another source": nl.migrate(old=("10.9.9.9", "10.0.0.2")),
    "another destination": nl.migrate(old=("10.0.0.1", "10.9.9.9")),
    "to no address": nl.migrate(new=("0.0.0.0", "10.0.0.4")),
    "to no destination": nl.migrate(new=("10.0.0.3", "0.0.0.0")),
    "zero": bytes(76), "to itself": nl.migrate(new=("10.0.0.1", "10.0.0.2")),
    "family 0": nl.migrate(family=0), "family 0 to 2": nl.migrate(family=0, new_family=2),
    "to IPv6": nl.migrate(new=("2001:db8::1", "2001:db8::2"), new_family=10),
    "of IPv6": nl.migrate(("2001:db8::1", "2001:db8::2"), ("2001:db8::3", "2001:db8::4"), family=10)}
for label, entries in ENTRIES.items():
    @case(f"migrate.entry: {label}", needs=MIGRATE)
    def _(c, entries=entries):
        prepared(c)
        c.ask("MIGRATE", nl.policy_id() + nl.attr("MIGRATE", entries), pid=4242)
        c.dump("GETPOLICY")

for mode in (0, 1, 2, 4):
    @case(f"migrate.template of mode {mode}", needs=MIGRATE)
    def _(c, mode=mode):
        prepared(c, nl.template(mode=mode))
        c.ask("MIGRATE", nl.policy_id() + nl.attr("MIGRATE", nl.migrate(mode=mode)))
        c.dump("GETPOLICY")


@case("migrate.template of IPv6 in an IPv4 policy", needs=MIGRATE)
def _(c):
    old, new = ("2001:db8::1", "2001:db8::2"), ("2001:db8::3", "2001:db8::4")
    prepared(c, nl.template(*old, family=10))
    c.ask("MIGRATE", nl.policy_id() + nl.attr("MIGRATE", nl.migrate(old, new, family=10)))
    c.dump("GETPOLICY")
    c.ask("MIGRATE", nl.policy_id() + nl.attr("MIGRATE", nl.migrate(
        new, ("10.0.0.3", "10.0.0.4"), family=10, new_family=2)))
    c.dump("GETPOLICY")


@case("migrate.several templates", needs=MIGRATE)
def _(c):
    prepared(c, nl.template() + nl.template(dst="10.0.0.9", reqid=2) + nl.template(mode=0))
    c.ask("MIGRATE", nl.policy_id() + nl.attr("MIGRATE", nl.migrate() + nl.migrate(
        ("10.0.0.1", "10.0.0.9"), ("10.0.0.5", "10.0.0.6"), reqid=2)))
    c.dump("GETPOLICY")


@case("migrate.two templates by one entry", needs=MIGRATE)
def _(c):
    prepared(c, nl.template() * 2)
    c.ask("MIGRATE", nl.policy_id() + MOVE)
    c.dump("GETPOLICY")


@case("migrate.again finds nothing", needs=MIGRATE)
def _(c):
    prepared(c)
    c.ask("MIGRATE", nl.policy_id() + MOVE)
    c.ask("MIGRATE", nl.policy_id() + MOVE)


@case("migrate.policy without templates", needs=MIGRATE)
def _(c):
    c.policy()
    c.ask("MIGRATE", nl.policy_id() + MOVE)
    c.dump("GETPOLICY")


@case("migrate.direction and type count", needs=(*MIGRATE, "sub_policy"))
def _(c):
    sub = nl.attr("POLICY_TYPE", nl.policy_type(1))
    prepared(c, direction=0)
    prepared(c, extra=sub)
    c.ask("MIGRATE", nl.policy_id(1) + MOVE)
    c.ask("MIGRATE", nl.policy_id(0) + MOVE)
    c.ask("MIGRATE", nl.policy_id(1) + MOVE + sub)
    c.dump("GETPOLICY")


@case("migrate.mark and if_id", needs=MIGRATE)
def _(c):
    prepared(c, extra=nl.attr("MARK", nl.mark(1, 1)))
    c.ask("MIGRATE", nl.policy_id() + MOVE)
    c.ask("MIGRATE", nl.policy_id() + MOVE + nl.attr("MARK", nl.mark(1, 1)))
    prepared(c, extra=nl.attr("IF_ID", nl.u32(4)))
    c.ask("MIGRATE", nl.policy_id() + MOVE)
    c.ask("MIGRATE", nl.policy_id() + MOVE + nl.attr("IF_ID", nl.u32(4)))
    c.dump("GETPOLICY")


@case("migrate.by index", needs=MIGRATE)
def _(c):
    prepared(c, index=0x5001)
    c.ask("MIGRATE", nl.policy_id(1, 0x5001, bytes(56)) + MOVE)
    c.ask("MIGRATE", nl.policy_id(1, 0x7777) + MOVE)


@case("migrate.with address of the key manager and encap", needs=MIGRATE)
def _(c):
    for extra in (nl.attr("KMADDRESS", nl.kmaddress()), nl.attr("ENCAP", nl.encap()),
                  nl.attr("KMADDRESS", nl.kmaddress("10.0.0.7", "10.0.0.8"))
                  + nl.attr("ENCAP", nl.encap(1, 2)), nl.attr("ENCAP", nl.encap(kind=1)),
                  nl.attr("KMADDRESS", nl.kmaddress(family=0))):
        prepared(c)
        c.ask("MIGRATE", nl.policy_id() + MOVE + extra)
        c.ask("DELPOLICY", nl.policy_id())


@case("migrate.nobody listens", needs=MIGRATE, listener=False)
def _(c):
    prepared(c)
    c.ask("MIGRATE", nl.policy_id() + MOVE)


@case("migrate.host bits and priorities of policies", needs=MIGRATE)
def _(c):
    prepared(c, sel=nl.selector("10.1.2.3", "10.2.3.4", 16), priority=5)
    c.ask("MIGRATE", nl.policy_id(sel=nl.selector("10.1.0.0", "10.2.0.0", 16)) + MOVE)
    c.ask("MIGRATE", nl.policy_id(sel=nl.selector("10.1.2.3", "10.2.3.4", 16)) + MOVE)


@case("migrate.larvals stay where they are", needs=MIGRATE)
def _(c):
    prepared(c)
    c.allocate(0x300, 0x300)
    c.ask("MIGRATE", nl.policy_id() + MOVE)
    c.dump("GETSA")


# --- MIGRATE_STATE ---

STATE = ("migrate_state",)
PLACE = {"new": ("10.0.0.3", "10.0.0.4")}
for label, body in {
        "nothing there": nl.migrate_state(**PLACE), "SPI 0": nl.migrate_state(spi=0, **PLACE),
        "short": nl.migrate_state(**PLACE)[:-4], "reserved": nl.migrate_state(reserved=1, **PLACE),
        "flags": nl.migrate_state(flags=0x8f, **PLACE),
        "new family 0": nl.migrate_state(new_family=0, **PLACE),
        "new family 3": nl.migrate_state(new_family=3, **PLACE),
        "selector of family 3": nl.migrate_state(sel=nl.selector(family=3), **PLACE),
        "selector too long": nl.migrate_state(sel=nl.selector(bits=33), **PLACE),
        "selector too long, not used": nl.migrate_state(sel=nl.selector(bits=33), flags=2, **PLACE),
        "proto 17": nl.migrate_state(proto=17, **PLACE),
        "encap": nl.migrate_state(**PLACE) + nl.attr("ENCAP", nl.encap()),
        "encap of type 7": nl.migrate_state(**PLACE) + nl.attr("ENCAP", nl.encap(kind=7)),
        "SA_DIR": nl.migrate_state(**PLACE) + nl.attr("SA_DIR", b"\1"),
        "SA_PCPU": nl.migrate_state(**PLACE) + nl.attr("SA_PCPU", nl.u32(0)),
        "TFCPAD": nl.migrate_state(**PLACE) + nl.attr("TFCPAD", nl.u32(0)),
        "IF_ID behind a mark": nl.migrate_state(**PLACE) + nl.attr("MARK", nl.mark(0, 0))
        + nl.attr("IF_ID", nl.u32(0))}.items():
    @case(f"migrate state.{label}", needs=STATE)
    def _(c, body=body):
        c.ask("MIGRATE_STATE", body, pid=4242)

for label, body in {
        "to other addresses": nl.migrate_state(**PLACE), "to itself": nl.migrate_state(),
        "another reqid": nl.migrate_state(reqid=9),
        "to IPv6": nl.migrate_state(new=("2001:db8::1", "2001:db8::2"), new_family=10),
        "selector": nl.migrate_state(sel=nl.selector("10.1.0.0", "10.2.0.0", 16), **PLACE),
        "selector of hosts that it does not have": nl.migrate_state(flags=2, **PLACE),
        "no offload": nl.migrate_state(flags=1, **PLACE),
        "encap": nl.migrate_state(**PLACE) + nl.attr("ENCAP", nl.encap()),
        "no encap": nl.migrate_state(**PLACE) + nl.attr("ENCAP", nl.encap(kind=0)),
        "encap of type 7": nl.migrate_state(**PLACE) + nl.attr("ENCAP", nl.encap(kind=7)),
        "timer without encap": nl.migrate_state(**PLACE) + nl.attr("MTIMER_THRESH", nl.u32(5)),
        "keepalive without encap": nl.migrate_state(**PLACE) + nl.attr("NAT_KEEPALIVE", nl.u32(5))
        }.items():
    @case(f"esp.migrate state: {label}", needs=STATE)
    def _(c, body=body):
        c.ask("NEWSA", nl.sa_info() + nl.attr("ALG_AEAD", nl.aead()))
        c.ask("MIGRATE_STATE", body, pid=4242)
        c.ask("MIGRATE_STATE", body)
        c.dump("GETSA")


@case("esp.migrate state: the place is taken", needs=STATE)
def _(c):
    for dst in ("10.0.0.2", "10.0.0.4"):
        c.ask("NEWSA", nl.sa_info(dst=dst) + nl.attr("ALG_AEAD", nl.aead()))
    c.ask("MIGRATE_STATE", nl.migrate_state(**PLACE))
    c.dump("GETSA")


# --- ACQUIRE by request ---

ANY = nl.policy_info(nl.selector())
ACQUIRES = {
    "as the selftests": nl.acquire(ANY, algorithms=(0xfeed, 0xbaad, 0xbabe)) + nl.attr(
        "TMPL", nl.template()),
    "two templates": nl.acquire(ANY) + nl.attr("TMPL", nl.template() + nl.template(
        "10.0.0.5", "10.0.0.6", reqid=9, proto=nl.AH)),
    "no template": nl.acquire(ANY), "seq": nl.acquire(ANY, seq=77) + nl.attr("TMPL", nl.template()),
    "bad share": nl.acquire(nl.policy_info(share=9)) + nl.attr("TMPL", nl.template()),
    "bad direction": nl.acquire(nl.policy_info(direction=9)) + nl.attr("TMPL", nl.template()),
    "zero policy": nl.acquire(bytes(168)) + nl.attr("TMPL", nl.template()),
    "seven templates": nl.acquire(ANY) + nl.attr("TMPL", nl.template() * 7),
    "bad template": nl.acquire(ANY) + nl.attr("TMPL", nl.template(proto=17)),
    "another address": nl.acquire(ANY, "10.0.0.8", "10.0.0.9", nl.AH) + nl.attr(
        "TMPL", nl.template()),
    "selector": nl.acquire(ANY, sel=nl.selector("10.1.0.1", "10.2.0.1", 32, proto=17, sport=1,
                                                sport_mask=0xffff)) + nl.attr("TMPL", nl.template()),
    "mark and if_id": nl.acquire(ANY) + nl.attr("TMPL", nl.template()) + nl.attr(
        "MARK", nl.mark(1, 1)) + nl.attr("IF_ID", nl.u32(5)),
    "type SUB": nl.acquire(ANY) + nl.attr("TMPL", nl.template()) + nl.attr(
        "POLICY_TYPE", nl.policy_type(1)),
    "index and priority": nl.acquire(nl.policy_info(nl.selector(), priority=3, index=0x6001)) + nl.attr(
        "TMPL", nl.template()),
    "IPv6": nl.acquire(nl.policy_info(nl.selector("::", "::", family=10)), "2001:db8::2",
                       "2001:db8::1") + nl.attr("TMPL", nl.template(
                           "2001:db8::1", "2001:db8::2", family=10)),
    "optional": nl.acquire(ANY) + nl.attr("TMPL", nl.template(mode=0, optional=1))}
for label, body in ACQUIRES.items():
    @case(f"acquire.by request: {label}")
    def _(c, body=body):
        c.renderer.given_indexes.add(0x6001)
        c.ask("ACQUIRE", body, pid=4242)
        c.ask("ACQUIRE", body, nl.REQUEST)
        c.dump("GETSA")
        c.dump("GETPOLICY")


@case("acquire.by request, nobody listens", listener=False)
def _(c):
    c.ask("ACQUIRE", ACQUIRES["as the selftests"])
    c.ask("ACQUIRE", ACQUIRES["bad share"])


@case("acquire.by request: CPU", needs=("sa_pcpu",))
def _(c):
    body = nl.acquire(ANY) + nl.attr("TMPL", nl.template())
    for cpu in (0, 1, 99999):
        c.ask("ACQUIRE", body + nl.attr("SA_PCPU", nl.u32(cpu)))


table("kernel only", "REPORT", {"REPORT": bytes(60), "REPORT, short": b""})
table("kernel only", "MAPPING", {"MAPPING": bytes(64), "MAPPING, short": b""})
table("kernel only", "NEWSADINFO", {"NEWSADINFO": bytes(4), "NEWSADINFO, short": b""})
