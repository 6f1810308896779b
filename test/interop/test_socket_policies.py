#!/usr/bin/python3
"""Socket policies (setsockopt IP_XFRM_POLICY): packets of such a socket pass in clear although the SPD
blocks everything, and no other packets do, until the last holder is gone. And IKE daemons on other
ports, which depend on this.
"""

import os
import signal
import socket
import struct
import unittest

from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6

import labkit
import suite
from rawwire import inside
from socketagent import Agent
from wirehost import HOST, HOST6, MARK, PEER, PEER6, WireHost, marked

PORT, FAR = 5500, 9
TEXT = MARK.decode()
EVERYTHING = "policy setdefault in block out block fwd block"


class SocketPolicies(WireHost, suite.Case):
    window = 64
    daemon_keys = "ike_bypass = false"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agent = cls.own(Agent(cls.host.ns, [cls.host.cygnet.command, "exec", "--"]))

    def setUp(self):
        self.install("transport", policies=self.policies("transport", directions=("out", "in")))
        self.host.xfrm(EVERYTHING)
        self.do = self.agent.do

    def tearDown(self):
        self.do("for name in [n for n, v in globals().items() if isinstance(v, socket.socket)]:",
                "    globals()[name].close()", "    del globals()[name]")
        self.wait_for(lambda: self.counts() == (0, 0), "the sockets' policies to go")
        super().tearDown()

    # --- What passes ---

    def counts(self):
        words = self.host.xfrm("policy count", options=("-s",)).stdout.split()
        return int(words[words.index("(Sock:") + 2]), int(words[words.index("(Sock:") + 4])

    def leaves(self, statement, seconds=2.0, count=1):
        """The frames in clear on the wire that the program causes."""
        self.peer.wire.drain()
        self.do(statement)
        return self.peer.wire.frames(marked, count, seconds * suite.SLOWNESS)

    def sends(self, s="s", far=FAR, to=PEER):
        return f"{s}.sendto({MARK!r}, ({to!r}, {far}))"

    def assert_leaves(self, *args, **kwargs):
        self.assertTrue(self.leaves(self.sends(*args, **kwargs)), "nothing in clear on the wire")

    def assert_stays(self, statement):
        self.assertEqual(self.leaves(statement, 0.2), [])

    def datagram(self, payload=MARK, port=PORT, far=FAR, src=PEER, dst=HOST):
        ip = IP if "." in src else IPv6
        return bytes(ip(src=src, dst=dst) / UDP(sport=far, dport=port) / payload)

    def arrives(self, s="s", packet=None, seconds=2.0):
        self.send(packet or self.datagram())
        return self.do(f"result = received({s}, {seconds * suite.SLOWNESS})") == TEXT

    # --- One socket ---

    def test_only_that_socket_passes(self):
        self.do(f"s = udp({PORT})", f"other = udp({PORT + 1}, policy=False)")
        before = suite.counters(self.host)
        self.assert_leaves()
        self.assertTrue(self.arrives())
        self.assertEqual(suite.difference(before, suite.counters(self.host)), {})
        self.assert_stays(self.sends("other"))  # sealed: it is protected by the SPD
        self.assertFalse(self.arrives("other", self.datagram(port=PORT + 1), 0.2))
        after = suite.difference(before, suite.counters(self.host))
        self.assertEqual(after.get("in-template-mismatch"), 1, after)
        text = self.host.xfrm("policy").stdout
        self.assertIn("socket out priority 0 ptype main", text)
        self.assertIn("socket in priority 0 ptype main", text)
        self.assertEqual(self.counts(), (1, 1))

    def test_ends_with_the_socket_though_the_port_lives_on(self):
        self.do(f"s = udp({PORT})")
        self.assert_leaves()
        self.do("s.close()", f"s = udp({PORT}, policy=False)")
        self.wait_for(lambda: self.counts() == (0, 0), "the policies to go")
        self.assert_stays(self.sends())
        self.assertFalse(self.arrives(seconds=0.2))

    def test_a_direction_is_replaced_and_both_are_cleared(self):
        self.do(f"s = udp({PORT})")
        self.do("assert set_policy(s, info(OUT, BLOCK)) == 0")
        self.assert_stays(f"unless_refused(lambda: {self.sends()})")
        self.assertTrue(self.arrives())
        self.do("assert set_policy(s, info(OUT)) == 0")
        self.assert_leaves()
        self.do("assert clear(s) == 0")
        self.assertEqual(self.counts(), (0, 0))
        self.assert_stays(self.sends())
        self.assertFalse(self.arrives(seconds=0.2))

    def test_a_block_stops_what_the_spd_lets_pass(self):
        self.host.xfrm("policy flush")
        self.host.xfrm("policy setdefault in accept out accept fwd accept")
        self.do(f"s = udp({PORT})", "s.setblocking(True)",
                "assert set_policy(s, info(IN, BLOCK)) == 0")
        self.assert_leaves()
        self.assertFalse(self.arrives(seconds=0.2))
        self.assertEqual(suite.counters(self.host).get("in-policy-block"), 1)

    def test_the_selector_counts_too(self):
        self.do(f"s = udp({PORT}, policy=False)",
                "sel = nl.selector('0.0.0.0', '0.0.0.0', 0, dport=9, dport_mask=0xffff)",
                "assert set_policy(s, info(OUT, selector=sel)) == 0")
        self.assert_leaves()
        self.assert_stays(self.sends(far=10))

    # --- Ports that come later ---

    def test_a_port_that_comes_by_bind(self):
        self.do("s = udp()", f"s.bind(('', {PORT}))")
        self.assert_leaves()
        self.assertTrue(self.arrives())

    def test_the_first_datagram_of_a_socket_without_a_port(self):
        self.do("s = udp()")
        self.assert_leaves()
        port = self.do("result = s.getsockname()[1]")
        self.assertTrue(self.arrives(packet=self.datagram(port=port)))
        self.do("s = udp()", f"s.connect(('{PEER}', {FAR}))")
        self.assertTrue(self.leaves(f"s.send({MARK!r})"))
        self.do("s = udp()", "t = s.dup()")
        self.assert_leaves("t")

    def test_a_connected_socket_gets_what_its_peer_sends_alone(self):
        self.do(f"s = udp({PORT})", f"s.connect(('{PEER}', {FAR}))")
        self.assertTrue(self.leaves(f"s.send({MARK!r})"))
        self.assertTrue(self.arrives())
        before = suite.counters(self.host)
        self.assertFalse(self.arrives(packet=self.datagram(far=FAR + 1), seconds=0.2))
        self.assertEqual(suite.difference(before, suite.counters(self.host)).get(
            "in-template-mismatch"), 1)

    def test_a_port_that_comes_behind_the_shim(self):
        """Changed by a system call that cygnetd does not see: noticed within a second."""
        self.do("s = udp()", "libc = ctypes.CDLL(None)",
                f"sa = struct.pack('=H', 2) + struct.pack('!H', {PORT}) + bytes(12)",
                "assert libc.syscall(49, s.fileno(), sa, 16) == 0" if os.uname().machine == "x86_64"
                else f"s.bind(('', {PORT}))")
        self.wait_for(lambda: self.leaves(self.sends(), 0.1), "the daemon to find the port")

    # --- Holders of a socket ---

    def test_duplicates_hold_it(self):
        self.do(f"s = udp({PORT})", "t = s.dup()", "s.close()")
        self.assert_leaves("t")
        self.assertEqual(self.counts(), (1, 1))
        self.do("t.close()")
        self.wait_for(lambda: self.counts() == (0, 0), "the policies to go")

    def test_children_hold_it(self):
        self.do(f"s = udp({PORT})", "pid = os.fork()",
                "if pid == 0:", "    import time", "    time.sleep(600)", "s.close()")
        self.assertEqual(self.counts(), (1, 1))
        self.do(f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
                "os.kill(pid, 9)", "os.waitpid(pid, 0)")
        self.wait_for(lambda: self.counts() == (0, 0), "the policies to go")
        self.do("s = udp()", "s.set_inheritable(True)",
                "child = subprocess.Popen(['sleep', '600'], close_fds=False)", "s.close()")
        self.assertEqual(self.counts(), (1, 1))  # another program, without the shim or with it
        self.do("child.kill()", "child.wait()")

    def test_closed_behind_the_shim(self):
        self.do(f"s = udp({PORT})", "libc = ctypes.CDLL(None)", "n = s.detach()",
                "f = libc.fdopen", "f.restype = ctypes.c_void_p", "f = f(n, b'r+')",
                "libc.fclose(ctypes.c_void_p(f))", f"s = udp({PORT}, policy=False)")
        self.wait_for(lambda: self.counts() == (0, 0), "the policies to go")
        self.assert_stays(self.sends())

    def test_the_process_dies(self):
        agent = Agent(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        agent.do(f"s = udp({PORT})", "t = udp()")
        self.assertEqual(self.counts(), (2, 2))
        agent.proc.kill()
        agent.proc.wait()
        agent.proc.stdin.close()
        agent.proc.stdout.close()
        self.wait_for(lambda: self.counts() == (0, 0), "the policies to go")

    # --- Other packets that look like it ---

    def test_what_the_host_forwards_is_not_of_its_sockets(self):
        self.do(f"s = udp({PORT})")
        packet = bytes(IP(src="203.0.113.9", dst=PEER) / UDP(sport=PORT, dport=FAR) / MARK)
        own = bytes(IP(src=HOST, dst=PEER) / UDP(sport=PORT, dport=FAR) / MARK)
        with inside(self.host.ns):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.addCleanup(raw.close)
        self.peer.wire.drain()
        raw.sendto(packet, (PEER, 0))
        self.assertEqual(self.peer.wire.frames(marked, timeout=0.2 * suite.SLOWNESS), [])
        raw.sendto(own, (PEER, 0))
        self.assertTrue(self.peer.wire.frames(marked, timeout=2 * suite.SLOWNESS))
        before = suite.counters(self.host)
        self.send(self.datagram(dst="203.0.113.9"))
        self.wait_for(lambda: suite.difference(before, suite.counters(self.host)), "a drop")

    def test_an_address_of_its_own(self):
        self.do(f"s = udp({PORT}, '{HOST}')", f"other = udp({PORT}, '10.1.0.1', policy=False)")
        self.assert_leaves()
        self.assert_stays(self.sends("other"))

    def test_fragments(self):
        self.do(f"s = udp({PORT})", f"other = udp({PORT + 1}, policy=False)")
        text = MARK * 300
        frames = self.leaves(f"s.sendto({MARK!r} * 300, ('{PEER}', {FAR}))", count=3)
        self.assertGreaterEqual(len(frames), 3)
        self.assert_stays(f"other.sendto({MARK!r} * 300, ('{PEER}', {FAR}))")
        for piece in fragment(IP(self.datagram(text)), 1400):
            self.send(bytes(piece))
        self.assertEqual(self.do(f"result = received(s, {2 * suite.SLOWNESS})"), text.decode())

    # --- Families and protocols ---

    def test_ipv6(self):
        self.do(f"s = udp({PORT}, '::', socket.AF_INET6)")
        self.peer.wire.drain()
        self.do(self.sends(to=PEER6))
        self.assertTrue(self.peer.wire.frames(marked, timeout=2 * suite.SLOWNESS))
        self.assertTrue(self.arrives(packet=self.datagram(src=PEER6, dst=HOST6)))
        # IPv4 by the same socket: its policy says IPv6.
        self.assert_stays(self.sends(to=f"::ffff:{PEER}"))
        self.do("assert set_policy(s, info(OUT)) == 0")
        self.assertTrue(self.leaves(self.sends(to=f"::ffff:{PEER}")))

    def test_tcp_begins_in_clear(self):
        self.do("s = socket.socket()", "assert allow(s) == 0", "s.setblocking(False)",
                f"s.connect_ex(('{PEER}', {FAR}))")
        port = self.do("result = s.getsockname()[1]")
        head = struct.pack("!HH", port, FAR)
        self.assertTrue(self.peer.wire.frames(lambda f: f[23] == 6 and f[34:38] == head,
                                              timeout=3 * suite.SLOWNESS))

    def test_what_is_not_supported_says_so(self):
        self.assertEqual(self.do(f"s = udp({PORT}, policy=False)",
                                 "result = set_policy(s, info(OUT) + nl.template())"), 95)
        self.assertEqual(self.do("s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 89)",
                                 "result = allow(s)"), 95)
        self.assertIn("socket policy refused", self.host.log())
        self.assertEqual(self.counts(), (0, 0))

    # --- Hostile, and many ---

    def test_without_privilege(self):
        agent = Agent(self.host.ns, [self.host.cygnet.command, "exec", "--", "setpriv",
                                     "--bounding-set=-net_admin", "--inh-caps=-all"])
        self.addCleanup(agent.close)
        self.assertEqual(agent.do(f"s = udp({PORT}, policy=False)", "result = allow(s)"), 1)
        self.assertEqual(agent.do("result = set_policy(s, b'')"), 1)
        agent.do(self.sends())
        self.assertEqual(self.counts(), (0, 0))
        self.assertEqual(self.peer.wire.frames(marked, timeout=0.2 * suite.SLOWNESS), [])

    def test_many_sockets(self):
        many = 1200
        self.do("import resource", "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))",
                f"many = [udp({PORT} + i) for i in range({many})]", f"s, t = many[0], many[-1]")
        self.assertEqual(self.counts(), (many, many))
        self.assertEqual(self.host.xfrm("policy").stdout.count("socket out"), many)
        self.assert_leaves("s")
        self.assert_leaves("t")
        self.do("for x in many[1:-1]: x.close()")
        self.wait_for(lambda: self.counts() == (2, 2), "the policies to go")
        self.do("many = []")
        self.assert_leaves("t")


if __name__ == "__main__":
    suite.main()
