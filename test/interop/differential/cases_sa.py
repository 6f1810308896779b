"""NEWSA, UPDSA, DELSA, GETSA, EXPIRE, NEWAE, GETAE of SAs. Malformed requests are refused before
the algorithms are looked up, so that a kernel without ESP answers them, too; the cases named "esp."
need a kernel with ESP, or show what it answers without.
"""

import xfrmwire as nl
from cases import case, table

GCM = nl.attr("ALG_AEAD", nl.aead())
CBC = nl.attr("ALG_CRYPT", nl.algorithm(b"cbc(aes)"))
SHA = nl.attr("ALG_AUTH_TRUNC", nl.truncated(b"hmac(sha256)", b"k" * 32, 128))
IN_, OUT_ = nl.attr("SA_DIR", b"\1"), nl.attr("SA_DIR", b"\2")
BAD = nl.attr("ALG_AEAD", nl.aead(name=b"none"))  # well-formed and unknown


def both(prefix, rows, needs=()):
    """NEWSA and UPDSA of each row."""
    for kind in ("NEWSA", "UPDSA"):
        table(f"sa.{kind} with {prefix}", kind, rows, needs)


# --- Refused: the fixed part ---

for label, kwargs in {
        "family 0": {"family": 0}, "family 5": {"family": 5}, "proto 0": {"proto": 0},
        "proto 17": {"proto": 17}, "mode 3": {"mode": 3}, "mode 6": {"mode": 6},
        "mode 255": {"mode": 255}, "SPI 0": {"spi": 0},
        "selector prefix 33": {"sel": nl.selector(bits=33)},
        "selector prefix 129": {"sel": nl.selector("::", "::", 129, family=10)},
        "selector family 9": {"sel": nl.selector(family=9)},
        "selector family 0, prefix 33": {"sel": nl.selector(bits=33, family=0)},
        "selector family 0, prefix 33, any family": {"sel": nl.selector(bits=33, family=0),
                                                     "flags": 32},
        "window 255": {"window": 255}}.items():
    @case(f"sa.{label}")
    def _(c, kwargs=kwargs):
        for kind in ("NEWSA", "UPDSA"):
            c.ask(kind, nl.sa_info(**kwargs) + BAD)

# --- Refused: attributes of each protocol ---

ALGORITHMS = {
    "none": b"", "compression": BAD + nl.attr("ALG_COMP", nl.algorithm(b"deflate", b"")),
    "AEAD and cipher": BAD + CBC, "AEAD and auth": BAD + SHA,
    "AEAD and old auth": BAD + nl.attr("ALG_AUTH", nl.algorithm(b"hmac(sha1)")),
    "padding in transport mode": None, "IP-TFS option": BAD + nl.attr("IPTFS_DROP_TIME", nl.u32(1)),
    "AEAD shorter than its key": nl.attr("ALG_AEAD", nl.aead(key_bits=168)),
    "AEAD key of odd bits": nl.attr("ALG_AEAD", nl.aead(name=b"none", key_bits=153)),
    "cipher shorter than its key": nl.attr("ALG_CRYPT", nl.algorithm(b"cbc(aes)", key_bits=136)),
    "auth shorter than its key": nl.attr("ALG_AUTH", nl.algorithm(b"hmac(sha1)", key_bits=136)),
    "truncated shorter than its key": nl.attr("ALG_AUTH_TRUNC", nl.truncated(
        b"hmac(sha1)")[:-1]),
    "unknown AEAD": BAD, "unknown cipher": nl.attr("ALG_CRYPT", nl.algorithm(b"none")),
    "unknown auth": nl.attr("ALG_AUTH", nl.algorithm(b"none")),
    "unknown truncated": nl.attr("ALG_AUTH_TRUNC", nl.truncated(b"none")),
    "name without an end": nl.attr("ALG_AEAD", nl.aead(name=b"x" * 64)),
    "empty name": nl.attr("ALG_AEAD", nl.aead(name=b""))}
