#!/usr/bin/python3
"""Debian's strongSwan, unmodified, when the way between the peers changes: through a real NAT, which
forgets its ports, and with MOBIKE from one address to another.
"""

import struct
import types
import unittest

import labkit
import suite
from ikekit import INNER, NETS, OUTER, Charon, IkeCase, charon_connection, have_strongswan
from rawwire import sysctl


class PathCase(IkeCase):
    settings = {"keep_alive": "1s"}  # of charon

    @classmethod
    def start_daemons(cls):
        if have_strongswan():
            raise unittest.SkipTest(have_strongswan())
        for side, host in enumerate(cls.hosts):
            cls.add_daemon(Charon(host, side, cls.workdir)).start(**cls.settings)

    def tearDown(self):
        for daemon in self.daemons:
            daemon.load({})
        self.daemons[0].down()
        self.wait_for_none()


class OwnPorts(PathCase):
    """IKE on other ports than 500 and 4500, no `ike_bypass`, and an SPD that blocks by default:
    only the policies of charon's own sockets let its messages pass."""

    daemon_keys = "ike_bypass = false"
    PORT, PORT_NAT_T = 5500, 5501
    settings = {"port": PORT, "port_nat_t": PORT_NAT_T}

    @classmethod
    def start_host(cls, side, host):
        super().start_host(side, host)
        host.xfrm("policy setdefault in block out block fwd block")

    def test_connects_and_rekeys(self):
        for side, daemon in enumerate(self.daemons):
            daemon.load(charon_connection(side, connection={
                "local_port": self.PORT_NAT_T, "remote_port": self.PORT_NAT_T}))
        self.daemons[0].initiate()
        pair = self.wait_for_pair()
        ike = struct.pack("!HH", self.PORT_NAT_T, self.PORT_NAT_T)
        with self.watched(allow=lambda f: f[23] == 17 and f[34:38] == ike) as watch:
            self.ping()
            self.daemons[0].rekey_child()
            self.wait_for(lambda: self.spis(self.west) and not pair & self.spis(self.west), "new SAs")
            self.daemons[1].rekey_ike()
            self.ping(host=self.east)
        self.assertGreater(watch.esp, 5)
        count = self.west.xfrm("policy count", options=("-s",)).stdout
        self.assertRegex(count, r"Sock: IN [1-9]\d* OUT [1-9]")


