#!/usr/bin/python3
"""Each of the 32 counters of /proc/net/xfrm_stat: the test that raises it and nothing else, or the
reason why Cygnet never counts it. Counters that test_hostile_wire.py raises are not repeated.
"""

import os
import signal
import socket
import struct

from scapy.layers.inet import IP

import suite
import test_hostile_wire
import xfrmclient as nl
from espjudge import EspJudge
from rawwire import inside
from wirehost import (ESP, HOST, INNER_HOST, INNER_PEER, MARK, PEER, SPI_OUT, WireHost, marked,
                      udp)

DIR_IN, DIR_OUT = 1, 2  # XFRM_SA_DIR_IN, XFRM_SA_DIR_OUT
HOSTILE, HERE, HOLDING, EMPTY = "HostileWire", "CounterFaults", "HoldQueue", "EmptyPool"

RAISED_BY = {
    "XfrmInError": (EMPTY, "test_no_buffers"),
    "XfrmInBufferError": (HERE, "test_seven_nested_sas"),
    "XfrmInHdrError": (HOSTILE, "test_malformed_outer_header"),
    "XfrmInNoStates": (HOSTILE, "test_unknown_spi_and_destination"),
    "XfrmInStateProtoError": (HOSTILE, "test_bad_icv"),
    "XfrmInStateModeError": (HOSTILE, "test_wrong_next_header"),
    "XfrmInStateSeqError": (HOSTILE, "test_replayed"),
    "XfrmInStateExpired": (HOSTILE, "test_expired_by_packets"),
    "XfrmInStateMismatch": (HOSTILE, "test_selector_mismatch"),
    "XfrmInTmplMismatch": (HOSTILE, "test_policy_of_another_reqid"),
    "XfrmInNoPols": (HOSTILE, "test_tunnel_sa_without_policy"),
    "XfrmInPolBlock": (HOSTILE, "test_block_policy"),
    "XfrmOutError": (HERE, "test_host_sends_malformed_packets"),
    "XfrmOutNoStates": (HOSTILE, "test_protected_flow_without_sa_stays_here"),
    "XfrmOutStateSeqError": (HERE, "test_sequence_numbers_used_up"),
    "XfrmOutStateExpired": (HERE, "test_outbound_sa_expired_by_packets"),
    "XfrmOutPolBlock": (HOSTILE, "test_block_policy"),
    "XfrmAcquireError": (HOSTILE, "test_larval_sa"),
    "XfrmOutStateDirError": (HERE, "test_outbound_by_an_sa_for_input"),
    "XfrmInStateDirError": (HERE, "test_inbound_by_an_sa_for_output"),
    "XfrmOutNoQueueSpace": (HOLDING, "test_hold_queue_full"),
}

NOT_RAISED = {
    "XfrmInStateInvalid": "an SA that is deleted leaves the SAD first: only a packet that is being "
                          "looked at meanwhile sees it dead, a race that no test can be sure to "
                          "win. InboundTest has it with the SA held",
    "XfrmInPolError": "a policy look-up cannot fail: it reads an immutable snapshot",
    "XfrmOutBundleGenError": "a chain of SAs is made without routes and allocations, and NEWPOLICY "
                             "refuses more templates than a chain can hold",
    "XfrmOutBundleCheckError": "no bundle is kept: the flow cache is thrown away with every change",
    "XfrmOutStateProtoError": "the engine or device would have to fail at sealing a valid packet, or "
                              "to lie; SimNicTest, PathEquivalenceTest and LyingDeviceTest do",
    "XfrmOutStateModeError": "an SA is chosen by mode, family and selector of the packet, and "
                             "fragments are put together first; EncapsulateTest calls the "
                             "transform directly",
    "XfrmOutPolDead": "a policy that is removed is gone from the next snapshot; the packet that "
                      "holds the one before is treated by that one. One that is added while a "
                      "packet is on its way to the wire stops it (out-policy-changed), a race that "
                      "no test can be sure to win: ClearAtTheWireTest has it",
    "XfrmOutPolError": "as XfrmInPolError",
    "XfrmFwdHdrError": "forwarding is the host kernel's business, and counted there",
    "XfrmOutStateInvalid": "as XfrmInStateInvalid; RoundTripTest has it with the SA held",
    "XfrmInIptfsError": "mode iptfs is refused by NEWSA",
}


def is_esp(frame):
    return frame[12:14] == b"\x08\x00" and frame[23] == ESP