for label, extra in ALGORITHMS.items():
    @case(f"sa.ESP: {label}", needs=("sa_pcpu",) if "IP-TFS" in label else ())
    def _(c, extra=extra):
        if extra is None:
            c.ask("NEWSA", nl.sa_info(mode=0) + BAD + nl.attr("TFCPAD", nl.u32(100)))
        else:
            c.ask("NEWSA", nl.sa_info() + extra)
            c.ask("UPDSA", nl.sa_info() + extra)

table("sa.AH", "NEWSA", {
    "none": nl.sa_info(proto=nl.AH), "AEAD": nl.sa_info(proto=nl.AH) + SHA + BAD,
    "cipher": nl.sa_info(proto=nl.AH) + SHA + CBC,
    "compression": nl.sa_info(proto=nl.AH) + SHA + ALGORITHMS["compression"][len(BAD):],
    "padding": nl.sa_info(proto=nl.AH) + SHA + nl.attr("TFCPAD", nl.u32(1)),
    "unknown": nl.sa_info(proto=nl.AH) + nl.attr("ALG_AUTH", nl.algorithm(b"none"))})
COMP = nl.attr("ALG_COMP", nl.algorithm(b"none", b""))
table("sa.COMP", "NEWSA", {
    "none": nl.sa_info(proto=nl.COMP), "AEAD": nl.sa_info(proto=nl.COMP) + COMP + BAD,
    "auth": nl.sa_info(proto=nl.COMP) + COMP + SHA, "cipher": nl.sa_info(proto=nl.COMP) + COMP + CBC,
    "padding": nl.sa_info(proto=nl.COMP) + COMP + nl.attr("TFCPAD", nl.u32(1)),
    "large SPI": nl.sa_info(proto=nl.COMP, spi=0x10000) + COMP,
    "unknown": nl.sa_info(proto=nl.COMP) + COMP,
    "deflate": nl.sa_info(proto=nl.COMP) + nl.attr("ALG_COMP", nl.algorithm(b"deflate", b""))})
COADDR = nl.attr("COADDR", nl.addr("2001:db8::9"))
SIX = {"family": 10, "src": "2001:db8::1", "dst": "2001:db8::2", "mode": 2}
for proto in (nl.ROUTING, nl.DSTOPTS):
    table(f"sa.proto {proto}", "NEWSA", {
        "no COADDR": nl.sa_info(proto=proto, **SIX), "whole": nl.sa_info(proto=proto, **SIX) + COADDR,
        "AEAD": nl.sa_info(proto=proto, **SIX) + COADDR + BAD,
        "encap": nl.sa_info(proto=proto, **SIX) + COADDR + nl.attr("ENCAP", nl.encap()),
        "window": nl.sa_info(proto=proto, **SIX) + COADDR + nl.attr("REPLAY_ESN_VAL", nl.esn())})
    table(f"sa.proto {proto}", "DELSA", {"delete": nl.sa_id(proto=proto),
          "delete by source": nl.sa_id(proto=proto) + nl.attr("SRCADDR", nl.addr("10.0.0.1"))})
    table(f"sa.proto {proto}", "GETSA", {"get": nl.sa_id(proto=proto),
          "get by source": nl.sa_id(proto=proto) + nl.attr("SRCADDR", nl.addr("10.0.0.1"))})

# --- Refused: replay windows, directions, timers ---

ESN_FLAG = {"flags": 128}
WINDOWS = {
    "flag without window": nl.sa_info(**ESN_FLAG),
    "129 words": nl.sa_info(**ESN_FLAG) + nl.attr("REPLAY_ESN_VAL", nl.esn(32, 129)),
    "2^32-1 words": nl.sa_info(**ESN_FLAG) + nl.attr("REPLAY_ESN_VAL", nl.esn(32, 0xffffffff, 1)),
    "half a bitmap": nl.sa_info(**ESN_FLAG) + nl.attr("REPLAY_ESN_VAL", nl.esn(64, 4, 2)),
    "no bitmap": nl.sa_info(**ESN_FLAG) + nl.attr("REPLAY_ESN_VAL", nl.esn(64, 4, 0)),
    "beside the old one": nl.sa_info(window=32, **ESN_FLAG) + nl.attr("REPLAY_ESN_VAL", nl.esn()),
    "of COMP": nl.sa_info(proto=nl.COMP) + COMP + nl.attr("REPLAY_ESN_VAL", nl.esn()),
    "wider than its bitmap": nl.sa_info(**ESN_FLAG) + nl.attr("REPLAY_ESN_VAL", nl.esn(64, 1)),
    "of nothing": nl.sa_info(**ESN_FLAG) + nl.attr("REPLAY_ESN_VAL", nl.esn(0, 0))}
