#!/usr/bin/python3
"""Which packets leave, with the running kernel as the judge: the same policies, of actions that need
no ESP, in its SPD over a veth and in cygnetd's over nic0; the same datagrams of the host and of a LAN
behind it; and what came out at the other end of the wire.
"""

import itertools
import random
import socket
import time
import unittest

import suite
from labkit import Namespace
from rawwire import FrameSocket, Peer, inside, mac_of, sysctl
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import GRE

TEXT = b"judged by policy"
FAR = "10.2.0.1"


class Side:
    """One SPD: a host, the LAN behind it and what leaves by its wire."""

    def __init__(self, namespace, prefix, far, peer_mac):
        self.ns, self.prefix, self.far = namespace, prefix, far
        sysctl(namespace, "net.ipv4.ip_forward", 1)
        self.lan = Namespace("lan")
        namespace.ip(f"link add lan0 type veth peer name lan0 netns {self.lan.holder.pid}")
        for command in ("link set lan0 up", "addr add 10.1.5.1/24 dev lan0",
                        "addr add 192.0.2.1/24 dev nic0", "addr add 10.1.0.1/32 dev lo",
                        f"neigh replace 192.0.2.2 lladdr {peer_mac} dev nic0 nud permanent",
                        "route add 10.2.0.0/16 via 192.0.2.2 dev nic0 src 10.1.0.1"):
            namespace.ip(command)
        for command in ("link set lan0 up", "addr add 10.1.5.2/24 dev lan0",
                        "route add default via 10.1.5.1"):
            self.lan.ip(command)
        with inside(self.ns):
            self.own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with inside(self.lan):
            self.guest = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.guest.sendto(TEXT, (FAR, 7))  # from here on, the neighbours are known
        self.far.frames(lambda f: TEXT in f)

    def xfrm(self, args, check=True):
        return self.ns.run([*self.prefix, "ip", "xfrm", *args.split()], check=check)

    def reset(self):
        for args in ("policy flush", "policy flush ptype sub",
                     "policy setdefault in accept fwd accept out accept"):
            self.xfrm(args)

    def leaves(self, sender, port=9):
        """Whether a datagram leaves, judged after a short wait."""
        tag = TEXT + b"%d" % time.monotonic_ns()
        try:
            sender.sendto(tag, (FAR, port))
        except PermissionError:
            return False
        # A frame that is not stopped arrives soon.
        return bool(self.far.frames(lambda f: tag in f, timeout=0.15 * suite.SLOWNESS))

    def close(self):
        self.own.close()
        self.guest.close()
        self.lan.close()


