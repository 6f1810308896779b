#!/usr/bin/python3
"""Debian's libreswan, unmodified, on both sides of a Cygnet wire, and with strongSwan on the other side:
modes, families, algorithms, replay windows, offload, rekeying.
"""

import unittest

from ikekit import (Charon, IkeCase, Pluto, charon_connection, have_strongswan, pluto_connection)
import suite


class LibreswanCase(IkeCase):
    @classmethod
    def start_daemons(cls):
        if Pluto.missing():
            raise unittest.SkipTest(Pluto.missing())
        for side, host in enumerate(cls.hosts):
            daemon = cls.add_daemon(Pluto(host, side, cls.workdir))
            daemon.start(pluto_connection(side))

    def load(self, **options):
        for side, daemon in enumerate(self.daemons):
            daemon.reload(pluto_connection(side, **options))

    def tearDown(self):
        for daemon in self.daemons:
            daemon.forget()
        self.wait_for_none()

    def rekeyed(self, old, timeout=15):
        self.wait_for(lambda: self.spis(self.west) == self.spis(self.east)
                      and len(self.spis(self.west)) == 2
                      and not self.spis(self.west) & old, "new SAs and no old ones", timeout)
        return self.spis(self.west)


# Options of both conns, and the expected properties of each SA.
TUNNELS = {
    "psk": ({}, {"mode": "tunnel", "esn": True}),
    "transport": ({"mode": "transport"}, {"mode": "transport"}),
    "ipv6": ({"family": 6, "inner": 6}, {"family": 6}),
    "ipv4_in_ipv6": ({"family": 6, "inner": 4}, {"family": 6}),
    "ipv6_in_ipv4": ({"family": 4, "inner": 6}, {"family": 4}),
    "esn_yes": ({"esn": "yes"}, {"esn": True}),
    "esn_no": ({"esn": "no"}, {"esn": False}),
    "aes_gcm256": ({"esp": "aes_gcm256"}, {"mode": "tunnel"}),
    "chacha20": ({"esp": "chacha20_poly1305"}, {"mode": "tunnel"}),
    "aes_cbc_sha2": ({"esp": "aes128-sha2_256"}, {"mode": "tunnel"}),
    "replay_window_0": ({"replay_window": 0, "esn": "no"}, {"replay_window": 0}),
    "replay_window_32": ({"replay_window": 32}, {"replay_window": 32}),
    "replay_window_2048": ({"replay_window": 2048}, {"replay_window": 2048}),
    "udp_encapsulated": ({"encapsulation": "yes"}, {"encap": True}),
}


class Tunnels(LibreswanCase):
    """One test for each line of TUNNELS."""

    def check(self, options, expected):
        self.connect(**options)
        self.check_traffic(options.get("inner", 4), options.get("mode", "tunnel"))
        for host in self.hosts:
            for sa in self.sas(host):
                shown = {**sa, "encap": "encap" in sa}
                self.assertEqual({key: shown[key] for key in expected}, expected)
                self.assertGreaterEqual(sa["usage"]["packets"], 6)


def _add(name, options, expected):
    setattr(Tunnels, f"test_{name}", lambda self: self.check(options, expected))


for _name, (_options, _expected) in TUNNELS.items():
    _add(_name, _options, _expected)


class Offload(LibreswanCase):
    def test_nic_offload(self):
        for offload, where in (("yes", ("crypto", "requested")), ("auto", ("crypto", "requested")),
                               ("no", ("software", "not-requested"))):
            with self.subTest(offload=offload):
                self.connect(offload=offload)
                self.check_traffic()
                for host in self.hosts:
                    self.assertEqual(self.placements(host), {"in": where, "out": where})
                for daemon in self.daemons:
                    daemon.forget()
                self.wait_for_none()

    def test_nic_offload_over_ipv6(self):
        self.connect(offload="yes", family=6, inner=6)
        self.check_traffic(6)
        for host in self.hosts:
            self.assertEqual({where for where, _ in self.placements(host).values()}, {"crypto"})


class Life(LibreswanCase):
    def test_child_and_ike_rekey(self):
        spis = self.connect(rekey="yes")
        with self.watched():
            flows = self.flows()
            for daemon in self.daemons:
                daemon.rekey_child()
                spis = self.rekeyed(spis)
            self.daemons[0].rekey_ike()
            self.wait_for(lambda: self.daemons[0].whack("--showstates").stdout.count(
                "ESTABLISHED_IKE_SA") >= 1, "the IKE_SA")
            self.finish(flows)

    def test_on_demand(self):
        # auto=ondemand: a trap; the first packet makes the tunnel.
        self.load()
        for daemon in self.daemons:
            daemon.whack("--route", "--name", "net")
        with self.watched():
            self.ping_until()
            self.wait_for_pair()
            self.ping()


class WithStrongswan(IkeCase):
    """charon in the west, pluto in the east; each initiates once."""

    @classmethod
    def start_daemons(cls):
        missing = Pluto.missing() or have_strongswan()
        if missing:
            raise unittest.SkipTest(missing)
        cls.charon = cls.add_daemon(Charon(cls.west, 0, cls.workdir))
        cls.charon.start()
        cls.pluto = cls.add_daemon(Pluto(cls.east, 1, cls.workdir))
        cls.pluto.start(pluto_connection(1))

    def tearDown(self):
        self.charon.load({})
        self.charon.down()
        self.pluto.forget()
        self.wait_for_none()

    def test_both_ways(self):
        for starter, offload, mode, family in (("charon", "no", "tunnel", 4),
                                               ("pluto", "yes", "tunnel", 4),
                                               ("charon", "auto", "transport", 6),
                                               ("pluto", "no", "tunnel", 6)):
            with self.subTest(starter=starter, offload=offload, mode=mode, family=family):
                self.charon.load(charon_connection(0, family, family, mode, offload=offload,
                                                   esp="aes128gcm16-x25519-esn"))
                self.pluto.reload(pluto_connection(1, family, family, mode, offload=offload))
                getattr(self, starter).initiate()
                spis = self.wait_for_pair()
                self.check_traffic(family, mode)
                flows = self.flows(family, mode)
                getattr(self, starter).rekey_child()
                self.wait_for(lambda old=spis: self.spis(self.west) == self.spis(self.east)
                              and len(self.spis(self.west)) == 2
                              and not self.spis(self.west) & old, "the next SAs", 15)
                self.finish(flows)
                where = "software" if offload == "no" else "crypto"
                for host in self.hosts:
                    self.assertEqual({place for place, _ in self.placements(host).values()}, {where})
                self.tearDown()


if __name__ == "__main__":
    suite.main()
