#!/usr/bin/python3
"""The events that traffic causes: NEWAE, EXPIRE and ACQUIRE, in software and on the device, in both
directions; and packets that wait for an SA.
"""

import os
import re
import struct
import time

import suite
import xfrmclient as nl
from rawwire import sysctl
from test_ip_xfrm import Monitor
from wirehost import (HOST, INNER_HOST, INNER_PEER, IPIP, PEER, SPI_IN, SPI_OUT, WireHost, udp)

AEVENTS_GROUP, EXPIRE_GROUP = 1 << 4, 1 << 1
BY_SEQUENCE, BY_TIMER = 16, 32  # XFRM_AE_CR, XFRM_AE_CE
SIZE = 100  # of inner packets, bytes


class Events(WireHost):
    window = 64

    def monitor(self, *what):
        return Monitor(self, self.host.ns, [self.host.cygnet.command, "exec", "--"], what)

    def listen(self, group):
        client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(client.close)
        number = client.open(group)
        return lambda wait=2.0: client.receive(number, wait * suite.SLOWNESS)

    # --- Traffic ---

    def transmit(self, count):
        """Sends datagrams from the host; returns the payloads, `SIZE` bytes of IP each."""
        payloads = [i.to_bytes(4, "big") + os.urandom(SIZE - 32) for i in range(count)]
        self.peer.wire.drain()
        for payload in payloads:
            self.udp.sendto(payload, (INNER_PEER, 9))
        return payloads

    def left(self, count, timeout=0.5):
        """The opened payloads from the wire; checks that their numbers are in order."""
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", count,
                                       timeout * suite.SLOWNESS)
        opened = [self.out.open(f[34:]) for f in frames]
        self.assertEqual([o.seq for o in opened], sorted({o.seq for o in opened}))
        return [o.payload[28:] for o in opened]

    def receive(self, count):
        """Sends sealed datagrams to the host; returns how many its socket got."""
        self.host_gets()
        for _ in range(count):
            self.send(self.sealed(udp(os.urandom(SIZE - 28))))
        time.sleep(0.3 * suite.SLOWNESS)
        return len(self.host_gets())

    def install_limited(self, *limits):
        extra = " ".join(f"limit {limit}" for limit in limits)
        self.install()
        suite.xfrm_batch(self.host, ["state flush", self.sa(False, SPI_OUT, self.out, extra=extra),
                                     self.sa(True, SPI_IN, self.into, extra=extra)])
        self.before = suite.counters(self.host)
        self.device_before = self.device()

    def device(self):
        device = self.host.show("dev")[0]["offload"]
        return device["sealed"], device["opened"]

    def on_device(self, sealed, opened):
        """The device's count if SAs are offloaded, else 0. It opens everything that it has the key for,
        whatever the limits are."""
        did = [after - before for after, before in zip(self.device(), self.device_before)]
        if not self.offload:
            sealed = opened = 0
        self.assertEqual(did[0], sealed)
        self.assertIn(did[1], range(opened, 11 if self.offload else 1))

    # --- NEWAE ---

    @staticmethod
    def aevents(messages):
        """(SPI, cause, last sent, last received, packets) of each."""
        found = []
        for kind, _, _, body in messages:
            assert kind == "NEWAE", kind
            spi, = struct.unpack("!I", body[16:20])
            flags, = struct.unpack("=I", body[40:44])
            attributes, at = {}, 48
            while at + 4 <= len(body):
                size, number = struct.unpack("=HH", body[at:at + 4])
                attributes[number] = body[at + 4:at + size]
                at += size + 3 & ~3
            oseq, seq = struct.unpack("=2I", attributes[nl.ATTR["REPLAY_ESN_VAL"]][4:12])
            packets = struct.unpack("=4Q", attributes[nl.ATTR["LTIME_VAL"]])[1]
            found.append((spi, flags, oseq, seq, packets))
        return found

    def test_aevents(self):
        events, monitor = self.listen(AEVENTS_GROUP), self.monitor("aevent")
        self.assertEqual(events(1.5), [], "nothing moved")
        self.transmit(1)
        self.assertEqual(self.aevents(events()), [(SPI_OUT, BY_TIMER, 1, 0, 1)])
        self.assertEqual(self.receive(8), 8)
        found = self.aevents(events())
        time.sleep(1.3 * suite.SLOWNESS)
        found += self.aevents(events(0.1))
        self.assertEqual({(spi, oseq) for spi, _, oseq, _, _ in found}, {(SPI_IN, 0)})
        self.assertEqual(found[0][1], BY_SEQUENCE)
        self.assertEqual(found[-1][3:], (8, 8))
        self.assertLessEqual(len(found), 5)  # eight packets, two or more to an event, and the timer
        text = monitor.wait_for("Async event", f"SPI {SPI_OUT:#x}", f"SPI {SPI_IN:#x}")
        self.assertEqual(text.count("Async event"), 1 + len(found), text)
        self.assertEqual(events(1.5), [], "nothing moved any more")

    # --- EXPIRE ---

    @staticmethod
    def expired(messages):
        """(SPI, hard) of each."""
        return [(struct.unpack("!I", body[72:76])[0], body[224]) for kind, _, _, body in messages
                if kind == "EXPIRE"]

    def expires(self, passes, soft_after):
        """Both directions: `passes` of ten packets, the events in their order, and what was lost."""
        events, monitor = self.listen(EXPIRE_GROUP), self.monitor("expire")
        sent = self.transmit(soft_after)
        self.assertEqual(self.left(soft_after), sent)
        self.assertEqual(self.receive(soft_after), soft_after)
        self.assertEqual(self.expired(events(0.2)), [], "too early")
        sent = self.transmit(passes - soft_after)
        self.assertEqual(self.left(passes - soft_after), sent)
        self.transmit(10 - passes)
        self.assertEqual(self.left(1), [])
        self.assertEqual(self.receive(10 - soft_after), passes - soft_after)
        self.wait_for(lambda: self.host.show("sa") == [], "both SAs to be gone")
        self.assertEqual(self.expired(events(0.2)),
                         [(SPI_OUT, 0), (SPI_OUT, 1), (SPI_IN, 0), (SPI_IN, 1)])
        text = monitor.end()
        self.assertEqual(re.findall(r"hard (\d)", text), ["0", "1"] * 2, text)
        self.on_device(passes, passes)
        lost = suite.difference(self.before, suite.counters(self.host))
        for direction in ("in", "out"):
            own = [lost.pop(f"{direction}-{why}", 0)
                   for why in ("state-expired", "state-invalid", "no-state")]  # over, going, gone
            self.assertGreaterEqual(own[0], 1)
            self.assertEqual(sum(own), 10 - passes, direction)
        self.assertEqual({name for name in lost if not name.startswith("Xfrm")}, set(), lost)

    def test_packets(self):
        self.install_limited("packet-soft 3", "packet-hard 6")
        self.expires(passes=6, soft_after=3)

    def test_bytes(self):
        # Tested before each is counted: the fourth finds 300, the sixth 500.
        self.install_limited(f"byte-soft {2 * SIZE + 50}", f"byte-hard {5 * SIZE}")
        self.expires(passes=5, soft_after=3)

    def test_seconds(self):
        self.install_limited("time-soft 2", "time-hard 4")
        events = self.listen(EXPIRE_GROUP)
        sent = self.transmit(2)
        self.assertEqual(self.left(2), sent)
        self.assertEqual(self.receive(2), 2)
        soft = []
        self.wait_for(lambda: soft.extend(self.expired(events(0.1))) or len(soft) == 2, "soft expiry")
        self.assertEqual(set(soft), {(SPI_OUT, 0), (SPI_IN, 0)})
        self.assertEqual({sa["state"] for sa in self.host.show("sa")}, {"dying"})
        self.assertEqual(self.receive(2), 2, "soft expiry stops nothing")
        self.wait_for(lambda: self.host.show("sa") == [], "hard expiry")
        self.assertEqual(set(self.expired(events(0.2))), {(SPI_OUT, 1), (SPI_IN, 1)})
        self.on_device(2, 4)
        self.assertEqual(suite.difference(self.before, suite.counters(self.host)), {})
        self.assertEqual(self.receive(1), 0)
        self.transmit(1)
        self.assertEqual(self.left(1), [])

    # --- ACQUIRE ---

    def without_sa(self, larval_drop):
        path = "/proc/sys/net/core/xfrm_larval_drop"
        if self.host.ns.run(["test", "-e", path], check=False).returncode != 0:
            self.skipTest(f"this kernel has no {path} in a network namespace")
        self.addCleanup(sysctl, self.host.ns, "net.core.xfrm_larval_drop", 1)
        sysctl(self.host.ns, "net.core.xfrm_larval_drop", larval_drop)
        self.install()
        self.host.xfrm("state flush")
        time.sleep(1.5 * suite.SLOWNESS)  # the daemon checks once a second
        self.before = suite.counters(self.host)
        return self.monitor("acquire")

    def asked_once(self, monitor):
        text = monitor.wait_for("acquire proto esp")
        self.assertEqual(text.count("acquire proto esp"), 1, text)
        self.assertIn(f"sel src {INNER_HOST}/32 dst {INNER_PEER}/32 proto udp", text)
        self.assertIn(f"tmpl src {HOST} dst {PEER}", text)

    def answered(self):
        self.host.xfrm(self.sa(False, SPI_OUT, self.out))

    def test_larval_drop(self):
        monitor = self.without_sa(larval_drop=1)
        self.transmit(3)
        self.asked_once(monitor)
        self.answered()
        self.assertEqual(self.left(1), [], "nothing was held")
        self.assertEqual(suite.difference(self.before, suite.counters(self.host)),
                         {"out-no-state": 3, "XfrmOutNoStates": 3})
        sent = self.transmit(2)
        self.assertEqual(self.left(2), sent)

    def test_held_packets_leave_once_the_sa_is_there(self):
        monitor = self.without_sa(larval_drop=0)
        sent = self.transmit(3)
        self.asked_once(monitor)
        self.assertEqual(self.left(1), [])
        sent += self.transmit(2)
        self.answered()
        self.assertEqual(self.left(5, timeout=2), sent)
        self.assertEqual(suite.difference(self.before, suite.counters(self.host)), {})
        monitor.end()

    def test_held_packets_are_bounded(self):
        monitor = self.without_sa(larval_drop=0)
        sent = self.transmit(120)
        self.asked_once(monitor)
        self.wait_for(lambda: suite.difference(self.before, suite.counters(self.host)).get(
            "out-hold-full") == 20, "the rest to be dropped")
        self.answered()
        self.assertEqual(self.left(120, timeout=2), sent[:100])
        self.assertEqual(suite.difference(self.before, suite.counters(self.host)),
                         {"out-hold-full": 20, "XfrmOutNoQueueSpace": 20})


class InSoftware(Events, suite.Case):
    pass


class OnDevice(Events, suite.Case):
    offload = True


if __name__ == "__main__":
    suite.main()