both("window", {label: body + (b"" if label == "of COMP" else BAD) for label, body in WINDOWS.items()})

both("direction", {
    "out and window": nl.sa_info(window=32) + BAD + OUT_,
    "out and ESN window": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_ESN_VAL", nl.esn(32, 1)),
    "out and ESN seq": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_ESN_VAL", nl.esn(0, 0, seq=1)),
    "out and ESN seq_hi": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_ESN_VAL",
                                                              nl.esn(0, 0, seq_high=1)),
    "out and ESN bitmap": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_ESN_VAL", nl.esn(0, 1)),
    "out and ESN oseq": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_ESN_VAL", nl.esn(0, 0, oseq=1)),
    "out and replay seq": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_VAL", nl.replay(0, 1, 0)),
    "out and replay bitmap": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_VAL", nl.replay(0, 0, 1)),
    "out and replay oseq": nl.sa_info() + BAD + OUT_ + nl.attr("REPLAY_VAL", nl.replay(1, 0, 0)),
    "out and DECAP_DSCP": nl.sa_info(flags=2) + BAD + OUT_,
    "out and WILDRECV": nl.sa_info(flags=8) + BAD + OUT_,
    "out and ICMP": nl.sa_info(flags=16) + BAD + OUT_,
    "out and NOECN": nl.sa_info(flags=1) + BAD + OUT_,
    "in and NOPMTUDISC": nl.sa_info(flags=4) + BAD + IN_,
    "in and DONT_ENCAP_DSCP": nl.sa_info() + BAD + IN_ + nl.attr("SA_EXTRA_FLAGS", nl.u32(1)),
    "in and OSEQ_MAY_WRAP": nl.sa_info() + BAD + IN_ + nl.attr("SA_EXTRA_FLAGS", nl.u32(2)),
    "in and ESN oseq": nl.sa_info() + BAD + IN_ + nl.attr("REPLAY_ESN_VAL", nl.esn(oseq=1)),
    "in and ESN oseq_hi": nl.sa_info() + BAD + IN_ + nl.attr("REPLAY_ESN_VAL", nl.esn(oseq_high=1)),
    "in and replay oseq": nl.sa_info() + BAD + IN_ + nl.attr("REPLAY_VAL", nl.replay(1, 0, 0)),
    "in, nothing else": nl.sa_info() + BAD + IN_, "out, nothing else": nl.sa_info() + BAD + OUT_,
}, needs=("sa_dir",))

both("CPU", {
    "without direction": nl.sa_info() + BAD + nl.attr("SA_PCPU", nl.u32(0)),
    "too large": nl.sa_info() + BAD + IN_ + nl.attr("SA_PCPU", nl.u32(99999)),
    "of an unknown algorithm": nl.sa_info() + BAD + IN_ + nl.attr("SA_PCPU", nl.u32(0)),
}, needs=("sa_pcpu",))

both("timer", {
    "without encap": nl.sa_info() + BAD + nl.attr("MTIMER_THRESH", nl.u32(5)),
    "with encap": nl.sa_info() + BAD + nl.attr("MTIMER_THRESH", nl.u32(5))
    + nl.attr("ENCAP", nl.encap())})
table("sa.NEWSA with timer", "NEWSA", {
    "out": nl.sa_info() + BAD + OUT_ + nl.attr("MTIMER_THRESH", nl.u32(5))
    + nl.attr("ENCAP", nl.encap())}, needs=("sa_dir",))

