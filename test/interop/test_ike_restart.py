#!/usr/bin/python3
"""Restarts under an IKE daemon: cygnetd ends, orderly or killed, and the tunnel comes back by itself with
nothing in clear meanwhile; the IKE daemon ends, and cygnetd continues to forward.
"""

import os
import signal
import time
import unittest

import labkit
import suite
from ikekit import Charon, IkeCase, Pluto, charon_connection, have_strongswan, pluto_connection
from rawwire import sysctl


class RestartCase(IkeCase):
    """With persistent interfaces; not `persist`: they disappear with cygnetd and are set up again."""

    persist = True

    @classmethod
    def start_host(cls, side, host):
        cls.device = {"offload": "crypto", "persist": cls.persist}
        cls.daemon_keys = cls.keys(host)
        super().start_host(side, host)

    @classmethod
    def keys(cls, host):
        return f'restart_file = "{os.path.join(cls.workdir, host.name)}.restart"'

    @classmethod
    def start_again(cls, host, side=0):
        cls.daemon_keys = cls.keys(host)
        if cls.persist:
            host.start([{**cls.device, "wire": "wire0"}], cls.daemon_keys)
        else:
            cls.start_host(side, host)

    def restart_cygnetd(self, sig):
        self.west.ended_by_test = True
        spis = self.wait_for_pair()
        self.ping()
        with self.watched(allow=is_icmp) as watch:
            before = self.network()
            labkit.end(self.west.daemon, sig)
            self.start_again(self.west)
            if self.persist:
                self.assertEqual(self.network(), before)
            self.assertRegex(self.west.log(), "restart file: [1-9][0-9]* policies restored")
            self.assertTrue(self.west.show("policy"), "the policies of before")
            self.assertFalse(self.spis(self.west) & spis)
            self.wait_for(lambda: self.ping(count=1, check=False), "the tunnel to come back", 30)
        self.assertEqual(watch.clear, 0)
        self.assertFalse(self.wait_for_pair() & spis)
        self.ping(count=5)
        self.ping(count=5, host=self.east)

    def restart_both_cygnetds(self):
        """Both ends lose their SAs at one moment: the ends must not keep colliding."""
        spis = self.wait_for_pair()
        self.ping()
        hosts = (self.west, self.east)
        with self.watched(allow=is_icmp) as watch:
            for host in hosts:
                host.ended_by_test = True
                labkit.end(host.daemon, signal.SIGKILL)
            for side, host in enumerate(hosts):
                self.start_again(host, side)
            begin = time.monotonic()
            self.wait_for(lambda: self.ping(count=1, check=False), "the tunnel to come back", 60)
            print(f"    both restarted: the tunnel is back after {time.monotonic() - begin:.1f} s", flush=True)
        self.assertEqual(watch.clear, 0)
        self.assertFalse(self.wait_for_pair() & spis)
        self.ping(count=5)
        self.ping(count=5, host=self.east)

    def network(self):
        """West's addresses and routes."""
        return [self.west.ns.ip(command).stdout for command in
                ("-o addr show dev nic0 scope global", "route show dev nic0", "-6 route show dev nic0")]

    def restart_daemon(self, connect):
        """`connect`: what the administrator's configuration does at the start."""
        spis = self.wait_for_pair()
        daemon = self.daemons[0]
        daemon.kill()
        flows = self.flows()
        self.wait_for(lambda: flows[0].sent > 200, "datagrams without an IKE daemon")
        self.finish(flows)
        self.assertEqual(self.spis(self.west), spis)
        connect()
        # The old SAs stay installed: no IKE daemon knows them any more, and newer ones are used.
        self.wait_for(lambda: len(self.spis(self.west) - spis) == 2
                      and self.spis(self.west) - spis <= self.spis(self.east),
                      "the tunnel of the new daemon", 20)
        self.ping_until()
        self.ping(count=5)


def is_icmp(frame):
    return frame[23] == 1


class CygnetdRestarts:
    """Tests that every IKE daemon must pass."""

    def test_cygnetd_stops_and_starts(self):
        self.restart_cygnetd(signal.SIGTERM)

    def test_cygnetd_is_killed_and_starts(self):
        self.restart_cygnetd(signal.SIGKILL)

    def test_both_cygnetds_are_killed_and_start(self):
        self.restart_both_cygnetds()


class StrongswanSides(RestartCase):
    @classmethod
    def start_daemons(cls):
        if have_strongswan():
            raise unittest.SkipTest(have_strongswan())
        for side, host in enumerate(cls.hosts):
            cls.add_daemon(Charon(host, side, cls.workdir)).start()

    def setUp(self):
        for side, daemon in enumerate(self.daemons):
            daemon.load(charon_connection(side))
        self.daemons[0].initiate()

    def tearDown(self):
        for daemon in self.daemons:
            daemon.load({})
            daemon.down()
        for host in self.hosts:
            suite.xfrm_batch(host, ["state flush", "policy flush"])


class Strongswan(CygnetdRestarts, StrongswanSides):
    def test_charon_is_killed_and_starts(self):
        def connect():
            self.daemons[0].start()
            self.daemons[0].load(charon_connection(0))
            self.daemons[0].initiate()
        self.restart_daemon(connect)


class InterfacesGo(Strongswan):
    persist = False


class NothingIsNoticed(StrongswanSides):
    """Under a supervisor: the SAs go on, and charon has nothing to do."""

    persist = False

    @classmethod
    def start_host(cls, side, host):
        host.options = ["--supervise"]
        super().start_host(side, host)
        # charon announces an address that becomes usable, and nic0's own does so a second later.
        sysctl(host.ns, "net.ipv6.conf.nic0.disable_ipv6", 1)

    def goes_on(self, sig):
        spis = self.wait_for_pair()
        self.ping()
        network = self.network()
        with self.watched(allow=is_icmp) as watch:
            self.west.restart(sig)
            self.ping(count=5)
            self.ping(count=5, host=self.east)
        self.assertEqual((watch.ike, watch.clear), (0, 0), "no IKE message was needed")
        self.assertEqual(self.spis(self.west), spis)
        self.assertEqual(self.network(), network)
        # charon's sockets have found the next daemon: it can still rekey, and is told of traffic.
        self.daemons[0].rekey_child()
        self.wait_for(lambda: not self.spis(self.west) & spis and len(self.spis(self.west)) == 2,
                      "the rekeyed pair", 20)
        self.ping(count=5)

    def test_after_an_orderly_restart(self):
        self.goes_on(signal.SIGUSR1)

    def test_after_a_kill(self):
        self.goes_on(signal.SIGKILL)


class Libreswan(CygnetdRestarts, RestartCase):
    @classmethod
    def start_daemons(cls):
        if Pluto.missing():
            raise unittest.SkipTest(Pluto.missing())
        for side, host in enumerate(cls.hosts):
            cls.add_daemon(Pluto(host, side, cls.workdir)).start(pluto_connection(side))

    def setUp(self):
        for side, daemon in enumerate(self.daemons):
            daemon.reload(pluto_connection(side, rekey="yes"))
        self.daemons[0].initiate()

    def tearDown(self):
        for daemon in self.daemons:
            daemon.forget()
        for host in self.hosts:
            suite.xfrm_batch(host, ["state flush", "policy flush"])

    def test_pluto_is_killed_and_starts(self):
        def connect():
            self.daemons[0].start(pluto_connection(0))
            self.daemons[0].initiate()
        self.restart_daemon(connect)


if __name__ == "__main__":
    suite.main()
