#!/usr/bin/python3
"""Two gateways and real etcd: take-over, a process that sleeps, partitions, a move, a store that is away,
replays. Nothing is repeated, nothing is accepted twice, and nothing leaves in clear.
"""

import os
import signal
import socket
import statistics
import time

import suite
from clusterkit import CLIENT, FAR, ClusterCase
from rawwire import inside

MOVES = int(os.environ.get("CYGNET_MOVES", "4"))
RUNS = int(os.environ.get("CYGNET_TAKEOVERS", "2"))  # alternately of gw1 and gw2
HEARTBEATS = "udp dport 4712"
TO_ETCD = "tcp dport 2379"
REFUSED = ("in-number-unknown", "in-no-numbers", "in-replay-duplicate", "in-replay-old",
           "late-beyond-window", "in-no-state")


class Cluster(ClusterCase):
    def setUp(self):
        super().setUp()
        self.start_both()
        self.traffic()
        self.flows_pass()

    def take_over(self, name):
        """Kills the owner; the other one continues. Returns what it cost."""
        new = self.other(name)
        counts = (self.host.sent, self.auditor.arrived.unique, self.sender.sent, self.host.arrived.unique)
        for tally in (self.auditor.arrived, self.host.arrived):
            tally.longest = 0.0
        self.auditor.mark()
        killed = time.monotonic()
        self.gateways[name].kill()
        self.wait_for(lambda: new in self.auditor.first, f"{new} to send")
        self.flows_pass()
        after = (self.host.sent, self.auditor.arrived.unique, self.sender.sent, self.host.arrived.unique)
        sent_out, out, sent_in, into = (a - b for a, b in zip(after, counts))
        return {"first packet": self.auditor.first[new] - killed,
                "out": self.auditor.arrived.longest, "in": self.host.arrived.longest,
                "lost out": sent_out - out, "lost in": sent_in - into}

    def test_the_owner_is_killed(self):
        costs = []
        owner = "gw1"
        for _ in range(RUNS):
            costs.append(self.take_over(owner))
            self.start(owner)
            self.wait_ready(owner)
            self.assertFalse(self.gateways[owner].has(), "it comes back without the address")
            time.sleep(0.5)  # a node that has just started listens before it takes anything
            owner = self.other(owner)
        self.report(costs)
        self.judge()
        self.assertLess(max(cost["in"] for cost in costs), 1.0 * suite.SLOWNESS)

    def report(self, costs):
        for what, unit, factor in (("first packet", "ms", 1000), ("out", "ms", 1000), ("in", "ms", 1000),
                                   ("lost out", "packets", 1), ("lost in", "packets", 1)):
            values = [cost[what] * factor for cost in costs]
            print(f"    take-over, {what}: median {statistics.median(values):.0f} {unit}, worst "
                  f"{max(values):.0f} {unit} of {len(values)}", flush=True)

    def test_a_sleeper_wakes(self):
        """The owner sleeps, the other one takes over, and the owner wakes with frames in its rings."""
        first = self.gateways["gw1"]
        first.daemon.send_signal(signal.SIGSTOP)
        self.wait_owner("gw2")
        self.flows_pass()
        time.sleep(1)
        first.daemon.send_signal(signal.SIGCONT)
        self.wait_for(lambda: not first.has(), "it to give up its address")
        self.flows_pass()
        self.assertEqual(self.store.owner()["node"], "gw2")
        self.judge()

    def test_the_owner_is_cut_off_from_the_store(self):
        self.gateways["gw1"].cut(TO_ETCD)
        self.wait_owner("gw2", 15)
        self.flows_pass()
        self.gateways["gw1"].heal()
        self.wait_ready("gw1")
        self.flows_pass()
        self.judge()

    def test_nodes_that_do_not_hear_each_other_do_not_fight(self):
        epoch = self.store.owner()["epoch"]
        for gateway in self.gateways.values():
            gateway.cut(HEARTBEATS)
        time.sleep(4)
        self.flows_pass()
        self.assertLessEqual(self.store.owner()["epoch"], epoch + 1)
        for gateway in self.gateways.values():
            gateway.heal()
        time.sleep(1)
        self.flows_pass()
        self.assertLessEqual(self.store.owner()["epoch"], epoch + 1)
        self.judge()

    def move(self, new, how=None):
        """Returns how many packets were lost, and the longest time without packets in ms, each way."""
        ways = ((self.host, self.auditor.arrived), (self.sender, self.host.arrived))
        first = [sender.sent for sender, _ in ways]
        for _, tally in ways:
            tally.longest = 0.0
        if how is None:
            self.gateways[self.other(new)].text("cluster", "move", "group", "vpn", "to", new)
        else:
            how()
        self.wait_owner(new)
        end = [sender.sent for sender, _ in ways]
        self.flows_pass()
        time.sleep(0.2 * suite.SLOWNESS)  # what waited has arrived
        lost = [tally.missing(a, b) for (_, tally), a, b in zip(ways, first, end)]
        return *lost, *(tally.longest * 1000 for _, tally in ways)

    def holds(self):
        return sum(gateway.log().count("this node holds packets") for gateway in self.gateways.values())

    def test_a_move(self):
        """Packets wait at the next owner until it has the numbers."""
        costs = []
        before = self.holds()
        for i in range(MOVES):
            costs.append(self.move(("gw2", "gw1")[i % 2]))
        for cost in costs:
            print("    move: lost {} out, {} in; without packets for {:.0f} ms out, {:.0f} ms in"
                  .format(*cost), flush=True)
        self.judge()
        self.assertEqual(self.holds() - before, MOVES, "moves whose next owner held packets")
        for way in (0, 1):
            self.assertLessEqual(statistics.median(cost[way] for cost in costs), 5, costs)
        self.assertLess(max(max(cost[2:]) for cost in costs), 1000 * suite.SLOWNESS)

    def test_a_move_without_the_store(self):
        """It ends with one owner, whatever the store took."""
        for server in self.store.servers:
            server.signal(signal.SIGSTOP)
        gateway = self.gateways["gw1"]
        moved = gateway.ns.run([gateway.cygnet.command, "cluster", "move", "group", "vpn", "to", "gw2"], check=False)
        if moved.returncode != 0:  # it had noticed first
            self.assertIn("the store does not answer", moved.stderr)
        time.sleep(1.2 * suite.SLOWNESS)
        for server in self.store.servers:
            server.signal(signal.SIGCONT)
        holders = lambda: [name for name, gateway in self.gateways.items() if gateway.has()]
        self.wait_for(lambda: holders() == [self.store.owner()["node"]], "one owner with the addresses")
        self.flows_pass(20)
        self.judge()

    def test_a_move_to_a_node_that_dies(self):
        self.gateways["gw2"].daemon.send_signal(signal.SIGSTOP)
        self.gateways["gw1"].text("cluster", "move", "group", "vpn", "to", "gw2")
        self.wait_for(lambda: "gw2 did not answer for 300 ms" in self.gateways["gw1"].log(), "the message")
        self.gateways["gw2"].kill()
        self.flows_pass()
        self.assertEqual(self.store.owner()["node"], "gw1")
        self.judge()

    def test_an_orderly_stop(self):
        """It gives the group away in the same order."""
        cost = self.move("gw2", self.gateways["gw1"].stop)
        print("    orderly stop: lost {} out, {} in; without packets for {:.0f} ms out, {:.0f} ms in"
              .format(*cost), flush=True)
        self.judge()
        self.assertIn("this node holds packets", self.gateways["gw2"].log())
        self.assertLessEqual(max(cost[:2]), 20, cost)

    def test_a_store_that_is_away(self):
        first = self.gateways["gw1"]
        for server in self.store.servers:
            server.signal(signal.SIGSTOP)
        try:
            self.wait_for(lambda: first.drops().get("in-no-numbers"), "the inbound mark", 10)
            self.exhaust(first)
        finally:
            for server in self.store.servers:
                server.signal(signal.SIGCONT)
        self.flows_pass(20)
        self.judge()

    def exhaust(self, gateway):
        """Sends until the numbers are used up."""
        with inside(self.client), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as burst:
            burst.bind((CLIENT, 0))

            def more():
                for _ in range(2000):
                    burst.sendto(b"more", (FAR, 9))
                return gateway.drops().get("out-no-numbers")
            self.wait_for(more, "the numbers to end", 60)

    def test_a_replay_at_the_new_owner(self):
        """All that the peer has sent comes again. What was lost may be accepted now: it never was."""
        self.wait_for(lambda: self.sender.sent > 3000, "traffic to record")
        self.sender.done.set()
        self.sender.join()
        kept = list(self.sender.kept)
        self.wait_for(self.quiet, "the last to arrive")
        arrived = self.host.arrived.unique
        self.assertGreater(arrived, 1000)
        second = self.gateways["gw2"]
        self.gateways["gw1"].kill()
        self.wait_owner("gw2")
        before = suite.counters(second)
        self.sender.replay(kept)
        self.wait_for(lambda: self.refused(before, second) >= 0.98 * arrived, "the frames to be refused")
        self.wait_for(self.quiet, "the last to be judged")
        print("   ", f"{len(kept)} again, {arrived} of them had arrived:",
              suite.difference(before, suite.counters(second)), flush=True)
        self.assertEqual(self.host.arrived.doubled, 0)
        self.judge()

    def quiet(self):
        before = self.host.arrived.unique
        time.sleep(0.3 * suite.SLOWNESS)
        return before == self.host.arrived.unique

    @staticmethod
    def refused(before, gateway):
        now = suite.difference(before, suite.counters(gateway))
        return sum(now.get(name, 0) for name in REFUSED)

    def test_what_an_operator_sees(self):
        for name, state in (("gw1", "active"), ("gw2", "standby")):
            report = self.gateways[name].show("cluster")
            group = report["groups"][0]
            self.assertEqual((group["name"], group["owner"], group["sas"]), ("vpn", "gw1", 2))
            self.assertEqual(group["state"], state)
            self.assertTrue(report["lease"])
            self.assertFalse(report["store_away"])
            self.assertEqual([peer["heard"] for peer in report["peers"]], [True])
            self.assertIn("vpn", self.gateways[name].text("cluster"))


if __name__ == "__main__":
    suite.main()