for label, extra in {
        "drop time": ("IPTFS_DROP_TIME", nl.u32(1)), "window": ("IPTFS_REORDER_WINDOW", b"\1\0"),
        "fragments": ("IPTFS_DONT_FRAG", b""), "delay": ("IPTFS_INIT_DELAY", nl.u32(1)),
        "queue": ("IPTFS_MAX_QSIZE", nl.u32(1)), "size": ("IPTFS_PKT_SIZE", nl.u32(1))}.items():
    @case(f"sa.IP-TFS {label}", needs=("sa_pcpu",))
    def _(c, extra=nl.attr(*extra)):
        for mode in (1, 5):
            for direction in (b"", IN_, OUT_):
                c.ask("NEWSA", nl.sa_info(mode=mode) + BAD + direction + extra)
        c.ask("NEWSA", nl.sa_info(mode=5, proto=nl.AH) + SHA + IN_ + extra)

for label, context in {"good": nl.security_context(b"a\0"), "claims more": nl.security_context(b"a", claimed=2),
                       "too long": nl.security_context(b"a", length=100)}.items():
    table("sa.security context", "NEWSA", {
        label: nl.sa_info() + BAD + nl.attr("SEC_CTX", context)})


@case("sa.the first fault is reported", needs=("sa_dir",))
def _(c):
    esn = nl.attr("REPLAY_ESN_VAL", nl.esn(32, 200))
    short = nl.attr("ALG_AEAD", nl.aead(key_bits=999))
    context = nl.attr("SEC_CTX", nl.security_context(b"a", length=100))
    c.ask("NEWSA", nl.sa_info(family=5, proto=17, mode=9) + short + context + esn)
    c.ask("NEWSA", nl.sa_info(proto=17, mode=9) + short + context + esn)
    c.ask("NEWSA", nl.sa_info(mode=9) + short + context + esn)
    c.ask("NEWSA", nl.sa_info(mode=9) + BAD + context + esn)
    c.ask("NEWSA", nl.sa_info(mode=9) + BAD + esn)
    c.ask("NEWSA", nl.sa_info(mode=9) + BAD + nl.attr("MTIMER_THRESH", nl.u32(1)) + OUT_)
    c.ask("NEWSA", nl.sa_info(window=9) + BAD + nl.attr("MTIMER_THRESH", nl.u32(1)) + OUT_)
    c.ask("NEWSA", nl.sa_info(window=9) + BAD + OUT_)


# --- Missing ---

table("missing.GETSA", "GETSA", {
    "one": nl.sa_id(), "proto 0": nl.sa_id(proto=0), "proto 17": nl.sa_id(proto=17),
    "proto 255": nl.sa_id(proto=255), "family 0": nl.sa_id(family=0),
    "family 9": nl.sa_id(family=9), "zero body": bytes(24)})
table("missing.DELSA", "DELSA", {
    "one": nl.sa_id(), "proto 0": nl.sa_id(proto=0), "proto 17": nl.sa_id(proto=17),
    "family 0": nl.sa_id(family=0), "zero body": bytes(24),
    "marked": nl.sa_id() + nl.attr("MARK", nl.mark(1, 1))})
table("missing.UPDSA", "UPDSA", {"unknown algorithm": nl.sa_info() + BAD})
table("missing.EXPIRE", "EXPIRE", {
    "hard": nl.sa_expire(), "soft": nl.sa_expire(0), "proto 17": nl.sa_expire(proto=17),
    "family 0": nl.sa_expire(family=0), "zero body": bytes(232)})
table("missing.GETAE", "GETAE", {
    "one": nl.aevent_id(), "flags": nl.aevent_id(flags=0xffffffff), "zero body": bytes(48),
    "proto 17": nl.aevent_id(proto=17)})
AE = {"nothing": b"", "threshold": nl.attr("REPLAY_THRESH", nl.u32(1)),
      "timer": nl.attr("ETIMER_THRESH", nl.u32(1)), "replay": nl.attr("REPLAY_VAL", nl.replay()),
      "ESN": nl.attr("REPLAY_ESN_VAL", nl.esn()), "short ESN": nl.attr("REPLAY_ESN_VAL", nl.esn(
          32, 4, 1)), "lifetime": nl.attr("LTIME_VAL", nl.usage()),
      "mark only": nl.attr("MARK", nl.mark(1, 1))}
