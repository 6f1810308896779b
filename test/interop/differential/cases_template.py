"""Templates of policies: what is refused, what is stored, how they are shown."""

import xfrmwire as nl
from cases import case

ALONE = {
    "proto 0": {"proto": 0}, "proto 17": {"proto": 17}, "proto 255": {"proto": 255},
    "proto AH": {"proto": nl.AH}, "proto COMP": {"proto": nl.COMP},
    "proto ROUTING": {"proto": nl.ROUTING}, "proto DSTOPTS": {"proto": nl.DSTOPTS},
    "mode transport": {"mode": 0}, "mode RO": {"mode": 2}, "mode in_trigger": {"mode": 3},
    "mode BEET": {"mode": 4}, "mode 5": {"mode": 5}, "mode 6": {"mode": 6}, "mode 255": {"mode": 255},
    "family 0": {"family": 0}, "family 7": {"family": 7},
    "family IPv6, tunnel": {"family": 10, "src": "2001:db8::1", "dst": "2001:db8::2"},
    "family IPv6, transport": {"family": 10, "mode": 0, "src": "2001:db8::1", "dst": "2001:db8::2"},
    "family IPv6, BEET": {"family": 10, "mode": 4, "src": "2001:db8::1", "dst": "2001:db8::2"},
    "family IPv6, RO": {"family": 10, "mode": 2},
    "optional transport": {"optional": 1, "mode": 0}, "optional tunnel": {"optional": 1},
    "optional BEET": {"optional": 1, "mode": 4}, "optional 255": {"optional": 255, "mode": 0},
    "share": {"share": 3}, "share 9": {"share": 9}, "spi": {"spi": 0x1234},
    "reqid": {"reqid": 0xffffffff}, "algorithms": {"algorithms": (1, 2, 3)},
    "no addresses": {"src": "0.0.0.0", "dst": "0.0.0.0"}}
for label, kwargs in ALONE.items():
    @case(f"template.{label}")
    def _(c, kwargs=kwargs):
        for direction in (nl.OUT, nl.IN):
            c.policy(nl.attr("TMPL", nl.template(**kwargs)), direction=direction, action=1)
        c.dump("GETPOLICY")

for count in (0, 1, 2, 5, 6, 7, 100):
    @case(f"template.{count} of them")
    def _(c, count=count):
        c.policy(nl.attr("TMPL", b"".join(nl.template(reqid=i) for i in range(count))))
        c.dump("GETPOLICY")

for size in (63, 65, 100, 127, 128, 129, 191):
    @case(f"template.{size} bytes of them")
    def _(c, size=size):
        c.policy(nl.attr("TMPL", (nl.template() * 4)[:size]))
        c.dump("GETPOLICY")


@case("template.IPv4 addresses with rubbish behind")
def _(c):
    one = bytearray(nl.template())
    one[4:16] = one[32:44] = b"\7" * 12
    c.policy(nl.attr("TMPL", bytes(one)))
    c.dump("GETPOLICY")


@case("template.padding is not kept")
def _(c):
    one = bytearray(nl.template())
    one[21:24] = one[26:28] = one[51:52] = b"\7"
    c.policy(nl.attr("TMPL", bytes(one)[:64]))
    c.dump("GETPOLICY")


@case("template.of an IPv6 policy")
def _(c):
    sel = nl.selector("2001:db8::", "2001:db8:1::", 48, family=10)
    for family, mode in ((10, 0), (10, 1), (2, 0), (2, 1), (2, 4), (0, 0), (0, 1)):
        c.policy(nl.attr("TMPL", nl.template(family=family, mode=mode)), kind="UPDPOLICY", sel=sel)
    c.dump("GETPOLICY")


@case("template.families in a row")
def _(c):
    six = {"family": 10, "src": "2001:db8::1", "dst": "2001:db8::2"}
    rows = {"tunnel to IPv6, then transport there": nl.template(**six) + nl.template(mode=0, **six),
            "tunnel to IPv6, then transport of IPv4": nl.template(**six) + nl.template(mode=0),
            "to IPv6 and back": nl.template(**six) + nl.template() + nl.template(mode=0),
            "transport first": nl.template(mode=0) + nl.template(**six),
            "family 0 after IPv6": nl.template(**six) + nl.template(family=0)}
    for label, templates in rows.items():
        c.note(label)
        c.policy(nl.attr("TMPL", templates), kind="UPDPOLICY")
    c.dump("GETPOLICY")


@case("template.the first fault is reported")
def _(c):
    for templates in (nl.template(mode=9, family=7, proto=17), nl.template(family=7, proto=17),
                      nl.template(mode=0, family=7, proto=17), nl.template(optional=1, proto=17),
                      nl.template() + nl.template(proto=17), nl.template(proto=17) * 7):
        c.policy(nl.attr("TMPL", templates))


@case("template.of a policy that blocks")
def _(c):
    c.policy(nl.attr("TMPL", nl.template()), action=1)
    c.dump("GETPOLICY")


@case("template.of a SUB policy", needs=("sub_policy",))
def _(c):
    c.policy(nl.attr("TMPL", nl.template()) + nl.attr("POLICY_TYPE", nl.policy_type(1)))
    c.policy(nl.attr("TMPL", nl.template(reqid=2)))
    c.dump("GETPOLICY")
