#!/usr/bin/python3
"""What passes in clear on a real wire under policies that block everything, or ask for ports: frames
that are not IP, IKE of root and of others, fragments that are not of one kind.
"""

import os
import socket
import struct
import time

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP

import suite
from rawwire import FrameSocket, inside
from wirehost import HOST, INNER_HOST, INNER_PEER, MARK, PEER, WireHost, marked

NOBODY = 65534
BLOCK = ["policy setdefault in block out block fwd block"]
# A header of IKEv2 and 28 bytes for its body.
IKE = struct.pack(">QQBBBBII", 1, 0, 0, 0x20, 34, 0x08, 0, 56) + MARK.ljust(28)


class ClearWire(WireHost, suite.Case):
    daemon_keys = 'ike_bypass = true\npass_ether_types = ["lldp"]'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.inside_tap = cls.own(FrameSocket(cls.host.ns, "nic0", arriving=True))

    def counter(self, name):
        return suite.counters(self.host).get(name, 0)

    # --- Frames that are not IP ---

    def frames(self, source):
        ip = bytes(IP(src=HOST, dst=PEER) / UDP(dport=9) / MARK)
        llc = b"\xaa\xaa\x03\0\0\0\x08\0" + ip
        for ether_type, payload in ((0x8864, b"\x11\0\0\1" + struct.pack("!HH", len(ip) + 2, 0x21) + ip),
                                    (0x8847, struct.pack("!I", 100 << 12 | 1 << 8 | 64) + ip),
                                    (0x9100, struct.pack("!HH", 5, 0x0800) + ip), (len(llc), llc),
                                    (0x6558, b"\xff" * 6 + source + b"\x08\0" + ip), (0x888e, MARK),
                                    (0x8100, struct.pack("!HH", 5, 0x88b5) + MARK)):
            yield b"\xff" * 6 + source + struct.pack("!H", ether_type) + payload

    def test_what_is_not_listed_passes_neither_way(self):
        suite.xfrm_batch(self.host, BLOCK)
        for name, sender, seen in (("out-ether-type", self.stack, self.peer.wire),
                                   ("in-ether-type", self.peer.wire, self.inside_tap)):
            with self.subTest(name):
                before, seen_before = self.counter(name), list(self.frames(self.peer.mac))
                seen.drain()
                for frame in seen_before:
                    sender.send(frame)
                lldp = b"\xff" * 6 + self.peer.mac + b"\x88\xcc" + MARK.ljust(46)
                sender.send(lldp)
                got = seen.frames(marked, len(seen_before) + 1, 0.5 * suite.SLOWNESS)
                self.assertEqual([f[12:14] for f in got], [b"\x88\xcc"])
                self.wait_for(lambda: self.counter(name) == before + len(seen_before), name)

    def test_arp_passes_without_a_tail(self):
        suite.xfrm_batch(self.host, BLOCK)
        self.peer.wire.drain()
        request = bytes(ARP(op=1, psrc=HOST, pdst=PEER))
        self.stack.send(b"\xff" * 6 + self.peer.mac + b"\x08\x06" + request + MARK)
        got = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x06", 1, suite.SLOWNESS)
        self.assertEqual(len(got), 1)
        self.assertNotIn(MARK, got[0])

    # --- IKE ---

    def socket_of(self, uid):
        """The process that makes a socket owns it."""
        os.setresuid(uid, uid, 0)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        os.setresuid(0, 0, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock

    def leaves(self, port, payload, uid=0, to=PEER, sharer=None):
        """Sent by a separate process of this user; another user may share its port."""
        self.peer.wire.drain()
        pid = os.fork()
        if pid == 0:
            try:
                with inside(self.host.ns):
                    sock = self.socket_of(uid)
                    other = sharer and self.socket_of(sharer)
                sock.bind((HOST, port))
                if other:
                    other.bind(("0.0.0.0", port))
                time.sleep(1.5)  # the daemon asks the kernel once a second
                sock.sendto(payload, (to, port))
                time.sleep(0.3)
            finally:
                os._exit(0)
        got = self.peer.wire.frames(marked, 1, 1.5 + suite.SLOWNESS)
        os.waitpid(pid, 0)
        return bool(got)

    def test_ike_of_root_alone_and_nothing_but_ike(self):
        suite.xfrm_batch(self.host, BLOCK)
        self.assertTrue(self.leaves(4500, bytes(4) + IKE))
        self.assertFalse(self.leaves(4500, bytes(4) + MARK.ljust(56)))
        self.assertFalse(self.leaves(4500, bytes(4) + IKE, uid=NOBODY))
        self.assertTrue(self.leaves(500, IKE))

    def test_ike_of_a_port_that_another_user_shares_is_held_to_policy(self):
        suite.xfrm_batch(self.host, BLOCK)
        self.assertFalse(self.leaves(4500, bytes(4) + IKE, sharer=NOBODY))
        self.assertIn(f"port 4500: the bypass is off for this port: a socket of uid {NOBODY}", self.host.log())
        self.wait_for(lambda: "port 4500: no longer shared with another user" in self.host.log(), "the port is root's alone")
        self.assertTrue(self.leaves(4500, bytes(4) + IKE))

    # --- Fragments ---

    def test_a_clear_piece_is_not_joined_to_what_an_sa_opened(self):
        self.install(policies=[
            f"policy add src {INNER_PEER}/32 dst {INNER_HOST}/32 proto udp dport 7001 dir in tmpl "
            f"src {PEER} dst {HOST} proto esp reqid 1 mode tunnel"])
        data = bytes(UDP(sport=7000, dport=7001, len=8 + 1200) / MARK.ljust(1200))
        data = data[:6] + b"\0\0" + data[8:]  # without a checksum
        self.udp.settimeout(0.3 * suite.SLOWNESS)

        def pieces(ident):
            return [bytes(IP(src=INNER_PEER, dst=INNER_HOST, proto=17, id=ident, frag=first // 8,
                             flags="MF" if first == 0 else 0) / data[first:end])
                    for first, end in ((0, 800), (800, len(data)))]

        def arrives(ident, sealed):
            for piece, protect in zip(pieces(ident), sealed):
                self.peer.send_ip(self.sealed(piece) if protect else piece)
            try:
                return self.udp.recv(2000) == data[8:]
            except TimeoutError:
                return False

        self.assertTrue(arrives(1, (True, True)))
        self.assertFalse(arrives(2, (True, False)))
        self.assertFalse(arrives(3, (False, True)))
        self.assertFalse(arrives(4, (False, False)))
        self.assertGreater(self.counter("in-template-mismatch"), 0)


if __name__ == "__main__":
    suite.main()