for label, extra in AE.items():
    @case(f"missing.NEWAE of {label}")
    def _(c, extra=extra):
        for flags in (0, nl.REPLACE, nl.CREATE):
            c.ask("NEWAE", nl.aevent_id() + extra, nl.REQUEST | nl.ACK | flags)


# --- Complete SAs ---

@case("esp.added, got, deleted")
def _(c):
    c.ask("NEWSA", nl.sa_info(window=32) + GCM, pid=4242)
    c.ask("NEWSA", nl.sa_info() + GCM)
    c.ask("GETSA", nl.sa_id(), nl.REQUEST)
    c.dump("GETSA")
    c.ask("DELSA", nl.sa_id(), pid=4242)


for label, extra in {
        "GCM": GCM, "CCM": nl.attr("ALG_AEAD", nl.aead(b"k" * 19, name=b"rfc4309(ccm(aes))")),
        "ChaCha20": nl.attr("ALG_AEAD", nl.aead(b"k" * 36, name=b"rfc7539esp(chacha20,poly1305)")),
        "GCM of 100 bits ICV": nl.attr("ALG_AEAD", nl.aead(icv_bits=100)),
        "GCM of a bad key": nl.attr("ALG_AEAD", nl.aead(b"k" * 17)), "CBC and SHA": CBC + SHA,
        "aliases": nl.attr("ALG_CRYPT", nl.algorithm(b"aes")) + nl.attr("ALG_AUTH", nl.algorithm(
            b"sha1", b"k" * 20)),
        "cipher alone": CBC, "null cipher alone": nl.attr("ALG_CRYPT", nl.algorithm(
            b"ecb(cipher_null)", b"")),
        "truncated too far": CBC + nl.attr("ALG_AUTH_TRUNC", nl.truncated(b"hmac(sha1)",
                                                                          icv_bits=200)),
        "RO mode": None, "IP-TFS mode": None}.items():
    @case(f"esp.algorithm {label}", needs=("sa_pcpu",) if "TFS" in label else ())
    def _(c, label=label, extra=extra):
        if extra is None:
            c.ask("NEWSA", nl.sa_info(mode=2 if label == "RO mode" else 5) + GCM + (
                b"" if label == "RO mode" else IN_))
        else:
            c.ask("NEWSA", nl.sa_info() + extra)
            c.ask("GETSA", nl.sa_id(), nl.REQUEST)

for label, extra in {
        "keep-alive": OUT_ + nl.attr("ENCAP", nl.encap()) + nl.attr("NAT_KEEPALIVE", nl.u32(20)),
        "keep-alive, in": IN_ + nl.attr("ENCAP", nl.encap()) + nl.attr("NAT_KEEPALIVE", nl.u32(20)),
        "keep-alive, no encap": OUT_ + nl.attr("NAT_KEEPALIVE", nl.u32(20)),
        "keep-alive 0": nl.attr("NAT_KEEPALIVE", nl.u32(0)),
        "CPU": IN_ + nl.attr("SA_PCPU", nl.u32(0)), "direction": IN_}.items():
    @case(f"esp.newer attribute: {label}", needs=("sa_pcpu",))
    def _(c, extra=extra):
        c.ask("NEWSA", nl.sa_info() + GCM + extra)
        c.ask("GETSA", nl.sa_id(), nl.REQUEST)


@case("esp.UPDSA of a larval")
def _(c):
    c.allocate(0x300, 0x300, reqid=1)
    c.ask("NEWSA", nl.sa_info(spi=0x300) + GCM)
    c.ask("UPDSA", nl.sa_info(spi=0x300) + GCM)
    c.dump("GETSA")


@case("esp.expired by request")
def _(c):
    c.ask("NEWSA", nl.sa_info() + GCM)
    c.ask("EXPIRE", nl.sa_expire(0))
    c.ask("EXPIRE", nl.sa_expire(0xff))
    c.dump("GETSA")


@case("esp.aevents")
def _(c):
    c.ask("NEWSA", nl.sa_info() + GCM)
    c.ask("GETAE", nl.aevent_id(flags=0xf), nl.REQUEST)
    c.ask("NEWAE", nl.aevent_id() + nl.attr("REPLAY_THRESH", nl.u32(9)),
          nl.REQUEST | nl.ACK | nl.REPLACE)
