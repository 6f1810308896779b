"""The effects of packets on policies: ACQUIRE, larval states, the idle clock. The interface (--interface)
has 192.0.2.1/24, and 192.0.2.2 is a neighbour that never answers.
"""

import socket
import time

import xfrmwire as nl
from cases import case

HOST, PEER, OTHER = "192.0.2.1", "192.0.2.2", "192.0.2.3"
SUB = nl.attr("POLICY_TYPE", nl.policy_type(1))


def tunnel(**kwargs):
    return nl.attr("TMPL", nl.template(**{"src": HOST, "dst": PEER, "mode": 0, **kwargs}))


def to(dst, **kwargs):
    return nl.selector(HOST, dst, 32, **kwargs)


def send(dst=PEER, sport=7000, dport=9):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, sport))
        try:
            s.sendto(b"x", (dst, dport))
        except OSError:
            pass  # the sender's error is not compared here


@case("traffic.ACQUIRE and its larval")
def _(c):
    c.policy(tunnel(reqid=7, algorithms=(1, 2, 3)), sel=to(PEER))
    send()
    c.wait_event()
    c.dump("GETSA")
    send()
    send()
    c.silence(0.3)
    c.ask("GETPOLICY", nl.policy_id(sel=to(PEER)), nl.REQUEST)
    c.dump("GETSA")


@case("traffic.nobody listens: no larval", listener=False)
def _(c):
    c.policy(tunnel(), sel=to(PEER))
    send()
    time.sleep(0.3)
    c.dump("GETSA")


@case("traffic.the larval of an ACQUIRE times out")
def _(c):
    with c.environment.sysctl("net/core/xfrm_acq_expires", 1):
        c.policy(tunnel(), sel=to(PEER))
        send()
        c.wait_event()
        c.wait_event()
    c.dump("GETSA")


@case("traffic.the larval is taken up by ALLOCSPI")
def _(c):
    c.policy(tunnel(reqid=7), sel=to(PEER))
    send()
    c.wait_event()
    c.allocate(0x300, 0x300, src=HOST, dst=PEER, mode=0, reqid=7)
    c.dump("GETSA")


@case("traffic.ACQUIRE of a policy for each CPU", needs=("sa_pcpu",))
def _(c):
    c.policy(tunnel(reqid=7), sel=to(PEER), flags=4)
    send()
    c.wait_event()
    c.dump("GETPOLICY")
    own = nl.attr("SA_PCPU", nl.u32(0)) + nl.attr("SA_DIR", b"\2")
    c.allocate(0x300, 0x300, own, src=HOST, dst=PEER, mode=0, reqid=7)
    c.dump("GETSA")
    c.allocate(0x301, 0x301, src=HOST, dst=PEER, mode=0, reqid=7)
    c.ask("GETSA", nl.sa_id(PEER, 0x301), nl.REQUEST)


@case("traffic.ACQUIRE of a tunnel")
def _(c):
    c.policy(tunnel(mode=1, src="0.0.0.0"), sel=nl.selector("0.0.0.0", OTHER, 0, dst_bits=32))
    send(OTHER)
    c.wait_event()
    c.dump("GETSA")


@case("traffic.ACQUIRE of several templates")
def _(c):
    c.policy(nl.attr("TMPL", nl.template(HOST, OTHER, mode=1, reqid=1)
                     + nl.template(HOST, OTHER, mode=0, reqid=2)), sel=to(PEER))
    send()
    c.wait_event()
    c.silence(0.3)
    c.dump("GETSA")


@case("traffic.ACQUIRE with if_id 0 and mark 0/0")
def _(c):
    c.policy(tunnel() + nl.attr("IF_ID", nl.u32(0)) + nl.attr("MARK", nl.mark(0, 0)), sel=to(PEER))
    send()
    c.wait_event()


@case("traffic.one ACQUIRE, whatever SPI is reserved since")
def _(c):
    c.policy(tunnel(), sel=to(PEER))
    send()
    c.wait_event()
    c.allocate(0x300, 0x300, seq=1)
    send()
    c.silence(0.3)


@case("traffic.ACQUIRE of a SUB policy", needs=("sub_policy",))
def _(c):
    c.policy(tunnel(reqid=1) + SUB, sel=to(PEER))
    send()
    c.wait_event()
    c.dump("GETSA")


@case("traffic.SUB and MAIN", needs=("sub_policy",))
def _(c):
    c.policy(tunnel(reqid=1) + SUB, sel=to(PEER))
    c.policy(tunnel(reqid=2, mode=1, dst=OTHER), sel=to(PEER))
    send()
    c.wait_event()
    c.silence(0.3)
    c.dump("GETSA")


@case("traffic.optional: clear, and an ACQUIRE nevertheless")
def _(c):
    c.policy(tunnel(optional=1), sel=to(PEER))
    send()
    c.wait_event()
    c.dump("GETSA")


@case("traffic.the idle clock of policies")
def _(c):
    c.policy(sel=to(PEER))
    c.policy(sel=to(OTHER))
    c.policy(sel=to(PEER, dport=1, dport_mask=0xffff), priority=0)
    send()
    time.sleep(0.3)
    c.dump("GETPOLICY")


@case("traffic.the smaller number wins, whatever the prefix")
def _(c):
    c.policy(sel=nl.selector(), priority=1)
    c.policy(sel=to(PEER), priority=2)
    send()
    time.sleep(0.3)
    c.dump("GETPOLICY")


@case("traffic.of equals the older wins")
def _(c):
    c.policy(sel=to(PEER), priority=1)
    c.policy(sel=nl.selector(HOST, PEER, 24), priority=1)
    send()
    time.sleep(0.3)
    c.dump("GETPOLICY")


@case("traffic.an update keeps its age")
def _(c):
    c.policy(sel=to(PEER), priority=1)
    c.policy(sel=nl.selector(HOST, PEER, 24), priority=1)
    c.policy(kind="UPDPOLICY", sel=to(PEER), priority=1)
    send()
    time.sleep(0.3)
    c.dump("GETPOLICY")


@case("traffic.block")
def _(c):
    c.policy(tunnel(), sel=to(PEER), action=1)
    send()
    c.silence(0.3)
    c.dump("GETPOLICY")
