"""ALLOCSPI, and the larval states that it makes: got, listed, deleted, expired."""

import xfrmwire as nl
from cases import case

SIX = {"family": 10, "src": "2001:db8::1", "dst": "2001:db8::2"}
# A kernel gives up after as many random tries as the range is long, so the ranges are not short.
RANGES = {"one": (0x300, 0x300), "some": (0x300, 0x33f), "charon's": (0xc0000000, 0xcfffffff),
          "zero": (0, 0), "all": (0, 0xffffffff), "backwards": (2, 1),
          "the last": (0xffffffff, 0xffffffff)}
for label, (low, high) in RANGES.items():
    @case(f"spi.range {label}")
    def _(c, low=low, high=high):
        c.allocate(low, high)
        c.allocate(low, high, flags=nl.REQUEST | nl.ACK)

for proto in (0, 17, nl.ESP, nl.AH, nl.COMP, nl.ROUTING, nl.DSTOPTS, 255):
    @case(f"spi.proto {proto}")
    def _(c, proto=proto):
        c.allocate(0x300, 0x300, proto=proto)
        c.allocate(0x100, 0x10000, proto=proto)
        c.dump("GETSA")

for mode in (0, 1, 2, 3, 4, 5):
    @case(f"spi.mode {mode}")
    def _(c, mode=mode):
        c.allocate(0x300, 0x300, mode=mode)

for family in (0, 2, 10, 7):
    @case(f"spi.family {family}")
    def _(c, family=family):
        c.allocate(0x300, 0x300, family=family)
        c.ask("GETSA", nl.sa_id(spi=0x300, family=family), nl.REQUEST)


@case("spi.IPv6")
def _(c):
    c.allocate(0x300, 0x300, **SIX)
    c.ask("GETSA", nl.sa_id("2001:db8::2", 0x300, family=10), nl.REQUEST)
    c.dump("GETSA")


@case("spi.without addresses, as selftests ask")
def _(c):
    c.allocate(0x300, 0x300, src="0.0.0.0", dst="0.0.0.0")


@case("spi.taken")
def _(c):
    c.allocate(0x300, 0x300)
    c.allocate(0x300, 0x300)
    c.allocate(0x300, 0x33f)
    c.dump("GETSA")


@case("spi.taken for another destination", needs=("spi_per_proto",))
def _(c):
    c.allocate(0x300, 0x300)
    c.allocate(0x300, 0x300, dst="10.0.0.9")
    c.allocate(0x300, 0x300, reqid=9)
    c.allocate(0x300, 0x300, **SIX)
    c.dump("GETSA")


@case("spi.of one tuple twice")
def _(c):
    c.allocate(0xc0000000, 0xcfffffff)
    c.allocate(0xc0000000, 0xcfffffff)
    c.dump("GETSA")


@case("spi.a larval without one is taken up")
def _(c):
    c.allocate(0, 0)
    c.allocate(0x300, 0x300)
    c.allocate(0, 0, reqid=9)
    c.allocate(0x301, 0x301)
    c.dump("GETSA")


@case("spi.with a sequence number")
def _(c):
    c.allocate(0x300, 0x300, seq=77)
    c.allocate(0x301, 0x301, seq=77)
    c.allocate(0x302, 0x302, seq=77, dst="10.0.0.9")
    c.dump("GETSA")


@case("spi.what of the request is kept")
def _(c):
    c.allocate(0x300, 0x300, reqid=0xffffffff, window=32, flags=0xff, seq=5,
               limits=nl.lifetime(1, 2, 3, 4, 5, 6, 7, 8),
               sel=nl.selector("10.7.0.0", "10.8.0.0", 16, proto=17))
    c.dump("GETSA")

for label, extra in {
        "mark": nl.attr("MARK", nl.mark(5, 0xff)), "mark of another mask": nl.attr("MARK", nl.mark(0xf5, 0xf)),
        "if_id": nl.attr("IF_ID", nl.u32(7)), "encap": nl.attr("ENCAP", nl.encap()),
        "window": nl.attr("REPLAY_ESN_VAL", nl.esn()), "replay": nl.attr("REPLAY_VAL", nl.replay(1, 2, 3)),
        "algorithm": nl.attr("ALG_AEAD", nl.aead()), "address": nl.attr("SRCADDR", nl.addr("10.9.9.9")),
        "output mark": nl.attr("SET_MARK", nl.u32(9)), "flags": nl.attr("SA_EXTRA_FLAGS", nl.u32(3)),
        "thresholds": nl.attr("REPLAY_THRESH", nl.u32(9)) + nl.attr("ETIMER_THRESH", nl.u32(9))}.items():
    @case(f"spi.with {label}")
    def _(c, extra=extra):
        c.allocate(0x300, 0x300, extra)
        c.ask("GETSA", nl.sa_id(spi=0x300), nl.REQUEST)
        c.ask("GETSA", nl.sa_id(spi=0x300) + extra, nl.REQUEST)
        c.dump("GETSA")
        c.ask("DELSA", nl.sa_id(spi=0x300) + extra)

