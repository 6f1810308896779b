#!/usr/bin/python3
"""A real IKE peer of a cluster whose gateways run the same IKE daemon. The owner's node dies: ESP goes on with
the old SAs at the other one, whose daemon does not know them. The peer's next IKE request finds no answer,
and a new IKE SA replaces the old one.
"""

import os
import time
import unittest

import suite
from clusterkit import CLIENT, FAR, PEER, VIP, ClusterCase
from etcdkit import PREFIX
from flow import Flow
from ikekit import Charon, Pluto, charon_connection, have_strongswan, pluto_connection
from rawwire import sysctl
from wirewatch import Watch


class IkeCluster(ClusterCase):
    share = "sas"

    @classmethod
    def make_peer(cls):
        """With a cygnetd and an IKE daemon of its own."""
        cls.far = cls.make_host("peer")
        cls.switch.plug(cls.far.ns, "wire0", "peer")
        cls.far.start()
        sysctl(cls.far.ns, "net.ipv6.conf.nic0.disable_ipv6", 1)
        for command in (f"addr add {PEER}/24 dev nic0", f"addr add {FAR}/32 dev lo",
                        f"route add 10.1.0.0/16 via {VIP} dev nic0 src {FAR}"):
            cls.far.ns.ip(command)
        return cls.far.ns

    def setUp(self):
        super().setUp()
        self.addCleanup(self.end_daemons)
        self.daemons = {}
        for part in ("sa/", "policy/"):  # of the test before
            self.store.servers[0].ctl("del", "--prefix", PREFIX + part)
        for name in ("gw1", "gw2"):
            self.start(name, install=False)
            self.wait_owner("gw1")
            self.start_ike(self.gateways[name], 0)
        self.start_ike(self.far, 1)
        self.daemons["peer"].initiate()
        self.wait_for(lambda: len(self.spis("gw2")) == 2 and self.spis("gw2") == self.spis("peer"),
                      "both gateways to have the SAs")

    def end_daemons(self):
        for daemon in self.daemons.values():
            daemon.close()
        suite.xfrm_batch(self.far, ["state flush", "policy flush"])

    def folder(self):
        return os.path.join(self.workdir, self._testMethodName[:20])

    def spis(self, name):
        host = self.far if name == "peer" else self.gateways[name]
        return {int(sa["spi"], 16) for sa in host.show("sa")}

    def flows(self):
        flows = [Flow(self.client, self.far.ns, (CLIENT, FAR), 1000),
                 Flow(self.far.ns, self.client, (FAR, CLIENT), 1000)]
        for flow in flows:
            flow.start()
        return flows

    def node_dies(self):
        self.gateways["gw1"].kill()
        self.daemons["gw1"].kill()
        self.wait_owner("gw2")
        self.address_came(self.daemons["gw2"])

    def address_came(self, daemon):
        """What the administrator's hook tells the IKE daemon."""

    def arriving(self, flows):
        before = [len(flow.received) for flow in flows]
        self.wait_for(lambda: all(len(flow.received) > n + 200 for flow, n in zip(flows, before)),
                      "datagrams both ways", 30)
        return [flow.lost for flow in flows]

    def new_sas(self, old, timeout=60):
        """gw2 and the peer use a pair that is not of before."""
        self.wait_for(lambda: len(self.spis("peer") - old) == 2 and self.spis("peer") - old <= self.spis("gw2"),
                      "a new IKE SA at gw2", timeout)


class Tests:
    def test_traffic_goes_on_and_the_peer_rekeys(self):
        old = self.spis("gw2")
        with Watch(self.far.ns, "wire0", allow=lambda frame: frame[23] == 1) as watch:
            flows = self.flows()
            self.arriving(flows)
            self.node_dies()
            after = self.arriving(flows)
            self.assertEqual(self.spis("peer"), old, "the old SAs work at gw2")
            print(f"    lost by the take-over: {after[0]} and {after[1]}", flush=True)
            begin = time.monotonic()
            self.rekey()
            self.new_sas(old)
            took = time.monotonic() - begin
            self.arriving(flows)
            for flow in flows:
                flow.finish()
        lost = [flow.lost - n for flow, n in zip(flows, after)]
        print(f"    a new IKE SA {took:.1f} s after the request, lost by it: {lost[0]} and {lost[1]}; in all "
              f"{flows[0].sent} and {flows[1].sent} sent; in clear {watch.clear}", flush=True)
        self.assertEqual([flow.doubled for flow in flows], [0, 0])

    def test_without_traffic_the_peer_finds_it(self):
        old = self.spis("gw2")
        self.node_dies()
        begin = time.monotonic()
        self.new_sas(old)
        print(f"    a new IKE SA {time.monotonic() - begin:.1f} s after the take-over", flush=True)
        flows = self.flows()
        self.arriving(flows)
        for flow in flows:
            flow.finish()
        self.assertEqual([flow.doubled for flow in flows], [0, 0])


class Strongswan(Tests, IkeCluster):
    @classmethod
    def setUpClass(cls):
        if have_strongswan():
            raise unittest.SkipTest(have_strongswan())
        super().setUpClass()

    def start_ike(self, host, side):
        charon = Charon(host, side, self.folder())
        charon.start()
        self.daemons[host.name] = charon
        peer = side == 1
        charon.load(charon_connection(
            side, connection={"dpd_delay": "1s", "keyingtries": 0} if peer else None,
            # Without a trap, packets leave in clear between the old SA and the new one.
            child={"start_action": "trap", "dpd_action": "restart", "close_action": "start"} if peer else None))

    def rekey(self):
        self.daemons["peer"].swanctl("--rekey", "--child", "net", check=False)


class Libreswan(Tests, IkeCluster):
    @classmethod
    def setUpClass(cls):
        if Pluto.missing():
            raise unittest.SkipTest(Pluto.missing())
        super().setUpClass()

    def start_ike(self, host, side):
        pluto = Pluto(host, side, self.folder())
        self.daemons[host.name] = pluto
        more = {"dpddelay": 1, "dpdtimeout": 5, "dpdaction": "restart", "keyingtries": "%forever",
                "retransmit-timeout": "5s"} if side == 1 else {}
        pluto.start(pluto_connection(side, rekey="yes", **more))

    def address_came(self, daemon):
        """pluto looks for addresses only when it is told to."""
        daemon.whack("--listen")

    def rekey(self):
        self.daemons["peer"].whack("--name", "net", "--rekey-ipsec", "--asynchronous", check=False)


if __name__ == "__main__":
    suite.main()
