#!/usr/bin/python3
"""The daemon's files, through full disks, kills and damage: no acknowledged change is lost, and an incomplete
file blocks. The limit of a file's size simulates a full disk.
"""

import json
import os
import resource
import shutil
import signal
import socket
import time

from scapy.layers.inet import IP, UDP

import labkit
import suite
from espjudge import EspJudge
from rawwire import Peer, inside

HOST, PEER = "192.0.2.1", "192.0.2.2"
SECRET = b"TOPSECRET"


class StoredHost(suite.Case):
    """A host with its files, and the test as its peer."""

    more = ""  # of the configuration

    def setUp(self):
        self.host = self.make_host(self._testMethodName[5:13])
        self.peer = self.own(Peer(self.host))
        self.file = os.path.join(self.workdir, f"{self._testMethodName}.restart")
        self.ledger = os.path.join(self.workdir, f"{self._testMethodName}.jsonl")
        self.start()

    def start(self, nic="nic0"):
        self.host.start(config=f'[daemon]\nrestart_file = "{self.file}"\n[ledger]\nfile = "{self.ledger}"\n{self.more}'
                        f'[[device]]\nname = "{nic}"\nwire = "wire0"\n')
        self.host.ns.ip(f"addr add {HOST}/24 dev {nic}")
        self.host.ns.ip(f"link set {nic} up")
        self.host.ns.ip(f"neigh replace {PEER} lladdr {self.peer.mac.hex(':')} dev {nic}")

    def kill(self):
        self.host.ended_by_test = True
        labkit.end(self.host.daemon, signal.SIGKILL)

    def limit_files(self, size):
        limit = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.host.daemon.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


