#!/usr/bin/python3
"""MOBIKE by MIGRATE: Debian's libreswan, unmodified, when the address of one side changes under traffic.
pluto moves policies and SAs by XFRM_MSG_MIGRATE; charon, on the other side, replaces them.
"""

import unittest

import suite
import xfrmclient as nl
from ikekit import (INNER, NETS, OUTER, Charon, IkeCase, Pluto, charon_connection, have_strongswan,
                    pluto_connection)
from rawwire import sysctl

FIRST, FAR, SECOND = OUTER[4][0], OUTER[4][1], "192.0.2.11"
MIGRATE_GROUP = 1 << 6


class MobikeCase(IkeCase):
    """west's address changes. `programs`: the IKE daemons of both sides."""

    programs = ()

    @classmethod
    def start_host(cls, side, host):
        super().start_host(side, host)
        sysctl(host.ns, "net.ipv6.conf.nic0.disable_ipv6", 1)  # charon would go there by itself
        if side == 0:
            sysctl(host.ns, "net.ipv4.conf.nic0.promote_secondaries", 1)
            # left=%defaultroute, without which pluto does not look for another address of its own.
            host.ns.ip(f"route replace default via {FAR} dev nic0")

    @classmethod
    def start_daemons(cls):
        missing = Pluto.missing() or (Charon in cls.programs and have_strongswan())
        if missing:
            raise unittest.SkipTest(missing)
        for side, (host, program) in enumerate(zip(cls.hosts, cls.programs)):
            daemon = cls.add_daemon(program(host, side, cls.workdir))
            daemon.start(*([pluto_connection(side)] if program is Pluto else []))

    def load(self, offload="no"):
        for side, daemon in enumerate(self.daemons):
            if isinstance(daemon, Pluto):
                daemon.reload(pluto_connection(side, offload=offload, mobike="yes",
                                               **{"left" if side == 0 else "right":
                                                  "%defaultroute" if side == 0 else "%any"}))
            else:
                daemon.load(charon_connection(side, offload=offload, esp="aes128gcm16-x25519-esn",
                                              connection={"mobike": "yes", "local_addrs" if side == 0
                                                          else "remote_addrs": "%any"}))

    def tearDown(self):
        for daemon in self.daemons:
            if isinstance(daemon, Pluto):
                daemon.forget()
            else:
                daemon.load({})
                daemon.down()
        self.wait_for_none()

    # --- Observations ---

    def addresses(self, host):
        return {sa[end] for sa in self.sas(host) for end in ("src", "dst")}

    def templates(self, host):
        """Outer addresses of the policies of the tunnel."""
        return {end for policy in host.show("policy") for template in policy["templates"]
                for end in (template["src"], template["dst"])}

    def packets(self, host):
        return {sa["spi"]: sa["usage"]["packets"] for sa in self.sas(host)}

    def listen(self, host):
        """Listens for MIGRATE on that host; returns a function that reads the notifications."""
        client = nl.Client(host.ns, [host.cygnet.command, "exec", "--"])
        self.addCleanup(client.close)
        number = client.open(MIGRATE_GROUP)
        return lambda: [m for m in client.receive(number) if m[0] == "MIGRATE"]

    # --- The change ---

    def move(self):
        self.west.ns.ip(f"addr add {SECOND}/24 dev nic0")
        self.west.ns.ip(f"addr del {FIRST}/24 dev nic0")
        self.addCleanup(self.restore)

    def restore(self):
        self.west.ns.ip(f"addr add {FIRST}/24 dev nic0")
        self.west.ns.ip(f"addr del {SECOND}/24 dev nic0")
        self.route()

    def route(self):
        self.west.ns.ip(f"route replace {NETS[4][1]} via {FAR} dev nic0 src {INNER[4][0]}")
        self.west.ns.ip(f"route replace default via {FAR} dev nic0")

    def check(self, **options):
        """Returns how many MIGRATE notifications each side got."""
        spis = self.connect(**options)
        self.check_traffic()
        where = "crypto" if options.get("offload") == "yes" else "software"
        for host in self.hosts:
            self.assertEqual({place for place, _ in self.placements(host).values()}, {where})
        before = [self.packets(host) for host in self.hosts]
        heard = [self.listen(host) for host in self.hosts]
        with self.watched():
            flows = self.flows()
            self.move()
            self.route()
            for host in self.hosts:
                self.wait_for(lambda host=host: self.addresses(host) == {SECOND, FAR},
                              f"{host.name}: SAs of the new address", 20)
                self.wait_for(lambda host=host: self.templates(host) == {SECOND, FAR},
                              f"{host.name}: policies of the new address", 10)
            self.ping_until()
            self.finish(flows, lossless=False)
        self.assertEqual(self.spis(self.west), spis)
        self.check_traffic()
        for host, old in zip(self.hosts, before):
            for spi, count in self.packets(host).items():
                self.assertGreater(count, old[spi], "an SA that moves continues to count")
        return [len(listener()) for listener in heard]


class Libreswan(MobikeCase):
    programs = (Pluto, Pluto)

    def test_address_change(self):
        for count in self.check():
            self.assertGreaterEqual(count, 2)

    def test_address_change_on_the_device(self):
        # This pluto's MIGRATE does not request a device, so that, as in a kernel, the SA gets none:
        # the other address may be another interface's.
        for count in self.check(offload="yes"):
            self.assertGreaterEqual(count, 2)
        for host in self.hosts:
            self.assertEqual(set(self.placements(host).values()), {("software", "not-requested")})


class LibreswanMoves(MobikeCase):
    """The other side runs strongSwan."""

    programs = (Pluto, Charon)

    def test_address_change(self):
        told = self.check()
        self.assertGreaterEqual(told[0], 2)


class StrongswanMoves(MobikeCase):
    programs = (Charon, Pluto)

    def test_address_change(self):
        told = self.check()
        self.assertGreaterEqual(told[1], 2)


if __name__ == "__main__":
    suite.main()
