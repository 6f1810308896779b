#!/usr/bin/python3
"""Hostile and odd packets on a real wire. Each raises the counter that reference text and Linux name
for it, and nothing else: no other counter, no frame to the host; and a good packet still passes.
Every test runs twice: with the SA in software and with the SA in the device.
"""

import os
import random
import signal
import socket
import struct
import time

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6

import suite
from rawwire import FrameSocket, fence_mark, inside
from wirehost import (ESP, HOST, HOST6, INNER6_HOST, INNER6_PEER, INNER_HOST, INNER_PEER, IPIP, IPV6,
                      MARK, NONE, PEER, PEER6, SPI_IN, TCP, WINDOW, WireHost, marked, udp)


class HostileWire(WireHost):
    """The tests; see the two classes at the end."""

    # --- Short, forged, replayed ---

    def short_packets(self):
        minimum = 8 + 8 + 2 + self.into.icv
        packets = []
        for size in range(61):
            esp = struct.pack("!II", SPI_IN, 1000 + size) + os.urandom(60)
            packets.append(self.outer(esp[:size]))
        below = 8
        self.expect(lambda: self.send(*packets), {
            "in-too-short": below, "XfrmInHdrError": below,
            "in-truncated": minimum - below, "in-auth-failed": 61 - minimum,
            "XfrmInStateProtoError": 61 - below})
        self.assertEqual(self.sa_report()["stats"]["integrity_failed"], 61 - minimum)

    def test_esp_of_0_to_60_bytes(self):
        self.short_packets()

    def test_esp_of_0_to_60_bytes_transport_v6(self):
        self.install("transport", 6)
        self.short_packets()

    def test_esp_of_0_to_60_bytes_icv8(self):
        self.install(icv=8)
        self.short_packets()

    def test_bad_icv(self):
        packet = self.sealed()
        forged = []
        for at in (24, 28, 36, 40, len(packet) - 17, len(packet) - 16, len(packet) - 1):
            copy = bytearray(packet)  # sequence number, IV, text, ICV
            copy[at] ^= 0x01
            if at == 24:
                copy[at] ^= 0x01
                copy[27] ^= 0x40  # ahead of the window, but not far
            forged.append(bytes(copy))
        self.drops("in-auth-failed", "XfrmInStateProtoError", *forged, good=False)
        report = self.sa_report()
        self.assertEqual(report["stats"]["integrity_failed"], len(forged))
        self.assertEqual(report["replay"]["seq"], 0, "the window moved")
        self.assertEqual(report["usage"]["packets"], 0)
        self.good()
        self.passes(packet)  # the forgeries did not use the number up

    def test_forged_number_far_ahead_does_not_move_the_window(self):
        packet = bytearray(self.sealed())
        packet[24:28] = b"\xff\xff\xff\xf0"
        self.drops("in-auth-failed", "XfrmInStateProtoError", bytes(packet))

    def test_replayed(self):
        packet = self.sealed()
        self.passes(packet)
        self.drops("in-replay-duplicate", "XfrmInStateSeqError", packet, packet, packet)
        self.assertEqual(self.sa_report()["stats"]["replay"], 3)

    def test_too_old(self):
        old = self.sealed(seq=1000 - WINDOW)
        edge = self.sealed(seq=1000 - WINDOW + 1)
        self.passes(self.sealed(seq=1000))
        self.into.seq = 1000
        self.drops("in-replay-old", "XfrmInStateSeqError", old, good=False)
        self.assertEqual(self.sa_report()["stats"]["replay_window"], 1)
        self.passes(edge)
        self.drops("in-replay-duplicate", "XfrmInStateSeqError", edge)

    def test_edges_of_windows_of_all_sizes(self):
        for window in (32, 33, 256, 1000, 4096):
            with self.subTest(window=window):
                self.install(window=window)
                self.passes(self.sealed(seq=10_000))
                self.into.seq = 10_000
                self.drops("in-replay-old", "XfrmInStateSeqError", self.sealed(seq=10_000 - window),
                           good=False)
                edge = self.sealed(seq=10_000 - window + 1)
                self.passes(edge)
                self.drops("in-replay-duplicate", "XfrmInStateSeqError", edge, good=False)

    def test_sequence_number_zero(self):
        self.drops("in-replay-zero", "XfrmInStateSeqError", self.sealed(seq=0))

    # --- Authentic, and wrong inside ---

    def test_pad_length_after_authentication(self):
        packets = []
        for text in (udp() + b"\xff\x04", udp()[:30] + bytes([31, IPIP]), b"\x01\x04", b"\xff\xff",
                     bytes([1, 2, 3, IPIP])):
            packets.append(self.outer(self.into.seal_text(text)))
        self.drops("in-bad-trailer", "XfrmInStateProtoError", *packets)

    def test_padding_and_no_payload(self):
        self.drops("in-mode-mismatch", "XfrmInStateModeError",
                   *[self.outer(self.into.seal_text(text))
                     for text in (b"\x00\x04", bytes([1, 2, 2, IPIP]))])

    def test_rejected_trailer_moves_nothing(self):
        self.drops("in-bad-trailer", "XfrmInStateProtoError",
                   self.outer(self.into.seal_text(udp() + b"\xff\x04", seq=500)))
        self.assertLess(self.sa_report()["replay"]["seq"], 500)

    def test_dummy_packet(self):
        self.drops("in-dummy", "XfrmInStateProtoError", self.sealed(b"\0" * 40, NONE),
                   self.sealed(b"", NONE))
        self.assertLessEqual(self.sa_report()["replay"]["seq"], 3)
        self.assertEqual(self.sa_report()["usage"]["packets"], 1, "dummies were charged")

    def test_wrong_next_header(self):
        self.drops("in-mode-mismatch", "XfrmInStateModeError",
                   *[self.sealed(next_header=n) for n in (0, 1, TCP, 17, IPV6, ESP, 255)])

    def test_inner_length_lies(self):
        def lie(**fields):
            packet = IP(src=INNER_PEER, dst=INNER_HOST, **fields) / UDP(dport=7001) / MARK
            return bytes(packet)
        honest = udp()
        packets = [lie(len=len(honest) + 1), lie(len=65535), lie(len=19), lie(len=0), lie(ihl=4),
                   lie(ihl=0), lie(version=6), honest[:19], honest[:1], honest[:8],
                   b"\x4f" + honest[1:40]]
        self.drops("in-mode-mismatch", "XfrmInStateModeError", *[self.sealed(p) for p in packets])

    def test_inner_length_lies_v6(self):
        self.install(family=6)
        honest = bytes(IPv6(src=INNER6_PEER, dst=INNER6_HOST) / UDP(dport=7001) / MARK)
        packets = [honest[:4] + b"\xff\xff" + honest[6:], honest[:39], honest[:1],
                   b"\x40" + honest[1:], honest[:5] + bytes([honest[5] + 1]) + honest[6:]]
        self.drops("in-mode-mismatch", "XfrmInStateModeError",
                   *[self.sealed(p, IPV6) for p in packets])

    def test_padding_behind_the_inner_packet_is_cut_off(self):
        inner = udp()
        frames = self.passes(self.sealed(inner + b"\0" * 100))  # traffic flow confidentiality
        self.assertEqual(frames[0][14:], inner)

    # --- No SA, or the wrong one ---

    def test_spi_0_to_255(self):
        body = os.urandom(60)
        self.drops("in-no-state", "XfrmInNoStates",
                   *[self.outer(struct.pack("!II", spi, 1) + body) for spi in range(256)])

    def test_unknown_spi_and_destination(self):
        esp = self.into.seal(udp(), IPIP)
        elsewhere = bytes(IP(src=PEER, dst=INNER_HOST, proto=ESP) / esp)
        self.drops("in-no-state", "XfrmInNoStates",
                   self.outer(struct.pack("!II", 0x7777, 1) + os.urandom(60)), elsewhere,
                   self.outer(struct.pack("!II", 0xffffffff, 1) + os.urandom(60)),
                   self.outer(esp, family=6))

    def fragments(self, esp, *cuts):
        """The outer packet in fragments; `cuts`: (first byte, end) of the ESP packet."""
        packets, ident = [], random.getrandbits(16)
        for first, end in cuts:
            more = int(end < len(esp))
            if self.family == 4:
                packets.append(self.outer(esp[first:end], id=ident, frag=first // 8,
                                          flags="MF" if more else 0))
            else:
                head = bytes([ESP, 0]) + struct.pack("!HI", first | more, ident)
                packets.append(self.outer(head + esp[first:end], 44))
        return packets

    def fragmented(self):
        """ESP fragments in any order are reassembled first; then the packet is like any other."""
        inner = udp(b"x" * 400) if self.family == 4 else bytes(
            IPv6(src=INNER6_PEER, dst=INNER6_HOST) / UDP(dport=7001) / (b"x" * 400))
        esp = self.into.seal(inner, IPIP if self.family == 4 else IPV6)
        first, second, last = self.fragments(esp, (0, 200), (200, 320), (320, len(esp)))
        before = suite.counters(self.host)
        self.nic.drain()
        self.send(last, first, second)
        frames = self.nic.frames(timeout=2 * suite.SLOWNESS)
        self.assertEqual([f[14:] for f in frames], [inner])
        self.assertEqual(suite.difference(before, suite.counters(self.host)), {})
        self.drops("in-replay-duplicate", "XfrmInStateSeqError", self.outer(esp))

    def test_esp_in_fragments(self):
        self.fragmented()

    def test_esp_in_fragments_v6(self):
        self.install(family=6)
        self.fragmented()

    def overlapping(self):
        """RFC 5722: the datagram is dropped with all its fragments."""
        esp = self.into.seal(b"x" * 400, IPIP)
        first, second, last = self.fragments(esp, (0, 200), (192, 400), (400, len(esp)))
        self.expect(lambda: self.send(first, second, last), {"in-fragment-overlap": 3})

    def test_esp_in_fragments_that_overlap(self):
        self.overlapping()

    def test_esp_in_fragments_that_overlap_v6(self):
        self.install(family=6)
        self.overlapping()

    def test_malformed_outer_header(self):
        def broken(**fields):
            return bytes(IP(src=PEER, dst=HOST, proto=ESP, **fields) / self.into.seal(udp(), IPIP))
        self.drops("in-bad-header", "XfrmInHdrError", broken(len=2000), broken(len=10),
                   broken(ihl=4), broken(ihl=1), b"\x45" + b"\0" * 9)

    def encapsulated(self, esp, dport=4500):
        return self.outer(UDP(sport=4500, dport=dport, chksum=0) / esp, 17)

    def test_udp_encapsulated_to_an_sa_without(self):
        self.drops("in-encap-mismatch", "XfrmInStateMismatch",
                   self.encapsulated(self.into.seal(udp(), IPIP)))

    def test_plain_esp_to_an_sa_with_encapsulation(self):
        self.install(in_extra="encap espinudp 4500 4500 0.0.0.0")
        self.drops("in-encap-mismatch", "XfrmInStateMismatch", self.sealed(), good=False)
        self.passes(self.encapsulated(self.into.seal(udp(), IPIP)))

    def test_selector_mismatch(self):
        self.install(in_extra="sel src 10.2.0.0/24 dst 10.1.0.0/24")
        self.drops("in-selector-mismatch", "XfrmInStateMismatch",
                   self.sealed(udp(src="10.2.1.1")), self.sealed(udp(dst="10.1.1.1")))

    def test_expired_by_packets(self):
        self.install(in_extra="limit packet-hard 2")
        self.passes(self.sealed(), self.sealed())
        self.drops("in-state-expired", "XfrmInStateExpired", self.sealed(), good=False)
        self.wait_for(lambda: len(self.host.show("sa")) == 1, "the SA to go")
        self.drops("in-no-state", "XfrmInNoStates", self.sealed(), good=False)

    def test_larval_sa(self):
        self.host.xfrm(f"state allocspi src {PEER} dst {HOST} proto esp mode tunnel min 0x5005 "
                       "max 0x5005")
        body = struct.pack("!II", 0x5005, 1) + os.urandom(60)
        self.drops("in-acquire-state", "XfrmAcquireError", self.outer(body))

    # --- Policy ---

    def test_tunnel_sa_without_policy(self):
        self.install(policies=self.policies(directions=("out",)))
        self.drops("in-no-policy", "XfrmInNoPols", self.sealed(), good=False)

    def test_tunnel_sa_without_any_policy(self):
        self.install(policies=[])
        self.drops("in-no-policy", "XfrmInNoPols", self.sealed(), good=False)

    def test_policy_of_another_reqid(self):
        lines = [line.replace("reqid 1", "reqid 2") for line in self.policies()]
        self.install(policies=lines)
        self.drops("in-template-mismatch", "XfrmInTmplMismatch", self.sealed(), good=False)

    def test_block_policy(self):
        blocks = [f"policy add src {src}.0.0/16 dst {dst}.0.0/16 proto udp dir {direction} "
                  "action block priority 0" for direction, src, dst in (("in", "10.2", "10.1"),
                                                                        ("out", "10.1", "10.2"))]
        # With equal priority, the older one counts.
        self.install(policies=blocks + self.policies())
        self.drops("in-policy-block", "XfrmInPolBlock", self.sealed(), udp())
        self.expect(lambda: self.udp.sendto(MARK, (INNER_PEER, 9)),
                    {"out-policy-block": 1, "XfrmOutPolBlock": 1})

    def test_default_policy_block(self):
        self.host.xfrm("policy setdefault in block")
        self.drops("in-no-policy", "XfrmInNoPols", udp(src=PEER, dst=HOST))

    # --- Nothing in clear ---

    def test_plaintext_that_should_have_been_protected(self):
        path = os.path.join(self.workdir, "nic0.pcap")
        tcpdump = suite.start_capture(self.host.ns, "nic0", path, "udp")
        self.host_gets()
        self.drops("in-template-mismatch", "XfrmInTmplMismatch", udp(), udp(dport=53),
                   udp(src="10.2.255.254"), udp(sport=500),
                   udp(b"\0\0\0\0" + MARK, sport=4500))
        self.assertEqual(self.host_gets(), [])
        self.passes(udp(b"not covered", src=PEER, dst=HOST))  # proof that tcpdump would have seen it
        capture = suite.end_capture(tcpdump, path, b"not covered")
        self.assertNotIn(MARK, capture)
        self.assertIn(b"not covered", capture)

    def test_plaintext_in_vlan_tags(self):
        tags = (b"\x81\x00\x00\x05", b"\x88\xa8\x00\x05\x81\x00\x00\x06", b"\x81\x00\x00\x00" * 3)
        ends = self.peer.host_mac + self.peer.mac
        frames = [ends + tag + b"\x08\x00" + udp() for tag in tags]

        def send():
            for frame in frames:
                self.peer.wire.send(frame)
        self.expect(send, {"in-template-mismatch": 3, "XfrmInTmplMismatch": 3})

    def test_plaintext_of_another_ether_type_is_no_ip(self):
        ends = self.peer.host_mac + self.peer.mac

        def send():  # says IPv6, is IPv4: for neither stack
            self.peer.wire.send(ends + b"\x86\xdd" + udp())
        self.expect(send, {"in-bad-header": 1, "XfrmInHdrError": 1})

    def test_host_sends_protected_flow_in_vlan_tag(self):
        ends = self.peer.mac + self.peer.host_mac
        packet = udp(src=INNER_HOST, dst=INNER_PEER)
        self.peer.wire.drain()
        self.stack.send(ends + b"\x81\x00\x00\x05\x08\x00" + packet)
        self.stack.send(ends + b"\x08\x00" + packet)
        frames = self.peer.wire.frames(lambda f: f[12:14] in (b"\x08\x00", b"\x81\x00"), 2,
                                       2 * suite.SLOWNESS)
        self.assertEqual(len(frames), 2)
        for frame in frames:
            self.assertNotIn(MARK, frame)
            at = 18 if frame[12:14] == b"\x81\x00" else 14
            self.assertEqual(self.out.open(frame[at + 20:]).payload, packet)

    def test_protected_flow_without_sa_stays_here(self):
        self.host.xfrm("state flush")
        self.peer.wire.drain()
        self.expect(lambda: [self.udp.sendto(MARK, (INNER_PEER, 9)) for _ in range(3)],
                    {"out-no-state": 3, "XfrmOutNoStates": 3}, good=False)
        self.assertEqual(self.peer.wire.frames(marked, timeout=0.2), [])

    def test_host_stack_cannot_send_by_the_wire_interface(self):
        self.host.ns.ip("route add 10.9.0.0/16 dev wire0 scope link")
        self.addCleanup(self.host.ns.ip, "route del 10.9.0.0/16")
        self.host.ns.ip(f"neigh add 10.9.0.1 lladdr {self.peer.mac.hex(':')} dev wire0 nud permanent")
        with inside(self.host.ns):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sender.close)
        sender.bind((INNER_HOST, 0))
        frame = self.peer.mac + self.peer.host_mac + b"\x08\x00" + udp(src=INNER_HOST, dst=INNER_PEER)
        raw = FrameSocket(self.host.ns, "wire0")
        allowed = FrameSocket(self.host.ns, "wire0", mark=fence_mark(self.host.ns, "wire0"))
        self.addCleanup(raw.close)
        self.addCleanup(allowed.close)
        self.peer.wire.drain()
        for send in (lambda: sender.sendto(MARK, ("10.9.0.1", 9)), lambda: raw.send(frame)):
            try:
                send()
            except OSError:
                pass  # notified at once: also good
        self.assertEqual(self.peer.wire.frames(marked, timeout=0.3), [])
        allowed.send(frame)  # the guard is what stops the others
        self.assertEqual(len(self.peer.wire.frames(marked)), 1)

    def test_host_stack_does_not_hear_the_wire_interface(self):
        suite.xfrm_batch(self.host, ["state flush", "policy flush"])
        self.host_gets()
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self.peer.mac + socket.inet_aton(
            PEER) + b"\0" * 6 + socket.inet_aton(HOST)
        self.host.daemon.send_signal(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self.host.daemon.pid, os.WSTOPPED)
            self.peer.wire.drain()
            self.peer.wire.send(b"\xff" * 6 + self.peer.mac + b"\x08\x06" + arp)
            self.send(udp(src=PEER, dst=HOST), udp())
            time.sleep(0.3)
            self.assertEqual(self.host_gets(), [])
            self.assertEqual(self.peer.wire.frames(timeout=0.05), [])
        finally:
            self.host.daemon.send_signal(signal.SIGCONT)
        self.wait_for(lambda: len(self.host_gets()) > 0, "the packets, by way of the TAP")
        replies = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x06" and f[21] == 2, 2, 0.3)
        self.assertEqual(len(replies), 1, "one answer to one ARP request")

    # --- What always passes ---

    def cover_everything(self):
        """Transport policies for all traffic between the two hosts, of both families."""
        self.install("transport", policies=self.policies("transport")
                     + self.policies("transport", 6))

    def test_ike_has_no_way_around_policy(self):
        """The default; test_clear_wire.py tests what `ike_bypass` lets pass."""
        self.cover_everything()
        esp_marker = b"\0\0\0\0" + MARK
        for packet in (udp(sport=500, dport=500, src=PEER, dst=HOST),
                       udp(esp_marker, sport=4500, dport=4500, src=PEER, dst=HOST),
                       udp(sport=501, dport=501, src=PEER, dst=HOST)):
            self.drops("in-template-mismatch", "XfrmInTmplMismatch", packet)
        self.peer.wire.drain()
        with inside(self.host.ns):
            ike = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            nat_t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(ike.close)
        self.addCleanup(nat_t.close)
        ike.bind((HOST, 500))
        nat_t.bind((HOST, 4500))
        ike.sendto(MARK, (PEER, 500))
        nat_t.sendto(esp_marker, (PEER, 4500))
        self.udp.sendto(MARK, (PEER, 5000))
        self.assertEqual(self.peer.wire.frames(marked, timeout=0.2), [])

    def test_nat_keepalive_is_swallowed(self):
        self.expect(lambda: self.send(udp(b"\xff", sport=4500, dport=4500, src=PEER, dst=HOST)), {})

    def test_arp_passes_both_ways(self):
        self.cover_everything()
        self.peer.wire.drain()

        def is_arp(frame):
            return frame[12:14] == b"\x08\x06"
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self.peer.mac + socket.inet_aton(
            PEER) + b"\0" * 6 + socket.inet_aton(HOST)
        self.peer.wire.send(b"\xff" * 6 + self.peer.mac + b"\x08\x06" + arp)
        replies = self.peer.wire.frames(is_arp)
        self.assertEqual(len(replies), 1)
        self.assertEqual(replies[0][20:32],
                         b"\x00\x02" + self.peer.host_mac + socket.inet_aton(HOST))
        self.udp.sendto(b"who is it?", ("192.0.2.99", 9))
        asked = self.peer.wire.frames(is_arp)
        self.assertTrue(asked and asked[0][38:42] == socket.inet_aton("192.0.2.99"))

    def test_neighbour_discovery_passes_both_ways(self):
        self.cover_everything()
        self.peer.wire.drain()
        packet = bytes(IPv6(src=PEER6, dst=HOST6, hlim=255) / ICMPv6ND_NS(tgt=HOST6)
                       / (b"\x01\x01" + self.peer.mac))
        self.send(packet)

        def icmp6(kind):
            return lambda f: f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == kind
        self.assertEqual(len(self.peer.wire.frames(icmp6(136))), 1)
        with inside(self.host.ns):
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.addCleanup(sender.close)
        sender.sendto(MARK, ("2001:db8::99", 9))
        self.assertEqual(len(self.peer.wire.frames(icmp6(135))), 1)
        self.assertEqual(self.peer.wire.frames(marked, timeout=0.05), [])

    def test_other_protocols_pass_neither_way(self):
        body = b"\x88\xb5" + os.urandom(50)  # ether type for experiments
        before = self.host.drops()
        self.nic.drain()
        self.peer.wire.drain()
        self.peer.wire.send(self.peer.host_mac + self.peer.mac + body)
        self.assertEqual(self.nic.frames(lambda f: f[12:] == body, timeout=0.2), [])
        self.stack.send(self.peer.mac + self.peer.host_mac + body)
        self.assertEqual(self.peer.wire.frames(lambda f: f[12:] == body, timeout=0.2), [])
        after = self.host.drops()
        for reason in ("in-ether-type", "out-ether-type"):
            self.assertEqual(after.get(reason, 0) - before.get(reason, 0), 1)


class SaInSoftware(HostileWire, suite.Case):
    offload = False


class SaInDevice(HostileWire, suite.Case):
    offload = True

    def test_the_device_does_the_work(self):
        before = self.host.show("dev")[0]["offload"]
        self.good()
        after = self.host.show("dev")[0]["offload"]
        self.assertEqual(after["opened"] - before["opened"], 1)
        self.assertEqual(after["sealed"] - before["sealed"], 1)


if __name__ == "__main__":
    suite.main()
