"""Who gets which events: groups, one's own events, events without a listener, a listener that does not
read, expired policies.
"""

import errno
import socket

import xfrmwire as nl
from cases import case

DROP_MEMBERSHIP, ADD_MEMBERSHIP, NO_ENOBUFS = 2, 1, 5


def changes(c, by=None):
    """One of each kind that a kernel without ESP can do."""
    c.ask("NEWPOLICY", nl.policy_info() + nl.attr("TMPL", nl.template()), by=by)
    c.ask("UPDPOLICY", nl.policy_info(priority=4) + nl.attr("TMPL", nl.template()), by=by)
    c.ask("POLEXPIRE", nl.policy_expire(0), by=by)
    c.ask("SETDEFAULT", bytes([2, 2, 2]), by=by)
    c.ask("MIGRATE", nl.policy_id() + nl.attr("MIGRATE", nl.migrate()), by=by)
    c.ask("ACQUIRE", nl.acquire(nl.policy_info(nl.selector())) + nl.attr("TMPL", nl.template()), by=by)
    c.ask("DELPOLICY", nl.policy_id(), by=by)
    c.ask("NEWPOLICY", nl.policy_info(), by=by)
    c.ask("FLUSHPOLICY", b"", by=by)
    c.ask("ALLOCSPI", nl.spi_info(0x300, 0x300), nl.REQUEST, by=by)
    c.ask("DELSA", nl.sa_id(spi=0x300), by=by)
    c.ask("ALLOCSPI", nl.spi_info(0x300, 0x300), nl.REQUEST, by=by)
    c.ask("FLUSHSA", b"\0", by=by)


for name in nl.GROUPS:
    @case(f"group.{name} alone", needs=("migrate", "default"), listener=False)
    def _(c, name=name):
        listener = c.endpoint(groups=nl.group_mask(name))
        changes(c)
        c.read(listener, mark="*")


@case("group.all bits", needs=("migrate", "default"), listener=False)
def _(c):
    listener = c.endpoint(groups=0xffffffff)
    c.note(f"groups {listener.socket.getsockname()[1]:#x}")
    changes(c)
    c.read(listener, mark="*")


@case("group.by membership", listener=False)
def _(c):
    listener = c.endpoint()
    for option, group in ((ADD_MEMBERSHIP, 4), (DROP_MEMBERSHIP, 4), (ADD_MEMBERSHIP, 0),
                          (ADD_MEMBERSHIP, 32), (ADD_MEMBERSHIP, 33), (DROP_MEMBERSHIP, 5)):
        try:
            listener.socket.setsockopt(nl.SOL_NETLINK, option, group)
            c.note(f"{option} {group}: done")
        except OSError as error:
            c.note(f"{option} {group}: {errno.errorcode[error.errno]}")
        c.ask("UPDPOLICY", nl.policy_info())
        c.read(listener, mark="*")


@case("group.left by a second bind", listener=False)
def _(c):
    listener = c.endpoint(groups=nl.group_mask("POLICY"))
    c.ask("UPDPOLICY", nl.policy_info())
    c.read(listener, mark="*")
    listener.socket.bind((listener.port, nl.group_mask("SA")))
    c.ask("UPDPOLICY", nl.policy_info())
    c.read(listener, mark="*")


@case("group.one's own events come before the ACK", needs=("migrate", "default"), listener=False)
def _(c):
    changes(c, c.endpoint(groups=0xff))


@case("group.events by several listeners", listener=False)
def _(c):
    listeners = [c.endpoint(groups=nl.group_mask("POLICY")) for _ in range(3)]
    c.ask("NEWPOLICY", nl.policy_info(), pid=99)
    for listener in listeners:
        c.read(listener, mark="*")


def until_overrun(c, listener, count=20000):
    """Changes until the listener's queue is full, as its own error says."""
    sel = nl.selector("10.1.0.0", "10.2.0.0", 16)
    batch = b"".join(nl.message("UPDPOLICY", nl.policy_info(sel), nl.REQUEST, 1) for _ in range(50))
    for _ in range(0, count, 50):
        c.main.socket.send(batch)
    outcomes, found = [], True
    while found:
        found = listener.receive(c.environment.patience)
        outcomes += [datagram for datagram, sender in found if sender is None]
    c.note(f"errors {[errno.errorcode[e] for e in outcomes]}")


@case("slow.a listener that does not read loses events and is notified once", listener=False)
def _(c):
    listener = c.endpoint(groups=nl.group_mask("POLICY"))
    until_overrun(c, listener)
    c.ask("UPDPOLICY", nl.policy_info())
    c.read(listener, mark="*")
    until_overrun(c, listener)


@case("slow.other listeners continue", listener=False)
def _(c):
    slow = c.endpoint(groups=nl.group_mask("POLICY"))
    sel = nl.selector("10.1.0.0", "10.2.0.0", 16)
    batch = b"".join(nl.message("UPDPOLICY", nl.policy_info(sel), nl.REQUEST, 1) for _ in range(50))
    for _ in range(400):
        c.main.socket.send(batch)
    other = c.endpoint(groups=nl.group_mask("POLICY"))
    c.ask("UPDPOLICY", nl.policy_info())
    c.read(other, mark="*")
    slow.close()


@case("slow.NETLINK_NO_ENOBUFS", listener=False)
def _(c):
    listener = c.endpoint(groups=nl.group_mask("POLICY"))
    listener.socket.setsockopt(nl.SOL_NETLINK, NO_ENOBUFS, 1)
    until_overrun(c, listener)


# --- Time ---

@case("time.policy's hard limit")
def _(c):
    c.policy(nl.attr("TMPL", nl.template()), limits=nl.lifetime(hard_add=1))
    c.wait_event()
    c.dump("GETPOLICY")


@case("time.policy's soft limit")
def _(c):
    c.policy(limits=nl.lifetime(soft_add=1))
    c.wait_event()
    c.dump("GETPOLICY")


@case("time.policy's use limit counts from the start too")
def _(c):
    c.policy(limits=nl.lifetime(hard_use=1))
    c.wait_event()


@case("time.limits taken away by UPDPOLICY")
def _(c):
    c.policy(limits=nl.lifetime(hard_add=2))
    c.policy(kind="UPDPOLICY")
    c.silence(3.5)
    c.dump("GETPOLICY")


@case("time.no event for what was deleted before")
def _(c):
    c.policy(limits=nl.lifetime(hard_add=2))
    c.ask("DELPOLICY", nl.policy_id())
    with c.environment.sysctl("net/core/xfrm_acq_expires", 2):
        c.allocate(0x300, 0x300)
    c.ask("DELSA", nl.sa_id(spi=0x300))
    c.silence(3.5)


@case("receive.peeked at, cut short, and by address")
def _(c):
    c.policy()
    c.main.socket.send(nl.message("GETPOLICY", nl.policy_id(), nl.REQUEST, 900))
    for flags in (socket.MSG_PEEK | socket.MSG_TRUNC, socket.MSG_PEEK, socket.MSG_TRUNC):
        data, _, flagged, sender = c.main.socket.recvmsg(20, 0, flags)
        c.note(f"{len(data)} bytes, flags {flagged:#x}, from {sender}")
    c.read(c.main)
