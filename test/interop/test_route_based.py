#!/usr/bin/python3
"""Route-based tunnels with Debian's IKE daemons, unmodified: interfaces of kind xfrm that `ip` makes for
strongSwan (if_id_in, if_id_out), and that pluto makes itself (ipsec-interface)."""

import unittest

from ikekit import INNER, NETS, IkeCase, Pluto, StrongswanCase, pluto_connection
from labkit import LabError
from rawwire import sysctl
import suite

IF_ID = 7


def under_shim(host, *argv, check=True):
    return host.ns.run([host.cygnet.command, "exec", "--", *argv], check=check)


def only_ipv4(host):
    """Interfaces made from now on send nothing by themselves, which would be counted as unprotected."""
    sysctl(host.ns, "net.ipv6.conf.default.disable_ipv6", 1)


def route(side, host, name):
    """The peer's network is behind the interface."""
    host.ns.ip(f"route replace {NETS[4][1 - side]} dev {name} src {INNER[4][side]}")


class Strongswan(StrongswanCase):
    @classmethod
    def start_host(cls, side, host):
        super().start_host(side, host)
        only_ipv4(host)
        under_shim(host, "ip", "link", "add", "ipsec7", "type", "xfrm", "dev", "nic0", "if_id", str(IF_ID))
        under_shim(host, "ip", "link", "set", "ipsec7", "up")
        route(side, host, "ipsec7")

    def start_child(self, **child):
        ids = {"if_id_in": IF_ID, "if_id_out": IF_ID}
        return self.connect(child={"local_ts": "0.0.0.0/0", "remote_ts": "0.0.0.0/0", **ids, **child})

    def sent(self, host):
        return next(t for t in host.show("tunnel") if t["name"] == "ipsec7")["rx_packets"]

    def test_traffic_and_rekeys_by_either_side(self):
        spis = self.start_child()
        self.ping_until()
        before = [self.sent(host) for host in self.hosts]
        self.check_traffic()
        for host, count in zip(self.hosts, before):
            self.assertGreater(self.sent(host), count)
            self.assertEqual({sa.get("if_id") for sa in self.sas(host)}, {IF_ID})
        with self.watched():
            flows = self.flows()
            for daemon in self.daemons:
                daemon.rekey_child()
                spis = self.rekeyed(spis)
            self.finish(flows)

    def test_the_interface_goes_and_comes_back(self):
        """Without it, nothing of the tunnel leaves; with it, traffic goes on with the same SAs."""
        spis = self.start_child()
        self.ping_until()
        under_shim(self.west, "ip", "link", "del", "ipsec7")
        with self.watched():
            self.west.ns.ip(f"route replace {NETS[4][1]} via 192.0.2.2 dev nic0 src {INNER[4][0]}")
            silence = self.west.ns.run(["ping", "-q", "-c2", "-i0.1", "-W0.5", "-I", INNER[4][0], INNER[4][1]], check=False)
            self.assertIn(" 0 received", silence.stdout)
            under_shim(self.west, "ip", "link", "add", "ipsec7", "up", "type", "xfrm", "dev", "nic0",
                       "if_id", str(IF_ID))
            route(0, self.west, "ipsec7")
            self.ping_until()
        self.assertEqual(self.spis(self.west), spis)


class Libreswan(IkeCase):
    """ipsec-interface: pluto makes the interface, sets it up and deletes it."""

    @classmethod
    def start_host(cls, side, host):
        super().start_host(side, host)
        only_ipv4(host)

    @classmethod
    def start_daemons(cls):
        if Pluto.missing():
            raise unittest.SkipTest(Pluto.missing())
        for side, host in enumerate(cls.hosts):
            daemon = cls.add_daemon(Pluto(host, side, cls.workdir))
            daemon.start(pluto_connection(side))

    def load(self, **options):
        for side, daemon in enumerate(self.daemons):
            daemon.reload(pluto_connection(side, ipsec_interface="yes", **options))

    def interfaces(self, host):
        return {t["name"]: t for t in host.show("tunnel")}

    def kill_pluto(self):
        """One that finds the interface when it starts takes no connection, as with the kernel's."""
        pluto = self.daemons[0]
        pluto.kill()
        self.west.xfrm("state flush")  # as Debian's unit does
        self.assertIn("ipsec1", self.interfaces(self.west))
        connection = pluto_connection(0, ipsec_interface="yes")
        with self.assertRaises(LabError):
            pluto.start(connection)
        self.assertIn("conflict ipsec1 already exist", pluto.log())
        pluto.kill()
        self.west.ns.ip("link del ipsec1")
        pluto.start(connection)
        pluto.initiate()
        route(0, self.west, "ipsec1")
        self.ping_until()

    def test_pluto_makes_its_interface(self):
        spis = self.connect(rekey="yes")
        for side, host in enumerate(self.hosts):
            made = self.interfaces(host)["ipsec1"]
            self.assertEqual(made["if_id"], 1)
            self.assertRegex(made["made_by"], r"^pluto\[\d+\]$")
            self.assertIn("UP", host.ns.ip("link show ipsec1").stdout)
            self.assertEqual({sa.get("if_id") for sa in self.sas(host)}, {1})
            route(side, host, "ipsec1")
        self.ping_until()
        self.check_traffic()
        with self.watched():
            flows = self.flows()
            for daemon in self.daemons:
                daemon.rekey_child()
                self.wait_for(lambda old=frozenset(spis): self.spis(self.west) == self.spis(self.east)
                              and len(self.spis(self.west)) == 2 and not self.spis(self.west) & old,
                              "new SAs", 15)
                spis = self.spis(self.west)
            self.finish(flows)
        self.kill_pluto()
        for daemon in self.daemons:
            daemon.forget()
        self.wait_for_none()
        for host in self.hosts:
            self.wait_for(lambda h=host: "ipsec1" not in self.interfaces(h), "the interface to go")


if __name__ == "__main__":
    suite.main()