class Stored(StoredHost):
    def policies(self):
        return {p["selector"] for p in self.host.show("policy")}

    def leaks(self):
        """Whether a datagram in clear reaches the wire."""
        self.peer.wire.drain()
        self.host.ns.run(["/usr/bin/python3", "-c", "import socket\n"
                          "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                          f"for i in range(3):\n try: s.sendto({SECRET!r}, ('{PEER}', 31337))\n"
                          " except OSError: pass"])
        return bool(self.peer.wire.frames(lambda frame: SECRET in bytes(frame), timeout=0.5))

    def add_block(self, dst, check=True):
        return self.host.xfrm(f"policy add src 0.0.0.0/0 dst {dst} dir out action block", check=check)

    def test_full_file_system_refuses_and_continues(self):
        self.add_block("10.0.0.0/8")
        self.limit_files(os.path.getsize(self.file))
        refused = self.add_block("192.0.2.0/24", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("restart file", refused.stderr)
        self.assertEqual(len(self.policies()), 1, "what is refused is not there")
        stored = self.host.ns.run([self.host.cygnet.command, "stored"], check=False)
        self.assertEqual(stored.returncode, 3)
        self.assertIn("changes are refused", stored.stdout)
        self.limit_files(None)
        self.add_block("192.0.2.0/24")
        known = self.policies()
        self.kill()
        self.start()
        self.assertEqual(self.policies(), known)
        self.assertFalse(self.leaks())

    def test_a_policy_follows_its_interface_or_blocks(self):
        before = self.host.show("dev")[0]["ifindex"]
        self.host.xfrm("policy add src 0.0.0.0/0 dst 203.0.113.0/24 dev nic0 dir out action block")
        self.host.xfrm("policy add src 0.0.0.0/0 dst 192.0.2.0/24 dev nic0 dir out priority 9")
        self.assertTrue(self.leaks(), "it lets pass")
        self.kill()
        self.start()
        self.assertNotEqual(self.host.show("dev")[0]["ifindex"], before, "else this shows nothing")
        self.assertEqual(self.host.show("stored")["restart_damage"], "")
        self.assertEqual(self.host.xfrm("policy").stdout.count("dev nic0"), 2)
        self.assertTrue(self.leaks(), "the other policy is for other packets")
        self.kill()
        self.start("nic1")
        self.assertIn('a policy selects the interface "nic0", which Cygnet does not have now', self.host.log())
        self.assertEqual([p.get("unmet") for p in self.host.show("policy")], [True, True])
        self.assertFalse(self.leaks(), "it may be for packets that take another way now")
        self.kill()
        self.start()
        self.assertEqual(self.host.xfrm("policy").stdout.count("dev nic0"), 2)
        self.assertTrue(self.leaks())

    def test_the_time_of_a_policy_goes_on_without_a_daemon(self):
        """One ends while none runs, and one was deleted before its time was over."""
        self.host.xfrm("policy add src 0.0.0.0/0 dst 192.0.2.0/24 dir out priority 9 action block")
        self.host.xfrm("policy add src 0.0.0.0/0 dst 192.0.2.0/28 dir out limit time-hard 2")
        self.host.xfrm("policy add src 0.0.0.0/0 dst 192.0.2.0/29 dir out limit time-hard 2")
        self.host.xfrm("policy add src 0.0.0.0/0 dst 10.0.0.0/8 dir out limit time-hard 600")
        self.assertTrue(self.leaks())
        self.host.xfrm("policy delete src 0.0.0.0/0 dst 192.0.2.0/29 dir out")
        added = next(p for p in self.host.show("policy") if "10.0.0.0/8" in p["selector"])["usage"]["add_time"]
        self.kill()
        self.wait_for(lambda: time.time() > added + 3, "the limit")
        self.start()
        self.assertFalse(self.leaks(), "at once")
        self.assertEqual(self.host.show("stored")["restart_damage"], "")
        self.assertEqual([p["usage"]["add_time"] for p in self.host.show("policy")
                          if "10.0.0.0/8" in p["selector"]], [added])
        self.assertEqual(len(self.policies()), 2)

    def test_a_file_that_is_deleted_or_replaced_is_written_again(self):
        self.add_block("10.0.0.0/8")
        shutil.copy(self.file, self.file + ".old")
        os.unlink(self.file)
        self.add_block("192.0.2.0/24")
        os.replace(self.file + ".old", self.file)
        os.unlink(self.file + ".lock")
        self.add_block("198.51.100.0/24")
        doctor = self.host.ns.run([self.host.cygnet.command, "doctor"], check=False).stdout
        self.assertRegex(doctor, "WARNING *restart-file-kept: .* while cygnetd ran \\(3 such")
        self.assertIn("restart was deleted while cygnetd runs", self.host.log())
        known = self.policies()
        self.assertEqual(len(known), 3)
        self.kill()
        self.start()
        self.assertEqual(self.policies(), known)
        self.assertFalse(self.leaks())

    def test_an_older_copy_that_is_put_in_its_place_is_undone_at_once(self):
        for kept in (self.file, self.ledger):
            shutil.copy(kept, kept + ".old")
        self.add_block("192.0.2.0/24")
        self.wait_for(lambda: len(self.policies()) == 1, "the policy")
        for kept in (self.file, self.ledger):
            since = len(self.host.log())
            os.replace(kept + ".old", kept)
            replaced = time.monotonic()
            self.wait_for(lambda name=kept, at=since: f"{name} was replaced" in self.host.log()[at:], "it", 5)
            self.assertLess(time.monotonic() - replaced, 0.4 * suite.SLOWNESS, "not with the second")
        known = self.policies()
        self.kill()
        self.start()
        self.assertEqual(self.policies(), known)
        self.assertFalse(self.leaks())

    def test_an_older_copy_that_the_daemon_could_not_see_blocks(self):
        self.host.xfrm("policy setdefault out accept")
        shutil.copy(self.file, self.file + ".old")
        self.add_block("192.0.2.0/24")
        self.host.daemon.send_signal(signal.SIGSTOP)
        os.replace(self.file + ".old", self.file)
        self.kill()
        self.start()
        self.assertIn("it is an older copy, or another file", self.host.log())
        self.assertFalse(self.leaks())
        self.host.text("stored", "accept")
        self.assertTrue(self.leaks(), "the operator has spoken")

    def test_damage_blocks_until_the_state_is_set(self):
        self.add_block("192.0.2.0/24")
        self.kill()
        with open(self.file, "r+b") as f:
            f.seek(0)
            f.write(b"\7")
        self.start()
        self.assertIn("It is incomplete", self.host.log())
        self.assertFalse(self.leaks(), "nothing could be read, and nothing passes")
        self.kill()
        self.start()
        self.assertFalse(self.leaks(), "not in the next life, either")
        text = self.host.ns.run([self.host.cygnet.command, "stored"], check=False)
        self.assertEqual(text.returncode, 3)
        self.assertIn("INCOMPLETE", text.stdout)
        self.host.text("stored", "accept")
        self.assertTrue(self.leaks(), "the operator has spoken")

    def test_a_killed_daemon_has_the_key_on_record(self):
        key = os.urandom(20).hex()
        for spi in range(0x1001, 0x1005):
            self.host.xfrm(f"state add src {HOST} dst {PEER} proto esp spi {spi:#x} reqid 7 mode tunnel "
                           f"aead rfc4106(gcm(aes)) 0x{key} 128 offload dev nic0 dir out")
        self.kill()
        with open(self.ledger, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f if line.strip()]
        given = {(i["spi"], i["holder"]) for i in lines if i["event"] == "key-given"}
        for spi in range(0x1001, 0x1005):
            self.assertIn((f"{spi:#010x}", "nic0"), given)
        for line in lines:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertTrue(line["host"])
            self.assertRegex(line["boot"], "^[0-9a-f-]{36}$")

    def test_no_key_is_given_that_cannot_be_recorded(self):
        self.wait_for(lambda: os.path.getsize(self.ledger) > 0, "the ledger")
        size = os.path.getsize(self.ledger)
        self.limit_files(size)
        refused = self.host.xfrm(f"state add src {HOST} dst {PEER} proto esp spi 0x1001 reqid 7 mode tunnel "
                                 f"aead rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("ledger", refused.stderr)
        self.assertEqual(self.host.show("sa"), [])
        self.assertEqual([k for k in self.host.show("ledger", "current") if k["kind"] == "key"], [])
        self.limit_files(None)
        self.host.xfrm(f"state add src {HOST} dst {PEER} proto esp spi 0x1001 reqid 7 mode tunnel "
                       f"aead rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128")


class Numbers(StoredHost):
    """Numbers that outlive the daemon: a key that comes back repeats neither number nor IV, and no packet is
    accepted twice."""

    def setUp(self):
        self.numbers = os.path.join(self.workdir, f"{self._testMethodName}.numbers")
        self.more = f'[numbers]\nstore = "file"\nfile = "{self.numbers}"\n'
        super().setUp()
        self.out, self.into = EspJudge(0, os.urandom(20)), EspJudge(0x2001, os.urandom(20))
        self.used = set()
        for direction, ends in (("out", f"src {HOST} dst 192.0.2.0/24"), ("in", f"src 192.0.2.0/24 dst {HOST}")):
            self.host.xfrm(f"policy add {ends} proto udp dir {direction} tmpl proto esp reqid 1 mode transport")

    def restart(self):
        self.kill()
        self.start()

    def add(self, src, dst, judge):
        self.host.xfrm(f"state add src {src} dst {dst} proto esp spi {judge.spi:#x} reqid 1 mode transport "
                       f"replay-window 64 aead rfc4106(gcm(aes)) 0x{judge.material.hex()} 128")

    def send(self, dst, count=5):
        """Datagrams by the outbound key. The judge refuses an IV that it saw before."""
        self.host.ns.ip(f"neigh replace {dst} lladdr {self.peer.mac.hex(':')} dev nic0")
        self.peer.wire.drain()
        with inside(self.host.ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(count):
                sender.sendto(SECRET, (dst, 31337))
        frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00" and f[23] == 50, count,
                                       2 * suite.SLOWNESS)
        self.assertEqual(len(frames), count)
        for frame in frames:
            opened = self.out.open(frame[34:])
            self.assertNotIn(opened.seq, self.used)
            self.used.add(opened.seq)

    def test_a_key_that_comes_back_repeats_nothing(self):
        for spi, dst in ((0x1001, PEER), (0x1001, PEER), (0x1002, "192.0.2.3")):
            self.out.spi = spi
            for _ in range(2):  # within one life: deleted and added again
                self.host.xfrm("state flush")
                self.add(HOST, dst, self.out)
                self.send(dst)
            self.restart()
        self.assertEqual(len(self.used), 30)

    def test_no_packet_is_accepted_in_two_lives(self):
        packets = [bytes(IP(src=PEER, dst=HOST, proto=50) / self.into.seal(
            bytes(UDP(sport=7000, dport=7001) / SECRET), 17, seq=seq)) for seq in (1, 2, 3, 4200)]
        self.add(PEER, HOST, self.into)
        self.assertEqual(self.received(packets[:3]), 3)
        self.restart()
        self.add(PEER, HOST, self.into)
        before = suite.counters(self.host)
        self.assertEqual(self.received(packets), 1, "only the new one")
        self.assert_counted(self.host, before, {"in-number-unknown": 3, "XfrmInStateSeqError": 3})

    def received(self, packets):
        """How many of the datagrams in them the host gets."""
        with inside(self.host.ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind((HOST, 7001))
            receiver.settimeout(0.5 * suite.SLOWNESS)
            for packet in packets:
                self.peer.send_ip(packet)
            count = 0
            try:
                while count < len(packets):
                    receiver.recv(100)
                    count += 1
            except TimeoutError:
                pass
            return count

    def test_a_full_disk_refuses_and_an_older_copy_begins_anew(self):
        self.out.spi = 0x1001
        for suffix in ("", "-wal"):
            shutil.copy(self.numbers + suffix, self.numbers + ".old" + suffix)
        self.add(HOST, PEER, self.out)
        self.send(PEER)
        self.limit_files(1)
        self.host.xfrm("state flush")
        refused = self.host.xfrm(f"state add src {HOST} dst {PEER} proto esp spi 9 mode transport aead "
                                 f"rfc4106(gcm(aes)) 0x{self.out.material.hex()} 128", check=False)
        self.assertIn("number store gives no numbers", refused.stderr)
        stored = self.host.ns.run([self.host.cygnet.command, "stored"], check=False)
        self.assertEqual(stored.returncode, 3)
        self.assertIn("gives no numbers", stored.stdout)
        self.kill()
        for suffix in ("", "-wal"):
            os.replace(self.numbers + ".old" + suffix, self.numbers + suffix)
        self.start()
        self.assertIn("it is an older copy", self.host.log())
        stored = self.host.ns.run([self.host.cygnet.command, "stored"], check=False)
        self.assertRegex(stored.stdout, "BEGAN ANEW at this start: it is an older copy; rekey")
        doctor = self.host.ns.run([self.host.cygnet.command, "doctor"], check=False).stdout
        self.assertRegex(doctor, "FAULT *number-store-kept: it is an older copy")
        self.add(HOST, PEER, self.out)
        self.used.clear()  # the numbers begin anew, and the IVs are others
        self.send(PEER)


if __name__ == "__main__":
    suite.main()
