#!/usr/bin/python3
"""The ledger: who held which key until when; through stops, kills and restarts of the daemon."""

import os
import signal

import labkit
import suite
from rawwire import Peer

HOST, PEER = "192.0.2.1", "192.0.2.2"


class Ledger(suite.Case):
    def setUp(self):
        self.host = self.make_host(self._testMethodName[:8])
        self.own(Peer(self.host))
        self.file = os.path.join(self.workdir, f"{self._testMethodName}.jsonl")
        self.start()

    def start(self):
        self.host.start(config=f'[ledger]\nfile = "{self.file}"\n[[device]]\nname = "nic0"\n'
                        'wire = "wire0"\n')

    def add(self, spi, offload=True):
        self.key = os.urandom(20).hex()
        self.host.xfrm(f"state add src {HOST} dst {PEER} proto esp spi {spi:#x} reqid 7 mode tunnel "
                       f"replay-window 64 aead rfc4106(gcm(aes)) 0x{self.key} 128"
                       + (" offload dev nic0 dir out" if offload else ""))

    def ledger(self, *words):
        return self.host.show("ledger", *words)

    def keys(self, *words):
        return [i for i in self.ledger(*words) if i["kind"] == "key"]

    def text(self):
        with open(self.file, encoding="utf-8") as f:
            return f.read()

    def test_a_life_of_an_sa(self):
        self.add(0x1001)
        self.host.show("offload", "disable", "dev", "nic0")
        self.wait_for(lambda: all(k["erased"] for k in self.keys("dev", "nic0")), "the erasure")
        self.assertEqual([k["holder_kind"] for k in self.keys("current")], ["engine"])
        self.host.xfrm("state flush")
        self.wait_for(lambda: all(k["erased"] for k in self.keys()), "the erasure of all")
        steps = [(i["effective"], i["where"], i["reason"]) for i in self.ledger("spi", "0x1001")
                 if i["kind"] == "placement"]
        self.assertEqual(steps, [("crypto", "nic0", "requested"),
                                 ("software", steps[1][1], "operator-disabled"),
                                 ("removed", "", "")])
        text = self.host.text("ledger")
        for word in ("nic0", "operator-disabled", "erased", "0x00001001"):
            self.assertIn(word, text)

    def test_a_stop_erases_and_says_so(self):
        self.add(0x1001)
        self.host.stop()
        self.start()
        keys = self.keys()
        self.assertEqual({k["holder"] for k in keys} >= {"nic0"}, True)
        for key in keys:
            self.assertTrue(key["erased"], key)
            self.assertGreaterEqual(key["until"], key["from"])

    def test_a_kill_leaves_a_note(self):
        self.add(0x1001)
        self.wait_for(lambda: "key-given" in self.text(), "the file")
        labkit.end(self.host.daemon, signal.SIGKILL)
        self.start()
        keys = self.keys()
        self.assertTrue(keys)
        for key in keys:
            self.assertFalse(key["erased"])
            self.assertIn("unexpectedly", key["note"])
        text = self.text()
        self.assertNotIn(self.key, text)
        self.assertNotIn(self.key[:32], text)

    def test_two_daemons_do_not_share_a_file(self):
        other = self.make_host("other")
        self.own(Peer(other))
        with self.assertRaisesRegex(labkit.LabError, "another cygnetd writes this file"):
            other.start(config=f'[ledger]\nfile = "{self.file}"\n[[device]]\nname = "nic0"\n'
                        'wire = "wire0"\n')
        other.ended_by_test = True


if __name__ == "__main__":
    suite.main()
