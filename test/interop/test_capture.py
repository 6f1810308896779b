#!/usr/bin/python3
"""Captures that explain: both sides of a device in one file, linked, with places, drops and keys. tshark reads them."""

import os
import re
import subprocess
import time

from scapy.layers.inet import IP, UDP

import labkit
import suite
from journalkit import Journal
from test_fips import Fips
from test_placement import HOST, INNER_HOST, INNER_PEER, MARK, PEER, Placement

EXTCAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../etc/extcap")
FIELDS = ("frame.interface_name", "frame.packet_id", "frame.packet_flags_direction", "frame.comment",
          "ip.src", "ip.dst", "esp.spi", "esp.sequence", "udp.payload")


class Seen:
    """A frame as tshark shows it."""

    def __init__(self, line):
        values = dict(zip(FIELDS, line.split("\t")))
        self.interface = values["frame.interface_name"]
        self.id = values["frame.packet_id"]
        self.out = values["frame.packet_flags_direction"] == "0x00000002"
        self.comment = values["frame.comment"]
        self.src = values["ip.src"].split(",")
        self.spi, self.seq = values["esp.spi"], values["esp.sequence"]
        self.payload = bytes.fromhex(values["udp.payload"].replace(":", ""))

    @property
    def esp(self):
        return self.spi != ""

    def __repr__(self):
        return f"{self.interface} {self.id} {self.src} {self.spi} {self.seq} {self.comment!r}"


def tshark(path, config=None):
    """All IP frames of a capture; `config`: Wireshark's folder, by default an empty one."""
    fields = [word for field in FIELDS for word in ("-e", field)]
    # Frames of the dissectors that Wireshark guesses by port show no payload.
    result = subprocess.run(["tshark", "-r", path, "-Y", "ip", "-T", "fields", *fields],
                            env={**os.environ, "WIRESHARK_CONFIG_DIR": config or "/nonexistent"},
                            capture_output=True, text=True, check=True)
    return [Seen(line) for line in result.stdout.splitlines()]