class Nat(PathCase):
    """west, behind a NAT that gives it other ports; east, at its other side."""

    INSIDE, PUBLIC = "192.168.7.2", "192.0.2.1"
    wires = (0, 1)

    @classmethod
    def lay_wire(cls):
        cls.nat = types.SimpleNamespace(ns=cls.own(labkit.Namespace("nat")))
        labkit.connect(cls.west, cls.nat, 0)
        labkit.connect(cls.nat, cls.east, 1)
        nat = cls.nat.ns
        nat.ip("addr add 192.168.7.1/24 dev wire0")
        nat.ip(f"addr add {cls.PUBLIC}/24 dev wire1")
        sysctl(nat, "net.ipv4.ip_forward", 1)
        nat.run(["nft", "table ip nat {\nchain post {\ntype nat hook postrouting priority 100\n"
                 "oifname wire1 meta l4proto udp masquerade to :61000-61999 random\n}\n}\n"])

    @classmethod
    def start_host(cls, side, host):
        super().start_host(side, host)
        if side == 0:
            for command in (f"addr del {OUTER[4][0]}/24 dev nic0",
                            f"addr add {cls.INSIDE}/24 dev nic0",
                            "route replace default via 192.168.7.1 dev nic0",
                            f"route replace {NETS[4][1]} via 192.168.7.1 dev nic0 "
                            f"src {INNER[4][0]}"):
                host.ns.ip(command)

    def connect(self, **options):
        for side, daemon in enumerate(self.daemons):
            ends = {"local_addrs": self.INSIDE} if side == 0 else {"remote_addrs": "%any"}
            daemon.load(charon_connection(side, connection={**ends, **options.pop("connection", {})},
                                          **options))
        self.daemons[0].initiate()
        return self.wait_for_pair()

    def port(self):
        """The port that the NAT assigned, from east's SAs."""
        return {sa["encap"]["sport"] for sa in self.sas(self.east) if sa["dst"] == OUTER[4][1]}

    def test_through_the_nat(self):
        for offload in ("no", "auto"):
            with self.subTest(offload=offload):
                self.connect(offload=offload)
                self.assertTrue(self.port() <= set(range(61000, 62000)), self.port())
                before = [suite.counters(host) for host in self.hosts]
                with self.watched() as watch:
                    self.ping()
                    self.ping(host=self.east, size=1200)
                    self.datagrams()
                self.assertEqual(watch.esp, watch.encapsulated)
                self.assertGreater(watch.esp, 12)
                for host, counts in zip(self.hosts, before):
                    self.assertEqual(suite.difference(counts, suite.counters(host)), {}, host.name)
                self.daemons[0].down()
                self.wait_for_none()

    def test_transport_mode_through_the_nat(self):
        self.connect(mode="transport")
        result = self.west.ns.run(["ping", "-n", "-c", "3", "-i", "0.05", "-W", "2", OUTER[4][1]],
                                  check=False)
        self.assertIn(" 3 received", result.stdout)

    def test_nat_forgets_its_ports(self):
        # The next packet from inside gets another port. East's daemon learns it, by a MAPPING event
        # or by west's next IKE message, and puts it into its SAs.
        self.connect()
        self.ping()
        old = self.port()
        for action in ("down", "up"):  # entries of an interface that goes down are forgotten
            self.nat.ns.ip(f"link set wire1 {action}")
        self.wait_for(lambda: self.ping(count=1, check=False) and self.port() != old,
                      "east to follow the NAT", 20)
        before = [suite.counters(host) for host in self.hosts]
        self.ping()
        self.datagrams()
        for host, counts in zip(self.hosts, before):
            self.assertEqual(suite.difference(counts, suite.counters(host)), {}, host.name)


class Mobike(PathCase):
    SECOND = "192.0.2.11"

    @classmethod
    def start_host(cls, side, host):
        super().start_host(side, host)
        sysctl(host.ns, "net.ipv6.conf.nic0.disable_ipv6", 1)  # charon would move there by itself

    def test_address_change(self):
        spis = self.change("no")
        self.assertEqual(self.spis(self.west), spis)

    def test_address_change_on_the_device(self):
        self.change("yes")
        for host in self.hosts:
            self.assertEqual({where for where, _ in self.placements(host).values()}, {"crypto"})

    def change(self, offload):
        sysctl(self.west.ns, "net.ipv4.conf.nic0.promote_secondaries", 1)
        for side, daemon in enumerate(self.daemons):
            daemon.load(charon_connection(side, offload=offload, connection={
                "mobike": "yes", "local_addrs" if side == 0 else "remote_addrs": "%any"}))
        self.daemons[0].initiate()
        spis = self.wait_for_pair()
        self.ping()
        with self.watched():
            self.west.ns.ip(f"addr add {self.SECOND}/24 dev nic0")
            self.west.ns.ip(f"addr del {OUTER[4][0]}/24 dev nic0")
            self.addCleanup(self.restore)
            self.west.ns.ip(f"route replace {NETS[4][1]} via {OUTER[4][1]} dev nic0 "
                            f"src {INNER[4][0]}")
            self.wait_for(lambda: all(self.addresses(host) == {self.SECOND, OUTER[4][1]}
                                      for host in self.hosts), "SAs of the new address", 15)
            self.ping_until()
        before = [suite.counters(host) for host in self.hosts]
        self.ping()
        self.datagrams()
        for host, counts in zip(self.hosts, before):
            self.assertEqual(suite.difference(counts, suite.counters(host)), {}, host.name)
        return spis

    def restore(self):
        self.west.ns.ip(f"addr add {OUTER[4][0]}/24 dev nic0")
        self.west.ns.ip(f"addr del {self.SECOND}/24 dev nic0")
        self.west.ns.ip(f"route replace {NETS[4][1]} via {OUTER[4][1]} dev nic0 src {INNER[4][0]}")

    def addresses(self, host):
        return {sa[end] for sa in self.sas(host) for end in ("src", "dst")}


if __name__ == "__main__":
    suite.main()