class Judge(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        kernel = cls.own(Namespace("kernel"))
        if kernel.run("ip xfrm policy count", check=False).returncode != 0:
            raise unittest.SkipTest("this kernel has no NETLINK_XFRM to compare with")
        kernel.ip("link add nic0 type veth peer name far")
        kernel.ip("link set far up")
        host = cls.make_host()
        peer = cls.own(Peer(host))
        host.start([{}])
        cls.host = host
        for ns in (kernel, host.ns):
            sysctl(ns, "net.ipv6.conf.all.disable_ipv6", 1)
            ns.ip("link set nic0 up")
        far = cls.own(FrameSocket(kernel, "far", arriving=True))
        cls.kernel = cls.own(Side(kernel, [], far, "02:00:00:00:00:02"))
        cls.cygnet = cls.own(Side(host.ns, [host.cygnet.command, "exec", "--"], peer.wire,
                                  peer.mac.hex(":")))
        cls.sides = (cls.kernel, cls.cygnet)
        cls.peer = peer

    def tearDown(self):
        for side in self.sides:
            side.reset()

    def compare(self, commands, senders=("own", "guest"), port=9):
        """After the commands: what leaves, of the host's own and of the LAN's; the same at both."""
        answers = []
        for side in self.sides:
            for command in commands:
                side.xfrm(command)
            answers.append({s: side.leaves(getattr(side, s), port) for s in senders})
        self.assertEqual(answers[1], answers[0], f"Cygnet, and the kernel, after {commands}")
        return answers[0]


class Forwarded(Judge):
    LAN = "src 10.1.5.0/24 dst 10.2.0.0/16"
    ANY = "src 0.0.0.0/0 dst 0.0.0.0/0"
    TUNNEL = "tmpl src 192.0.2.2 dst 192.0.2.1 proto esp mode tunnel"

    def each(self, *commands):
        answer = self.compare(commands)
        for side in self.sides:
            side.reset()
        return answer

    def test_policies_of_direction_fwd_apply_to_what_the_lan_sends(self):
        blocked, open_ = {"own": True, "guest": False}, {"own": True, "guest": True}
        for policy, expected in (
                (f"{self.LAN} dir fwd action block", blocked),
                (f"{self.ANY} dir fwd action block", blocked),
                ("src 10.2.0.0/16 dst 10.1.5.0/24 dir fwd action block", open_),
                (f"{self.LAN} dir in action block", open_),
                (f"{self.LAN} dir out action block", blocked),
                (f"{self.LAN} dir fwd ptype sub action block", blocked),
                (f"{self.LAN} proto udp dport 9 dir fwd action block", blocked),
                (f"{self.LAN} proto udp dport 10 dir fwd action block", open_),
                (f"{self.LAN} dev nic0 dir fwd action block", blocked),
                (f"{self.LAN} dir fwd {self.TUNNEL}", blocked),
                (f"{self.LAN} dir fwd {self.TUNNEL} level use", open_),
                (f"{self.LAN} dir fwd action allow", open_)):
            with self.subTest(policy):
                self.assertEqual(self.each(f"policy add {policy}"), expected)

    def test_the_default_and_policies_that_lift_it(self):
        self.assertEqual(self.compare(["policy setdefault fwd block"]), {"own": True, "guest": False})
        self.assertEqual(self.compare([f"policy add {self.LAN} dir fwd"]),
                         {"own": True, "guest": True})
        self.assertEqual(self.compare([f"policy add {self.LAN} dir out action block"])["guest"], False)

    def test_the_order_among_them(self):
        self.compare([f"policy add {self.ANY} dir fwd action block priority 100"])
        self.assertTrue(self.compare([f"policy add {self.LAN} dir fwd priority 10"])["guest"])
        self.assertFalse(self.compare([f"policy add {self.LAN} dir fwd priority 10 action block "
                                       "ptype sub"])["guest"])

    def test_a_block_with_a_mark_or_an_if_id_blocks_here(self):
        """A kernel requires a mark that the packet does not have, and lets the packet pass."""
        for selection in ("mark 7", "if_id 9"):
            for direction, sender in (("fwd", "guest"), ("out", "own")):
                policy = f"{self.ANY} dir {direction} {selection}"
                self.cygnet.xfrm(f"policy add {policy} action block")
                self.assertFalse(self.cygnet.leaves(getattr(self.cygnet, sender)), policy)
                unnamed = self.cygnet.xfrm(f"policy delete {self.ANY} dir {direction}", check=False)
                self.assertIn("No such file", unnamed.stderr)
                lifted = self.cygnet.xfrm(f"policy update {policy} action allow", check=False)
                self.assertIn("No [[tunnel]] has", lifted.stderr)
                self.assertFalse(self.cygnet.leaves(getattr(self.cygnet, sender)), policy)
                self.cygnet.xfrm(f"policy delete {policy}")
                self.assertTrue(self.cygnet.leaves(getattr(self.cygnet, sender)), policy)


class Arriving(Judge):
    """What the other end of the wire sends: whether a socket of the host gets it."""

    OWN = ("192.0.2.1", "192.0.2.255", "10.77.0.9", "198.51.100.7")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for side in cls.sides:
            side.ns.ip("addr add 10.77.0.1/24 dev lo")
            side.ns.ip("route add local 198.51.100.0/24 dev lo")
        cls.kernel.send = lambda packet, mac=mac_of(cls.kernel.ns, "nic0"): cls.kernel.far.send(
            mac + bytes(6) + b"\x08\x00" + packet)
        cls.cygnet.send = cls.peer.send_ip

    def arrives(self, side, packet, kind):
        """Whether a socket of this kind gets the packet, judged after a short wait."""
        with inside(side.ns), socket.socket(socket.AF_INET, *kind) as receiver:
            if kind[0] == socket.SOCK_DGRAM:
                receiver.bind(("", 7777))
            receiver.settimeout(0.15 * suite.SLOWNESS)
            side.send(bytes(packet))
            try:
                return bool(receiver.recv(2000))
            except socket.timeout:
                return False

    def judge(self, policy, packets, kind):
        for side in self.sides:
            side.xfrm(policy)
        answers = [[self.arrives(side, packet, kind) for packet in packets] for side in self.sides]
        self.assertEqual(answers[1], answers[0], f"Cygnet, and the kernel, after {policy}")
        for side in self.sides:
            side.reset()
        return answers[0]

    def test_policies_of_direction_in_hold_for_all_that_the_host_receives(self):
        packets = [IP(src="192.0.2.2", dst=to) / UDP(sport=9, dport=7777) / TEXT for to in self.OWN]
        kind = (socket.SOCK_DGRAM, 0)
        for policy in ("setdefault in block",
                       "add src 192.0.2.0/24 dst 0.0.0.0/0 dir in action block",
                       "add src 192.0.2.0/24 dst 0.0.0.0/0 dir in tmpl src 192.0.2.2 dst 192.0.2.1 "
                       "proto esp mode tunnel"):
            self.assertEqual(self.judge(f"policy {policy}", packets, kind), [False] * len(packets))
        for policy in ("setdefault fwd block",
                       "add src 0.0.0.0/0 dst 0.0.0.0/0 dir fwd action block"):
            self.assertEqual(self.judge(f"policy {policy}", packets, kind), [True] * len(packets))

    def test_the_key_of_gre_selects(self):
        ends = IP(src="192.0.2.2", dst="192.0.2.1")
        packets = [ends / GRE(key_present=1, key=5) / TEXT,
                   ends / GRE(key_present=1, chksum_present=1, key=5) / TEXT,
                   ends / GRE(key_present=1, key=5, seqnum_present=1) / TEXT,
                   ends / GRE(key_present=1, key=6) / TEXT, ends / GRE() / TEXT]
        blocked = self.judge("policy add src 0.0.0.0/0 dst 0.0.0.0/0 proto gre key 5 dir in "
                             "action block",
                             packets, (socket.SOCK_RAW, 47))
        self.assertEqual(blocked, [False, False, False, True, True])


class UpdateOrder(Judge):
    """Two policies of one priority that match one flow; one of them is updated, as an IKE daemon does
    at every rekey. Which of the two decides then?"""

    ENDS = (("10.1.0.0/16", "10.2.0.0/16"), ("10.1.0.1/32", "10.2.0.1/32"),
            ("10.1.0.0/24", "10.2.0.0/16"), ("10.1.0.0/16", "10.2.0.0/24"),
            ("0.0.0.0/0", "10.2.0.0/16"), ("10.1.0.0/16", "0.0.0.0/0"), ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.0/8", "10.2.0.1/32"), ("10.1.0.1/32", "10.2.0.0/15"))

    def trial(self, older, newer, updated):
        texts = [f"src {s} dst {d} dir out priority 100" for s, d in (older, newer)]
        actions = [f"{texts[0]} action allow", f"{texts[1]} action block"]
        self.compare([f"policy add {actions[0]}", f"policy add {actions[1]}"], ("own",))
        self.compare([f"policy update {actions[updated]}"], ("own",))
        for side in self.sides:
            side.xfrm("policy flush")

    def test_of_every_pair(self):
        pairs = list(itertools.permutations(self.ENDS, 2))
        for older, newer in random.Random(10).sample(pairs, 40):
            with self.subTest(f"{older}, then {newer}"):
                self.trial(older, newer, 0)

    def test_of_the_newer_and_of_another_protocol(self):
        for older, newer in itertools.islice(itertools.permutations(self.ENDS, 2), 6):
            with self.subTest(f"{older}, then {newer}"):
                self.trial(older, newer, 1)
        net = "src 10.1.0.0/16 dst 10.2.0.0/16"
        self.compare([f"policy add {net} dir out", f"policy add {net} proto udp dir out action block"],
                     ("own",))
        self.compare([f"policy update {net} dir out"], ("own",))


if __name__ == "__main__":
    suite.main()