class Capturing(Placement):
    def capture(self, *words):
        path = os.path.join(self.workdir, f"{time.monotonic_ns()}.pcapng")
        proc = self.host.ns.popen([self.host.cygnet.command, "capture", "dev", "nic0", "write", path, *words],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(labkit.end, proc)
        self.addCleanup(proc.stderr.close)
        self.wait_for(lambda: os.path.exists(path) and os.path.getsize(path) > 0, "the capture to begin")
        return proc, path

    def finish(self, capture):
        time.sleep(0.2 * suite.SLOWNESS)  # what was sent has been captured then
        proc, path = capture
        self.assertEqual(labkit.end(proc, labkit.signal.SIGINT), 0)
        self.said = proc.stderr.read()
        return path

    def one_each_way(self, into):
        self.udp.sendto(MARK * 2, (INNER_PEER, 9))
        inner = bytes(IP(src=INNER_PEER, dst=INNER_HOST) / UDP(sport=9, dport=7001) / (MARK * 3))
        packet = IP(src=PEER, dst=HOST, proto=50) / into.seal(inner, 4)
        self.peer.send_ip(packet)
        self.assertEqual(self.udp.recv(2000), MARK * 3)
        return packet

    def links(self, frames, place, verbs=("sealed", "opened")):
        """Checks that each packet in clear has the id of one ESP packet, and names it."""
        for out, verb, spi, payload in ((True, verbs[0], 0x1001, MARK * 2), (False, verbs[1], 0x2001, MARK * 3)):
            inner, = [f for f in frames if f.interface == "nic0" and f.payload == payload and f.out == out]
            esp, = [f for f in frames if f.interface == "nic0-wire" and f.esp and f.out == out]
            self.assertEqual(inner.id, esp.id)
            self.assertNotEqual(inner.id, "")
            self.assertEqual(int(esp.spi, 16), spi)
            where = f"ESP SPI {spi:#010x}, sequence number {esp.seq}"
            self.assertIn(f"{where}, {verb} by {place}", inner.comment)
            self.assertIn(where, esp.comment)
            self.assertIn(f"placement {'out' if out else 'in'}: ", esp.comment)
        ids = {f.id for f in frames if f.esp}
        self.assertEqual(len(ids), 2)

    def both_sides(self, place, *words, **sa):
        self.policies()
        self.add(0x1001, **sa)
        into = self.add(0x2001, "in", **sa)
        capture = self.capture(*words)
        self.one_each_way(into)
        path = self.finish(capture)
        frames = tshark(path)
        self.links(frames, place)
        for frame in frames:
            self.assertNotIn("dropped", frame.comment, frame)
            self.assertFalse(frame.interface == "nic0-wire" and MARK in frame.payload)
        return path


class Captures(Capturing):
    def test_crypto_offload(self):
        self.both_sides("device nic0 (crypto offload)")

    def test_software(self):
        self.both_sides("an engine", offload=None)

    def test_drops_appear_with_their_reason(self):
        self.policies()
        self.add(0x1001)
        into = self.add(0x2001, "in")
        capture = self.capture()
        packet = self.one_each_way(into)
        self.peer.send_ip(packet)  # a replay
        damaged = bytearray(bytes(IP(src=PEER, dst=HOST, proto=50) / into.seal(bytes(40), 4)))
        damaged[-1] ^= 1
        self.peer.send_ip(damaged)
        self.peer.send_ip(IP(src=PEER, dst=HOST, proto=50) / (b"\0\0\x30\x01" + bytes(40)))
        self.peer.send_ip(IP(src=INNER_PEER, dst=INNER_HOST) / UDP(sport=9, dport=7001) / b"in clear")
        self.host.ns.ip(f"route replace 10.4.0.0/16 via {PEER} dev nic0 src {INNER_HOST}")
        self.host.xfrm("policy add src 10.1.0.0/16 dst 10.4.0.0/16 dir out action block")
        self.udp.sendto(b"blocked", ("10.4.0.1", 9))
        frames = tshark(self.finish(capture))
        dropped = {f.comment.split(": ")[1]: f for f in frames if f.comment.startswith("dropped: ")}
        self.assertEqual(set(dropped), {"in-replay-duplicate", "in-auth-failed", "in-no-state",
                                        "in-template-mismatch", "out-policy-block"}, frames)
        for frame in dropped.values():
            self.assertEqual(frame.interface, "nic0")
        on_wire = [f for f in frames if f.interface == "nic0-wire" and f.esp and not f.out]
        replay = dropped["in-replay-duplicate"]
        self.assertEqual([f.id for f in on_wire].count(replay.id), 2)  # the first one, and its repetition
        for reason in ("in-auth-failed", "in-no-state"):
            self.assertEqual([f.id for f in on_wire].count(dropped[reason].id), 1, reason)
        self.assertEqual(dropped["out-policy-block"].payload, b"blocked")
        self.assertEqual(dropped["in-template-mismatch"].payload, b"in clear")

    def test_packets_that_policy_lets_pass_in_clear(self):
        capture = self.capture()
        self.host.ns.run(["ping", "-c", "1", "-W", "1", PEER], check=False)
        frames = [f for f in tshark(self.finish(capture)) if f.src == [HOST]]
        self.assertEqual({(f.interface, f.id, f.comment) for f in frames},
                         {("nic0", "", "in clear"), ("nic0-wire", "", "in clear")})

    # --- Keys ---

    def test_with_keys_wireshark_decrypts(self):
        for offload in ("nic0", None):
            key, key_in = os.urandom(20), os.urandom(36)
            self.policies()
            self.add(0x1001, key=key, offload=offload)
            into = self.add(0x2001, "in", key=key_in, offload=offload)
            unseen = os.urandom(20)
            self.add(0x3001, key=unseen, reqid=3)
            capture = self.capture("--with-keys")
            self.one_each_way(into)
            path = self.finish(capture)
            folder = path + ".keys"
            self.assertIn(f"keys of 2 SAs in {folder}; to decrypt: WIRESHARK_CONFIG_DIR={folder} tshark -r {path}",
                          self.said)
            for name, mode in ((path, 0o600), (folder, 0o700), (folder + "/esp_sa", 0o600)):
                self.assertEqual(os.stat(name).st_mode & 0o777, mode, name)
            wire = [f for f in tshark(path) if f.esp]
            self.assertEqual([f.payload for f in wire], [b"", b""])
            wire = [f for f in tshark(path, folder) if f.esp]
            self.assertEqual({f.payload for f in wire}, {MARK * 2, MARK * 3})
            with open(folder + "/esp_sa", encoding="ascii") as file:
                table = file.read()
            self.assertIn(key.hex(), table)
            self.assertNotIn(unseen.hex(), table)  # only of SAs whose packets are in the file
            with open(path, "rb") as file:
                content = file.read()
            log = self.host.log()
            for secret in (key, key_in):
                self.assertNotIn(secret[:16], content)
                self.assertNotIn(secret[:16].hex(), log.lower())
            self.assertIn("an operator requested a capture with the keys of SAs", log)
            self.tearDown()

    def test_without_the_word_there_are_no_keys(self):
        path = self.both_sides("device nic0 (crypto offload)")
        self.assertFalse(os.path.exists(path + ".keys"))
        self.assertIn("packets captured", self.said)

    # --- Wireshark's interface list ---

    def in_wireshark(self, *words):
        """tshark with our folder in place of its own: root's tshark ignores WIRESHARK_EXTCAP_DIR."""
        env = {**os.environ, "WIRESHARK_CONFIG_DIR": self.workdir + "/none",
               "PATH": os.path.dirname(self.host.cygnet.command) + ":" + os.environ["PATH"]}
        folders = subprocess.run(["tshark", "-G", "folders"], capture_output=True, text=True, check=True).stdout
        theirs = re.search(r"^Extcap path:\s+(\S+)$", folders, re.MULTILINE).group(1)
        return self.host.ns.popen(["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec tshark "$@"',
                                   EXTCAP, theirs, *words], env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)

    def test_wireshark_lists_and_captures(self):
        proc = self.in_wireshark("-D")
        listed, errors = proc.communicate(timeout=30)
        self.assertRegex(listed, r"cygnet-nic0 \(Cygnet device nic0\)", errors)
        self.policies()
        self.add(0x1001)
        into = self.add(0x2001, "in")
        path = os.path.join(self.workdir, "extcap.pcapng")
        proc = self.in_wireshark("-i", "cygnet-nic0", "-w", path)
        self.addCleanup(labkit.end, proc)

        def captured():
            return os.path.exists(path) and any(f.interface == "nic0-wire" for f in tshark(path))

        def send():
            self.udp.sendto(b"ready?", (INNER_PEER, 9))
            return captured()
        self.wait_for(send, "tshark to capture")
        self.one_each_way(into)
        self.wait_for(lambda: len([f for f in tshark(path) if f.esp and not f.out]) == 1, "the packet")
        proc.send_signal(labkit.signal.SIGINT)
        _, errors = proc.communicate(timeout=10)
        frames = tshark(path)
        inner, = [f for f in frames if f.interface == "nic0" and f.payload == MARK * 2]
        esp, = [f for f in frames if f.interface == "nic0-wire" and f.id == inner.id]
        self.assertIn("sealed by device nic0 (crypto offload)", esp.comment)
        self.wait_for(lambda: "extcap" not in self.host.ns.run(["ps", "-eo", "args"]).stdout.replace(EXTCAP, ""),
                      "the program to end")


class LookAside(Capturing):
    daemon_keys = '[look_aside]\nengine = "thread_offload"\nmode = "auto"'

    def test_look_aside(self):
        path = self.both_sides("an engine", offload=None)
        for frame in tshark(path):
            self.assertEqual("look-aside thread_offload" in frame.comment, frame.id != "", frame)


class Audited(Capturing):
    """The daemon has a /run of its own, in which the test plays the journal."""

    @classmethod
    def make_host(cls, name="host"):
        host = super().make_host(name)
        cls.journal = cls.own(Journal(host, cls.workdir))
        return host

    def test_who_took_keys_is_on_record(self):
        key = os.urandom(20)
        self.policies()
        self.add(0x1001, key=key)
        capture = self.capture("--with-keys")
        self.udp.sendto(MARK, (INNER_PEER, 9))
        path = self.finish(capture)
        self.assertTrue(os.path.exists(path + ".keys/esp_sa"))
        records = self.journal.records()
        self.assertTrue([r for r in records if "MESSAGE_ID=56d2474b2bed4eef9fa069f5c357683e" in r
                         and 'CYGNET_COMMAND={"command":"capture","device":"nic0","with_keys":true}' in r
                         and "CYGNET_PEER_UID=0" in r], records)
        self.assertNotIn(key[:16].hex(), "".join(records).lower())


class FipsRefuses(Fips):
    def test_keys_stay_inside_in_fips_mode(self):
        path = os.path.join(self.workdir, "refused.pcapng")
        result = self.host.ns.run([self.host.cygnet.command, "capture", "dev", "nic0", "--with-keys", "write", path],
                                  check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("refused in FIPS mode", result.stderr)
        self.assertFalse(os.path.exists(path))
        self.assertFalse(os.path.exists(path + ".keys"))


if __name__ == "__main__":
    suite.main()
