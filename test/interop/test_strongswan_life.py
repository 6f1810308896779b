#!/usr/bin/python3
"""Debian's strongSwan, unmodified, on both sides of a Cygnet wire: rekeying, traps, lifetimes, and the
death of a peer.
"""

import suite
from ikekit import StrongswanCase, charon_connection


class Life(StrongswanCase):
    def test_child_rekey_by_either_side(self):
        for offload in ("no", "yes"):
            with self.subTest(offload=offload):
                spis = self.connect(offload=offload)
                with self.watched():
                    flows = self.flows()
                    for daemon in (self.daemons[0], self.daemons[1], self.daemons[0]):
                        daemon.rekey_child()
                        spis = self.rekeyed(spis)
                    self.finish(flows)
                self.daemons[0].down()
                self.wait_for_none()

    def test_ike_rekey_keeps_the_children(self):
        spis = self.connect()
        flows = self.flows()
        for daemon in self.daemons:
            before = daemon.ike_sas()
            daemon.rekey_ike()
            self.wait_for(lambda d=daemon, b=before: len(d.ike_sas()) == 1 and d.ike_sas() != b,
                          "another IKE_SA", 10)
        self.assertEqual(self.wait_for_pair(), spis)
        self.finish(flows)

    def test_traffic_rekeys(self):
        for limits in ({"rekey_packets": 300, "life_packets": 100000, "rand_packets": 0},
                       {"rekey_bytes": 40000, "life_bytes": 40000000, "rand_bytes": 0},
                       {"rekey_time": "2s", "life_time": "60s", "rand_time": 0}):
            with self.subTest(limits=limits):
                spis = self.connect(child=limits)
                key = "soft_" + next(iter(limits)).replace("rekey_", "").replace(
                    "time", "add_seconds")
                self.assertTrue(any(key in sa["limits"] for sa in self.sas(self.west)))
                flows = self.flows()
                for _ in range(2):
                    self.wait_for(lambda old=frozenset(spis): not self.spis(self.west) & old,
                                  "the next SAs", 15)
                    spis = self.spis(self.west)
                self.finish(flows)
                self.daemons[0].down()
                self.wait_for_none()

    def test_hard_limit_makes_a_new_child(self):
        # Limits without an earlier rekeying: the SA ends, and charon makes another.
        spis = self.connect(child={"life_packets": 100, "rekey_packets": 0})
        for _ in range(120):
            if self.spis(self.west).isdisjoint(spis):
                break
            self.ping(count=1, check=False)
        self.wait_for(lambda: self.spis(self.west).isdisjoint(spis) and self.spis(self.west),
                      "SAs after a hard limit", 10)
        self.ping_until()

    def test_trap_policies(self):
        self.load(child={"start_action": "trap"})
        self.wait_for(lambda: all(host.show("policy") for host in self.hosts), "the traps")
        self.assertEqual(self.spis(self.west), set())
        with self.watched() as watch:
            self.ping_until()
            spis = self.wait_for_pair()
            self.ping()
            self.daemons[0].down()
            self.wait_for_none()
            self.ping_until(host=self.east)  # the other side's traffic as well
            self.assertFalse(self.wait_for_pair() & spis)
        self.assertGreater(watch.ike, 0)
        self.assertRegex(self.daemons[0].log(), r"creating acquire job for policy")


class Death(StrongswanCase):
    """A peer that dies; daemon and data path fail separately."""

    def tearDown(self):
        # No daemon owns the SAs of the killed charon any more.
        suite.xfrm_batch(self.east, ["state flush", "policy flush"])
        super().tearDown()

    def test_dead_peer_is_detected_and_comes_back(self):
        child = {"dpd_action": "trap", "start_action": "trap"}
        self.connect(child=child, connection={"dpd_delay": "1s"})
        self.daemons[1].kill()
        self.ping(count=5)  # cygnetd forwards without its IKE daemon
        self.wait_for(lambda: not self.spis(self.west), "the dead peer to be detected", 20)
        with self.watched(allow=is_icmp) as watch:
            self.assertFalse(self.ping(count=2, check=False))
            self.assertEqual(watch.clear, 0)
        self.daemons[1].start()
        self.daemons[1].load(charon_connection(1, child=child, connection={"dpd_delay": "1s"}))
        with self.watched(allow=is_icmp):
            self.ping_until()
        self.ping()


def is_icmp(frame):
    """Answers of a host without an IKE daemon: its UDP port 500 is closed."""
    return frame[23] == 1


if __name__ == "__main__":
    suite.main()