for direction in (1, 2):
    @case(f"spi.with direction {direction}", needs=("sa_dir",))
    def _(c, direction=direction):
        c.allocate(0x300, 0x300, nl.attr("SA_DIR", bytes([direction])))
        c.ask("GETSA", nl.sa_id(spi=0x300), nl.REQUEST)
        c.ask("DELSA", nl.sa_id(spi=0x300))

for number, direction in ((0, b""), (0, b"\1"), (0, b"\2"), (99999, b"\1"), (0xffffffff, b"")):
    @case(f"spi.with CPU {number} and direction {direction.hex() or 'none'}", needs=("sa_pcpu",))
    def _(c, number=number, direction=direction):
        extra = nl.attr("SA_PCPU", nl.u32(number)) + (nl.attr("SA_DIR", direction) if direction
                                                      else b"")
        c.allocate(0x300, 0x300, extra)
        c.dump("GETSA")


# --- Larval states ---

@case("larval.got and deleted")
def _(c):
    c.allocate(0x300, 0x300)
    c.ask("GETSA", nl.sa_id(spi=0x300))
    c.ask("GETSA", nl.sa_id(spi=0x300, proto=nl.AH))
    c.ask("GETSA", nl.sa_id(spi=0x300, dst="10.0.0.1"))
    c.ask("GETSA", nl.sa_id(spi=0x300, family=10))
    c.ask("DELSA", nl.sa_id(spi=0x300), pid=4242)
    c.ask("DELSA", nl.sa_id(spi=0x300))


@case("larval.by its source address")
def _(c):
    c.allocate(0x300, 0x300)
    for address in ("10.0.0.1", "10.0.0.7"):
        c.ask("GETSA", nl.sa_id(spi=0x300) + nl.attr("SRCADDR", nl.addr(address)), nl.REQUEST)


@case("larval.with SPI 0")
def _(c):
    c.allocate(0, 0)
    c.ask("GETSA", nl.sa_id(spi=0), nl.REQUEST)
    c.ask("DELSA", nl.sa_id(spi=0))
    c.dump("GETSA")


@case("larval.expired by request")
def _(c):
    c.allocate(0x300, 0x300)
    for hard in (0, 1):
        c.ask("EXPIRE", nl.sa_expire(hard, spi=0x300))
    c.dump("GETSA")


@case("larval.aevents")
def _(c):
    c.allocate(0x300, 0x300, nl.attr("MARK", nl.mark(0, 0)) + nl.attr("IF_ID", nl.u32(0)))
    own = nl.attr("MARK", nl.mark(1, 1))
    for flags in (0, 1, 2, 4, 8, 0x3f, 0xffffffff):
        c.ask("GETAE", nl.aevent_id(spi=0x300, flags=flags) + own, nl.REQUEST)
    c.ask("GETAE", nl.aevent_id(spi=0x300))
    c.ask("NEWAE", nl.aevent_id(spi=0x300) + own + nl.attr("REPLAY_THRESH", nl.u32(1)),
          nl.REQUEST | nl.ACK | nl.REPLACE)


@case("larval.times out with its SPI")
def _(c):
    with c.environment.sysctl("net/core/xfrm_acq_expires", 1):
        c.allocate(0x300, 0x300)
        c.wait_event()
    c.dump("GETSA")


@case("larval.times out without SPI")
def _(c):
    with c.environment.sysctl("net/core/xfrm_acq_expires", 1):
        c.allocate(0, 0)
        c.wait_event()
    c.dump("GETSA")


@case("larval.lifetime is the sysctl's of the moment")
def _(c):
    for seconds in (1000, 7, 0x7fffffff):
        with c.environment.sysctl("net/core/xfrm_acq_expires", seconds):
            c.allocate(0x300, 0x300)
            c.ask("DELSA", nl.sa_id(spi=0x300))
