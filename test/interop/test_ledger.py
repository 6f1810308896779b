#!/usr/bin/python3
"""The ledger: who held which key until when; through stops, kills and restarts of the daemon. And the
ledger as evidence: what somebody does to it is found, also on a copy."""

import hashlib
import json
import os
import re
import shutil
import signal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import labkit
import suite
from journalkit import Journal
from rawwire import Peer

HOST, PEER = "192.0.2.1", "192.0.2.2"
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "doc", "auditing_keys.md")


class LedgerHost(suite.Case):
    count = 0

    def setUp(self):
        LedgerHost.count += 1
        self.host = self.make_host(f"host{LedgerHost.count}")
        self.own(Peer(self.host))
        self.file = os.path.join(self.workdir, f"{self._testMethodName}.jsonl")
        self.prepare()
        self.start()

    def prepare(self):
        """Before the daemon starts."""

    def start(self, file=None):
        self.host.start(config=f'[ledger]\nfile = "{file or self.file}"\n[[device]]\nname = "nic0"\n'
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

    def text(self, file=None):
        with open(file or self.file, encoding="utf-8") as f:
            return f.read()


class Ledger(LedgerHost):
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


class Evidence(LedgerHost):
    """`cygnet ledger verify` and `report`: on copies, without the daemon, but where a test says so."""

    def prepare(self):
        self.journal = self.own(Journal(self.host, self.workdir))

    def cygnet_command(self, *words):
        return self.host.ns.run([self.host.cygnet.command, *words], check=False)

    def verify(self, *words):
        """(exit status, verdict)"""
        result = self.cygnet_command("-j", "ledger", "verify", *words)
        self.assertIn(result.returncode, (0, 3), result.stderr)
        verdict, = json.loads(result.stdout)
        self.assertEqual(result.returncode, 0 if verdict["whole"] else 3)
        return verdict

    def heads(self):
        """HASH@RECORD of each, from the journal."""
        return re.findall(r"^MESSAGE=head of the ledger of \S+: ([0-9a-f]{64}@\d+), signed by key",
                          "\n".join(self.journal.records()), re.M)

    def copy(self, lines, edit=None):
        path = self.file + ".copy"
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(edit(lines) if edit else lines))
        return path

    def lives(self):
        """A stop, a kill in the middle of a line, and a stop. Returns the ledger's lines."""
        self.add(0x1001)
        self.host.stop()
        self.start()
        self.add(0x1002)
        labkit.end(self.host.daemon, signal.SIGKILL)
        with open(self.file, "a", encoding="utf-8") as f:
            f.write('{"time":"2026-11-28T17:')
        self.start()
        self.add(0x1003)
        self.host.stop()
        return self.text().splitlines(keepends=True)

    def judge(self, lines):
        """The chain and its signatures by Python's own means: src/chain/hash_chain.h, head_key.h."""
        before, heads = bytes(32), 0
        for line in lines:
            found = re.fullmatch(r'(.*),"chain":"([0-9a-f]{64})","crc":"[0-9a-f]{8}"}\n', line)
            if not found:
                continue
            chain = hashlib.sha256(before + found[1].encode()).hexdigest()
            self.assertEqual(chain, found[2])
            row = json.loads(line)
            if row["event"] == "head":
                self.assertEqual((row["of"], row["head"]), (row["n"] - 1, before.hex()))
                text = "\n".join(["cygnet ledger head", row["host"], row["time"], row["why"],
                                  str(row["of"]), row["head"]])
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(row["key"])).verify(
                    bytes.fromhex(row["signature"]), text.encode())
                heads += 1
            before = bytes.fromhex(chain)
        return heads

    def test_what_is_done_to_a_copy_is_found(self):
        lines = self.lives()
        whole = self.verify(self.file)
        self.assertEqual(whole["problems"], [], "a stop and a kill are no defect")
        self.assertEqual((whole["first"], whole["last"], whole["heads"]), (1, whole["linked"], 5))
        notes = " ".join(note["text"] for note in whole["notes"])
        self.assertIn("ended without a stop", notes)
        self.assertIn("cut short by a crash", notes)
        self.assertEqual(self.judge(lines), 5)
        heads = self.heads()
        self.assertEqual(len(heads), 5, "each is in the audit trail")
        every_head = [word for head in heads for word in ("--head", head)]
        key, = whole["keys"]
        self.assertTrue(self.verify(self.file, "--key", key, *every_head)["whole"])
        self.assertFalse(self.verify(self.file, "--key", "0" * 64)["whole"])
        self.assertEqual(os.stat(self.file + ".key").st_mode & 0o777, 0o600)

        at = next(i for i, line in enumerate(lines) if '"key-ended"' in line)
        shutil.copy(self.file, self.file + ".sed")
        self.host.ns.run(["sed", "-i", "3d", self.file + ".sed"])
        other = self.file + ".other"
        self.start(other)
        self.add(0x1004)
        self.host.stop()
        self.host.ended_by_test = True
        alien = self.text(other).splitlines(keepends=True)[2]
        cases = {
            "deleted": (self.file + ".sed", 3, "record 3 is missing before it"),
            "moved": (lambda l: [*l[:3], l[4], l[3], *l[5:]], 4, "record 4 is missing before it"),
            "repeated": (lambda l: [*l[:4], l[3], *l[4:]], 5, "record 4 stands here twice"),
            "edited": (lambda l: [*l[:at], l[at].replace('"erased":true', '"erased":false'), *l[at + 1:]],
                       at + 1, "not a whole record"),
            "spliced": (lambda l: [*l[:2], alien, *l[3:]], 3, "record 3 does not follow record 2"),
            "cut": (lambda l: l[:-1], len(lines) - 1, "was written: the end was cut off"),
            "cut in a line": (lambda l: [*l[:-1], l[-1][:99]], len(lines), "the file ends within a record"),
            "not chained": (lambda l: [re.sub(r',"n":.*', "}", line) for line in l], 0, "no record is linked: nothing shows"),
        }
        for name, (edit, line, text) in cases.items():
            with self.subTest(name):
                path = edit if isinstance(edit, str) else self.copy(lines, edit)
                verdict = self.verify(path, "--head", f"{self.chain_of(lines[-1])}")
                self.assertFalse(verdict["whole"])
                found = [(p["file"], p["line"]) for p in verdict["problems"] if text in p["text"]]
                self.assertEqual(found, [(path, line)], verdict["problems"])

    @staticmethod
    def chain_of(line):
        row = json.loads(line)
        return f'{row["chain"]}@{row["n"]}'

    def test_what_is_done_on_the_host_is_found(self):
        self.add(0x1001)
        self.host.ns.run(["sed", "-i", "3d", self.file])
        self.wait_for(lambda: "was replaced" in self.text(), "the daemon to undo it")
        now = self.verify()
        self.assertEqual(now["problems"], [], "it had the line")
        self.assertIn("was replaced by another file", str(now["notes"]))
        self.assertEqual(self.host.text("ledger", "key").strip(), now["keys"][0])
        self.host.stop()
        shutil.copy(self.file, self.file + ".old")
        self.start()
        self.add(0x1002)
        self.host.stop()
        os.replace(self.file + ".old", self.file)
        self.start()
        self.assertIn("it is an older copy", self.cygnet_command("stored").stdout)
        self.assertIn("ledger-whole", self.cygnet_command("doctor").stdout)
        now = self.verify()
        self.assertFalse(now["whole"])
        self.assertIn("missing before it", str(now["problems"]))
        self.assertIn("are missing before it: the ledger had got there", "".join(self.journal.records()))
        os.unlink(self.file + ".key")
        self.host.stop()
        self.start()
        self.assertIn("heads are signed by another key", self.cygnet_command("stored").stdout)

    def test_the_page_for_auditors(self):
        self.add(0x1001)
        self.add(0x1002)
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi 0x1002")
        self.wait_for(lambda: self.text().count('"erased":true') == 2, "the erasure, in the file")
        evidence = os.path.join(self.workdir, "evidence")
        with open(PAGE, encoding="utf-8") as f:
            parts = dict(re.findall(r"^<!-- run: (\w+) -->\n```\n(.*?)^```$", f.read(), re.M | re.S))
        folder = os.path.join(self.workdir, "bin")
        os.makedirs(folder)
        os.symlink(os.path.abspath(self.host.cygnet.command), f"{folder}/cygnet")

        def follow(part, status=0, **more):
            done = self.host.ns.run(["sh", "-e", "-c", parts[part]], check=False, env={
                **os.environ, "PATH": f"{folder}:/usr/bin:/bin", "LEDGER": self.file, "EVIDENCE": evidence, **more})
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            return done.stdout

        follow("collect")
        self.assertNotIn("ledger.jsonl.key", os.listdir(evidence))
        self.host.stop()
        self.host.ended_by_test = True
        head = self.heads()[0]
        self.assertIn(": whole", follow("verify", HEAD=head))
        report = follow("report", FROM="2020-01-01", TO="2199-12-31")
        self.assertRegex(report, r"device nic0 on \S+")
        self.assertRegex(report, r"out 192\.0\.2\.1 > 192\.0\.2\.2 esp spi 0x00001002: erased")
        self.assertRegex(report, r"to unknown, .* spi 0x00001001: held when the ledger ends")
        rows = json.loads(follow("json", FROM="2020-01-01", TO="2199-12-31"))
        self.assertEqual({row["spi"] for row in rows["keys"]}, {"0x00001001", "0x00001002"})
        self.host.ns.run(["sed", "-i", "3d", os.path.join(evidence, os.path.basename(self.file))])
        self.assertIn("record 3 is missing before it", follow("verify", status=3, HEAD=head))


if __name__ == "__main__":
    suite.main()
