"""The parts that the tests of inside interfaces share: a host behind lan0 of a gateway, and a peer
behind the wire. VLANs need the kernel's module 8021q.
"""

import os
import subprocess
import unittest

import suite
from labkit import Namespace, connect, in_user_namespace

WIRE = {"gw": "192.0.2.1", "peer": "192.0.2.2"}
# Inner networks of each family: behind lan0, behind VLAN 7 of it, behind the peer.
LAN, VLAN, FAR = "10.1.0", "10.7.0", "10.2.0"
LAN6, FAR6 = "2001:db8:1:", "2001:db8:2:"
CLEAR = "10.3.0.2"  # of the peer, without a policy
KEY = "0x" + "4b" * 20
MARK = b"plaintext-of-the-lan"
PAIRS = ((f"{LAN}.0/24", f"{FAR}.0/24"), (f"{VLAN}.0/24", f"{FAR}.0/24"),
         (f"{LAN6}:/64", f"{FAR6}:/64"))

SERVER = """import socket,sys
six=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s=socket.create_server((sys.argv[1],5000),family=six)
print('up',flush=True); c,_=s.accept(); n=0
while True:
  d=c.recv(1<<16)
  if not d: break
  n+=len(d)
c.sendall(b'y'*n); c.close(); print(n,flush=True)
"""
CLIENT = """import socket,sys
s=socket.create_connection((sys.argv[1],5000),timeout=20); s.sendall(b'x'*3000000)
s.shutdown(socket.SHUT_WR); n=0
while True:
  d=s.recv(1<<16)
  if not d: break
  n+=len(d)
print(n)
"""


def protect(side):
    peer = "peer" if side == "gw" else "gw"
    here, there = WIRE[side], WIRE[peer]
    lines = []
    for near, far in PAIRS:
        near, far = (near, far) if side == "gw" else (far, near)
        lines.append(f"policy add src {near} dst {far} dir out tmpl src {here} dst {there} proto esp "
                     "reqid 1 mode tunnel")
        for direction in ("in", "fwd"):
            lines.append(f"policy add src {far} dst {near} dir {direction} tmpl src {there} dst {here} "
                         "proto esp reqid 1 mode tunnel")
    for src, dst in ((here, there), (there, here)):
        lines.append(f"state add src {src} dst {dst} proto esp spi {0x1000 + (dst == WIRE['gw'])} reqid 1 "
                     f"mode tunnel flag af-unspec aead rfc4106(gcm(aes)) {KEY} 128 replay-window 32")
    return lines


