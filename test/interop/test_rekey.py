#!/usr/bin/python3
"""Rekeying under load loses nothing: ten CHILD_SA rekeys while iperf3 sends and numbered datagrams
flow in both directions, for strongSwan and libreswan, on the CPU and on the device.
"""

import json
import subprocess
import unittest

import labkit
import suite
from ikekit import (INNER, Charon, IkeCase, Pluto, charon_connection, have_strongswan,
                    pluto_connection)

REKEYS = 10 if suite.SLOWNESS == 1 else 3
MBITS = int(100 / suite.SLOWNESS)  # of iperf3, each way


class Rekey(IkeCase):
    """Counters show what was dropped and why; gaps in the numbers show what did not arrive."""

    def measure(self, name):
        spis = self.wait_for_pair()
        self.ping()
        for host in self.hosts:  # from here on, the neighbours are known
            self.assertEqual(len(self.sas(host)), 2)
        before = [suite.counters(host) for host in self.hosts]
        load = [self.iperf(0, 5201), self.iperf(1, 5202)]
        with self.watched(sample=True) as watch:
            flows = self.flows(rate=1000)
            for i in range(REKEYS):
                self.daemons[i % 2].rekey_child()
                spis = self.next_pair(spis)
            figures = self.finish(flows, lossless=False)
        for _, client in load:
            self.assertIsNone(client.poll(), "iperf3 ended before the rekeys did")
            labkit.end(client, timeout=5)
        sent = [self.result(client) for _, client in load]
        for server, _ in load:
            labkit.end(server)
        drops = [suite.difference(counts, suite.counters(host))
                 for host, counts in zip(self.hosts, before)]
        print(f"\n    {name}: {REKEYS} rekeys; datagrams {figures}; iperf3 {sent} Mbit/s and "
              f"retransmissions; drops {drops}; frames besides ESP {watch.frames}", flush=True)
        self.assertEqual(drops, [{}, {}])
        self.assertEqual(figures["lost"], 0)
        for mbits, _ in sent:
            self.assertGreater(mbits, 1)

    def next_pair(self, old):
        self.wait_for(lambda: self.spis(self.west) == self.spis(self.east)
                      and len(self.spis(self.west)) == 2
                      and not self.spis(self.west) & old, "the next SAs", 15)
        return self.spis(self.west)

    def iperf(self, sender, port):
        receiver = 1 - sender
        server = self.hosts[receiver].ns.popen(
            ["iperf3", "-s", "-1", "-B", INNER[4][receiver], "-p", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for(lambda: f":{port}" in self.hosts[receiver].ns.run("ss -Hltn").stdout,
                      "iperf3's server")
        client = self.hosts[sender].ns.popen(
            ["iperf3", "-c", INNER[4][receiver], "-B", INNER[4][sender], "-p", str(port), "-t", "200",
             "-b", f"{MBITS}M", "-M", "1300", "-J"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(labkit.end, client)
        self.addCleanup(labkit.end, server)
        return server, client

    @staticmethod
    def result(client):
        end = json.loads(client.stdout.read())["end"]["sum_sent"]
        client.stdout.close()
        return round(end["bits_per_second"] / 1e6), end["retransmits"]


class Strongswan(Rekey):
    @classmethod
    def start_daemons(cls):
        if have_strongswan():
            raise unittest.SkipTest(have_strongswan())
        for side, host in enumerate(cls.hosts):
            cls.add_daemon(Charon(host, side, cls.workdir)).start()

    def run_with(self, offload):
        for side, daemon in enumerate(self.daemons):
            daemon.load(charon_connection(side, offload=offload))
        self.daemons[0].initiate()
        self.measure(f"strongSwan, offload {offload}")
        self.daemons[0].down()
        self.wait_for_none()

    def test_software(self):
        self.run_with("no")

    def test_offload(self):
        self.run_with("yes")


class Libreswan(Rekey):
    @classmethod
    def start_daemons(cls):
        if Pluto.missing():
            raise unittest.SkipTest(Pluto.missing())
        for side, host in enumerate(cls.hosts):
            cls.add_daemon(Pluto(host, side, cls.workdir)).start(pluto_connection(side))

    def run_with(self, offload):
        for side, daemon in enumerate(self.daemons):
            daemon.reload(pluto_connection(side, offload=offload, rekey="yes"))
        self.daemons[0].initiate()
        self.measure(f"libreswan, offload {offload}")
        for daemon in self.daemons:
            daemon.forget()
        self.wait_for_none()

    def test_software(self):
        self.run_with("no")

    def test_offload(self):
        self.run_with("yes")


if __name__ == "__main__":
    suite.main()