class CounterFaults(WireHost, suite.Case):
    def setUp(self):
        self.install()

    def raw_client(self):
        client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(client.close)
        return client, client.open()

    def add_directed(self, ends, spi, direction):
        """An SA with XFRMA_SA_DIR, which iproute2 6.1 does not know."""
        client, s = self.raw_client()
        sa = nl.sa_info(*ends, spi=spi) + nl.attr("ALG_AEAD", nl.aead())
        reply = client.ask(s, nl.message("NEWSA", sa + nl.attr("SA_DIR", bytes([direction]))))
        self.assertEqual(reply[0][3][0], 0, reply)

    def test_seven_nested_sas(self):
        """A policy can require six transforms; a seventh is not checked."""
        judges = [EspJudge(0x3000 + i, os.urandom(20)) for i in range(7)]
        suite.xfrm_batch(self.host, [self.sa(True, j.spi, j, "transport") for j in judges])
        self.window = 0
        body, proto = udp(src=PEER, dst=HOST)[20:], 17
        for judge in judges:
            body, proto = judge.seal(body, proto), ESP
        self.drops("in-nested", "XfrmInBufferError", self.outer(body))

    def test_host_sends_malformed_packets(self):
        def send():
            good = bytes(IP(src=INNER_HOST, dst=INNER_PEER) / MARK)
            for packet in (b"\x46" + good[1:20], good[:19], good[:2] + b"\xff\xff" + good[4:]):
                self.stack.send(self.peer.mac + self.peer.host_mac + b"\x08\x00" + packet)
        self.peer.wire.drain()
        self.expect(send, {"out-bad-packet": 3, "XfrmOutError": 3})
        self.assertEqual(self.peer.wire.frames(marked, timeout=0.1), [])

    def replace_outbound(self, extra):
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi {SPI_OUT:#x}")
        self.host.xfrm(self.sa(False, SPI_OUT, self.out, extra=extra))

    def ask_out(self, count):
        self.peer.wire.drain()
        for _ in range(count):
            self.udp.sendto(MARK, (INNER_PEER, 9))

    def test_sequence_numbers_used_up(self):
        self.replace_outbound("replay-oseq 0xfffffffd")
        self.expect(lambda: self.ask_out(4), {"out-sequence": 2, "XfrmOutStateSeqError": 2},
                    good=False)
        numbers = [f[38:42].hex() for f in self.peer.wire.frames(is_esp, 3, 0.2)]
        self.assertEqual(numbers, ["fffffffe", "ffffffff"], "no number twice, and no zero")

    def test_outbound_sa_expired_by_packets(self):
        self.replace_outbound("limit packet-hard 2")

        def send():  # as one batch: an expired SA is about to be deleted
            self.host.daemon.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.host.daemon.pid, os.WSTOPPED)
            self.ask_out(3)
            self.host.daemon.send_signal(signal.SIGCONT)
        self.expect(send, {"out-state-expired": 1, "XfrmOutStateExpired": 1}, good=False)
        self.assertEqual(len(self.peer.wire.frames(is_esp, 3, 0.2)), 2)

    def test_outbound_by_an_sa_for_input(self):
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi {SPI_OUT:#x}")
        self.add_directed((HOST, PEER), SPI_OUT, DIR_IN)
        self.expect(lambda: self.ask_out(2), {"out-wrong-direction": 2, "XfrmOutStateDirError": 2},
                    good=False)
        self.assertEqual(self.peer.wire.frames(is_esp, timeout=0.1), [])

    def test_inbound_by_an_sa_for_output(self):
        self.add_directed((PEER, HOST), 0x4001, DIR_OUT)
        esp = EspJudge(0x4001, b"k" * 20).seal(udp(), 4)
        self.drops("in-wrong-direction", "XfrmInStateDirError", self.outer(esp))


class HoldQueue(WireHost, suite.Case):
    """Packets wait for key management."""

    sysctls = {"net.core.xfrm_larval_drop": 0}
    PER_POLICY = 100  # as Linux

    def setUp(self):
        self.install()
        self.host.xfrm("state flush")

    def test_hold_queue_full(self):
        def send():
            for i in range(self.PER_POLICY + 5):
                self.udp.sendto(struct.pack("!I", i), (INNER_PEER, 9))
        self.peer.wire.drain()
        self.expect(send, {"out-hold-full": 5, "XfrmOutNoQueueSpace": 5}, good=False)
        self.host.xfrm(self.sa(False, SPI_OUT, self.out))
        frames = self.peer.wire.frames(is_esp, self.PER_POLICY, 2 * suite.SLOWNESS)
        self.assertEqual([self.out.open(f[34:]).payload[28:] for f in frames],
                         [struct.pack("!I", i) for i in range(self.PER_POLICY)])


class EmptyPool(WireHost, suite.Case):
    """The smallest pool, and more waiting packets than it holds."""

    sysctls = HoldQueue.sysctls
    SMALL, POLICIES = 1024, 16
    daemon_keys = f"workers = 8\n[pools]\nsmall = {SMALL}"

    def setUp(self):
        self.install(policies=[
            f"policy add src {INNER_HOST} dst 10.2.1.{i} dir out tmpl src {HOST} dst {PEER} "
            f"proto esp reqid {100 + i} mode tunnel" for i in range(self.POLICIES)])

    def test_no_buffers(self):
        with inside(self.host.ns):
            senders = [self.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                       for _ in range(64)]
        before = suite.counters(self.host)
        for n in range(2 * self.SMALL):  # spread over policies and workers
            senders[n % len(senders)].sendto(MARK, (f"10.2.1.{n % self.POLICIES}", 9))

        def changed():
            return suite.difference(before, suite.counters(self.host))
        def arrives():
            self.send(*[udp(src=PEER, dst=HOST)] * 50)
            return "no-buffers" in changed()
        self.wait_for(arrives, "the pool to be empty")
        found = changed()
        self.assertEqual(found.get("no-buffers"), found.get("XfrmInError"))
        # If the flows' hashes favour one worker, it reaches its own limit of waiting packets before the pool
        # is empty.
        crowded = {"out-hold-full", "XfrmOutNoQueueSpace"}
        self.assertEqual(set(found) - crowded, {"no-buffers", "XfrmInError"})


class EveryName(WireHost, suite.Case):
    def test_every_name_has_a_test_or_a_reason(self):
        names = list(self.host.show("stat")["xfrm"])
        self.assertEqual(len(names), 32)
        self.assertEqual(sorted([*RAISED_BY, *NOT_RAISED]), sorted(names))
        for name, (group, test) in RAISED_BY.items():
            holder = getattr(test_hostile_wire, group, None) or globals()[group]
            self.assertTrue(callable(getattr(holder, test, None)), f"{name}: no {group}.{test}")


if __name__ == "__main__":
    suite.main()