class InsideCase(suite.Case):
    """A subclass says how networks are protected: start_daemons, protect_networks."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if in_user_namespace():
            raise unittest.SkipTest("the kernel loads no XDP program from a user namespace")
        cls.gw, cls.peer = cls.make_host("gw"), cls.make_host("peer")
        cls.lan = cls.own(Namespace("lan"))
        connect(cls.gw, cls.peer)
        for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                        "net.ipv4.icmp_ratelimit=0"):
            cls.gw.ns.run(["sysctl", "-qw", setting])
        cls.make_lan()
        cls.start_daemons()
        for host in (cls.gw, cls.peer):
            host.ns.ip(f"addr add {WIRE[host.name]}/24 dev nic0")
        for address in (f"{FAR}.2/32", f"{CLEAR}/32"):
            cls.peer.ns.ip(f"addr add {address} dev lo")
        cls.peer.ns.ip(f"-6 addr add {FAR6}:2/128 dev lo")
        cls.protect_networks()
        cls.count_forwarded()
        cls.gw.ns.run(["ping", "-c1", "-W5", WIRE["peer"]])

    @classmethod
    def make_lan(cls):
        """lan0 with VLAN 7, and the host's end of both."""
        cls.gw.ns.ip(f"link add lan0 type veth peer name eth0 netns {cls.lan.holder.pid}")
        cls.lan.run(["ethtool", "-K", "eth0", "txvlan", "off"])
        for ns, name, last in ((cls.gw.ns, "lan0", 1), (cls.lan, "eth0", 2)):
            ns.ip(f"link set {name} up")
            ns.ip(f"addr add {LAN}.{last}/24 dev {name}")
            ns.ip(f"-6 addr add {LAN6}:{last}/64 dev {name} nodad")
        cls.lan.ip(f"route replace default via {LAN}.1 src {LAN}.2")
        cls.lan.ip(f"-6 route replace default via {LAN6}:1")
        cls.make_vlan()

    @classmethod
    def make_vlan(cls):
        for ns, name, last in ((cls.gw.ns, "lan0", 1), (cls.lan, "eth0", 2)):
            made = ns.ip(f"link add link {name} name {name}.7 type vlan id 7", check=False)
            cls.vlans = made.returncode == 0
            if not cls.vlans:
                return
            ns.ip(f"link set {name}.7 up")
            ns.ip(f"addr add {VLAN}.{last}/24 dev {name}.7")
        cls.lan.ip("rule del pref 100", check=False)
        cls.lan.ip(f"rule add pref 100 from {VLAN}.0/24 lookup 7")
        cls.lan.ip(f"route replace default via {VLAN}.1 table 7")

    @classmethod
    def count_forwarded(cls):
        rules = os.path.join(cls.workdir, "count.nft")
        with open(rules, "w", encoding="ascii") as f:
            f.write('table inet t {\n counter seen {}\n chain f {\n type filter hook forward priority 0\n'
                    ' counter name "seen"\n }\n}\n')
        cls.gw.ns.run(["nft", "-f", rules])

    def forwarded(self):
        """Packets that the host has forwarded since the last call."""
        text = self.gw.ns.run(["nft", "reset", "counter", "inet", "t", "seen"]).stdout
        return int(text.split("packets")[1].split()[0])

    def inside(self, name="lan0"):
        return next(i for i in self.gw.show("dev")[0]["inside"] if i["name"] == name)

    def ping(self, target, *options, check=True, count=1):
        return self.lan.run(["ping", f"-c{count}", "-i0.1", "-W3", *options, target], check=check)

    def learn(self, target=f"{FAR}.2", *options):
        """Packets in both directions until neither goes by the host any more."""
        def all_inside():
            self.ping(target, *options, check=False)
            self.forwarded()
            done = self.ping(target, *options, check=False).returncode == 0
            return self.forwarded() == 0 and done
        self.wait_for(all_inside, f"{target} to be reached past the host's stack")

    def tcp(self, target):
        server = self.peer.ns.popen(["python3", "-c", SERVER, target], stdout=subprocess.PIPE, text=True)
        self.assertEqual(server.stdout.readline(), "up\n")
        out = self.lan.run(["python3", "-c", CLIENT, target]).stdout
        self.assertEqual(out, "3000000\n")
        self.assertEqual(server.stdout.readline(), "3000000\n")
        server.wait(5)
        server.stdout.close()

    def taken(self, target, *options):
        """How many of three packets are taken from lan0, and how many answers arrive."""
        before = self.inside()["rx_packets"]
        answer = self.ping(target, *options, check=False, count=3).stdout
        return self.inside()["rx_packets"] - before, int(answer.split(" received")[0].split()[-1])


class InsideByPolicy(InsideCase):
    """Policies protect the networks, which are behind nic0 for the host."""

    @classmethod
    def protect_networks(cls):
        for host in (cls.gw, cls.peer):
            suite.xfrm_batch(host, protect(host.name))
        for net in (LAN, VLAN):
            cls.peer.ns.ip(f"route add {net}.0/24 via {WIRE['gw']} src {FAR}.2")
        for net in (f"{FAR}.0/24", CLEAR):
            cls.gw.ns.ip(f"route add {net} via {WIRE['peer']}")
        for host, net, last in ((cls.gw, FAR6, 1), (cls.peer, LAN6, 2)):
            host.ns.ip(f"-6 addr add 2001:db8::{last}/64 dev nic0 nodad")
            host.ns.ip(f"-6 route add {net}:/64 via 2001:db8::{3 - last}")
