#!/usr/bin/python3
"""Where the cryptography runs; the answer is always available, true, and without keys."""

import errno
import json
import logging
import os
import socket
import struct
import subprocess
import threading
import time

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.utils import PcapReader  # noqa: E402

import labkit  # noqa: E402
import suite  # noqa: E402
import xfrmclient as nl  # noqa: E402
from espjudge import EspJudge  # noqa: E402
from rawwire import Peer, inside, sysctl  # noqa: E402

HOST, PEER = "192.0.2.1", "192.0.2.2"
HOST1, PEER1 = "198.51.100.1", "198.51.100.2"  # by the second device
INNER_HOST, INNER_PEER = "10.1.0.1", "10.2.0.1"
MARK = b"Cygnet in clear"


class Placement(suite.Case):
    """A host whose devices the class names; SAs that the test's judges share."""

    devices = [{"offload": "crypto"}]
    daemon_keys = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.peers = [cls.own(Peer(cls.host, i)) for i in range(len(cls.devices))]
        cls.peer = cls.peers[0]
        cls.host.start(cls.devices, cls.daemon_keys)
        ns = cls.host.ns
        ends = [(HOST, PEER), (HOST1, PEER1)]
        for i, peer in enumerate(cls.peers):
            sysctl(ns, f"net.ipv6.conf.nic{i}.disable_ipv6", 1)
            ns.ip(f"addr add {ends[i][0]}/24 dev nic{i}")
            ns.ip(f"neigh add {ends[i][1]} lladdr {peer.mac.hex(':')} dev nic{i} nud permanent")
        ns.ip(f"addr add {INNER_HOST}/32 dev lo")
        last = len(cls.peers) - 1
        ns.ip(f"route add 10.2.0.0/16 via {ends[last][1]} dev nic{last} src {INNER_HOST}")
        with inside(ns):
            cls.udp = cls.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        cls.udp.bind((INNER_HOST, 7001))
        cls.udp.settimeout(2 * suite.SLOWNESS)

    def tearDown(self):
        suite.xfrm_batch(self.host, ["state flush", "policy flush"])

    # --- SAs ---

    def add(self, spi, direction="out", offload="nic0", ends=(HOST, PEER), icv=16, key=None, reqid=1,
            extra=""):
        """One SA; its judge."""
        src, dst = ends if direction == "out" else ends[::-1]
        judge = EspJudge(spi, os.urandom(20) if key is None else key, icv)
        words = (f"state add src {src} dst {dst} proto esp spi {spi:#x} reqid {reqid} mode tunnel "
                 f"replay-window 64 aead rfc4106(gcm(aes)) 0x{(judge.key + judge.salt).hex()} "
                 f"{icv * 8} {extra}")
        if offload:
            words += f" offload dev {offload} dir {direction}"
        self.host.xfrm(words)
        return judge

    def policies(self, ends=(HOST, PEER), inner_peer="10.2.0.0/16", reqid=1):
        suite.xfrm_batch(self.host, [
            f"policy add src 10.1.0.0/16 dst {inner_peer} dir out tmpl src {ends[0]} dst {ends[1]} "
            f"proto esp reqid {reqid} mode tunnel",
            f"policy add src {inner_peer} dst 10.1.0.0/16 dir in tmpl src {ends[1]} dst {ends[0]} "
            f"proto esp reqid {reqid} mode tunnel"])

    def half(self, spi, direction="out"):
        """(requested, effective, reason) of one half of an SA."""
        sa = next(sa for sa in self.host.show("sa") if int(sa["spi"], 16) == spi)
        place = next(p for p in sa["placements"] if p["direction"] == direction)
        self.assertTrue(place["explanation"])
        self.assertEqual(place["device"] != "", place["effective"] == "crypto")
        return place["requested"], place["effective"], place["reason"]

    def device(self, number=0):
        return self.host.show("dev")[number]["offload"]

    def held(self, number=0):
        return sorted(int(sa["spi"], 16) for sa in self.host.show("dev")[number]["held"])

    # --- Traffic ---

    def goes_out(self, judge, peer=None, to=INNER_PEER, ends=(HOST, PEER)):
        """Checks that a datagram of the host leaves as the judge expects."""
        peer = peer or self.peer
        peer.wire.drain()
        payload = os.urandom(20)
        self.udp.sendto(payload, (to, 9))
        frames = peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", timeout=2 * suite.SLOWNESS)
        self.assertTrue(frames, "nothing on the wire")
        packet = frames[0][14:]
        self.assertEqual(frames[0][:6], peer.mac)
        self.assertEqual((socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])), ends)
        self.assertEqual(packet[9], 50)
        self.assertTrue(judge.open(packet[20:]).payload.endswith(payload))

    def comes_in(self, judge, peer=None, ends=(HOST, PEER), source=INNER_PEER):
        peer = peer or self.peer
        payload = os.urandom(20)
        inner = bytes(IP(src=source, dst=INNER_HOST) / UDP(sport=9, dport=7001) / payload)
        peer.send_ip(IP(src=ends[1], dst=ends[0], proto=50) / judge.seal(inner, 4))
        self.assertEqual(self.udp.recv(2000), payload)


class TableFull(Placement):
    devices = [{"offload": "crypto", "sa_limit": 1}]

    def test_one_slot_a_direction(self):
        self.policies()
        self.policies(inner_peer="10.3.0.0/16", reqid=2)
        self.host.ns.ip(f"route replace 10.3.0.0/16 via {PEER} dev nic0 src {INNER_HOST}")
        before = self.device()
        out1, in1 = self.add(0x1001), self.add(0x2001, "in")
        out2, in2 = self.add(0x1002, reqid=2), self.add(0x2002, "in", reqid=2)
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.assertEqual(self.half(0x2001, "in"), ("crypto", "crypto", "requested"))
        self.assertEqual(self.half(0x1002), ("crypto", "software", "table-full"))
        self.assertEqual(self.half(0x2002, "in"), ("crypto", "software", "table-full"))
        self.assertEqual(self.held(), [0x1001, 0x2001])
        device = self.device()
        # A second later the device is asked again.
        self.assertGreaterEqual(device["refusals"] - before["refusals"], 2)
        self.assertEqual((device["slots_used"], device["slots_limit"]), (2, 2))
        for out, into, to in ((out1, in1, INNER_PEER), (out2, in2, "10.3.0.1")):
            self.goes_out(out, to=to)
            self.comes_in(into, source=to)
        after = self.device()
        self.assertEqual(after["sealed"] - before["sealed"], 1)
        self.assertEqual(after["opened"] - before["opened"], 1)
        text = self.host.text("sa")
        self.assertIn("table-full", text)

    def test_freed_slot_is_used_again(self):
        self.policies()
        self.add(0x1001)
        second = self.add(0x1002)
        self.assertEqual(self.half(0x1002), ("crypto", "software", "table-full"))
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi 0x1001")
        self.wait_for(lambda: self.half(0x1002) == ("crypto", "crypto", "requested"),
                      "the one that was too late to have the slot")
        self.goes_out(second)
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi 0x1002")
        self.wait_for(lambda: self.device()["slots_used"] == 0, "the slot to be released")
        third = self.add(0x1003)
        self.assertEqual(self.half(0x1003), ("crypto", "crypto", "requested"))
        self.goes_out(third)  # the newest


class Reasons(Placement):
    def test_icv_that_the_device_cannot_do(self):
        self.policies()
        before = self.device()
        for icv in (12, 8):
            judge = self.add(0x1001, icv=icv)
            into = self.add(0x2001, "in", icv=icv)
            expected = ("crypto", "software", f"no-capability:icv-{icv * 8}")
            self.assertEqual(self.half(0x1001), expected)
            self.assertEqual(self.half(0x2001, "in"), expected)
            self.goes_out(judge)
            self.comes_in(into)
            self.host.xfrm("state flush")
        after = self.device()
        self.assertEqual((after["sealed"], after["opened"]), (before["sealed"], before["opened"]))
        self.assertEqual(self.held(), [])

    def test_udp_encapsulation_that_the_device_cannot_do(self):
        self.add(0x1001, extra="encap espinudp 4500 4500 0.0.0.0")
        self.assertEqual(self.half(0x1001),
                         ("crypto", "software", "no-capability:udp-encapsulation"))

    def test_not_requested(self):
        self.add(0x1001, offload=None)
        self.assertEqual(self.half(0x1001), ("no", "software", "not-requested"))
        self.assertEqual(self.held(), [])

    def test_unknown_device(self):
        self.add(0x1001, offload="lo")
        self.assertEqual(self.half(0x1001), ("crypto", "software", "device-unknown"))

    def test_packet_offload_is_refused_and_never_becomes_software(self):
        client = nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"])
        self.addCleanup(client.close)
        s = client.open()
        index = self.host.show("dev")[0]["ifindex"]
        self.host.ns.run([self.host.cygnet.command, "sim", "dev", "nic0", "add-fail", "EOPNOTSUPP"])
        for ifindex, number, text in ((index, errno.EOPNOTSUPP, "device refused with EOPNOTSUPP (fault)"),
                                      (1, errno.EINVAL, "packet offload")):
            reply = client.ask(s, nl.message("NEWSA", nl.sa_info() + nl.attr("ALG_AEAD", nl.aead())
                                             + nl.attr("OFFLOAD_DEV", struct.pack(
                                                 "=iB3x", ifindex, 4))))
            self.assertEqual(reply[0][3][0], number)
            self.assertIn(text, reply[0][3][1])
        self.assertEqual(self.host.show("sa"), [])

    def test_deleted_sa_leaves_the_device(self):
        self.add(0x1001)
        self.add(0x2001, "in")
        self.assertEqual(self.held(), [0x1001, 0x2001])
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi 0x1001")
        self.wait_for(lambda: self.held() == [0x2001], "the key to leave the device")
        self.host.xfrm("state flush")
        self.wait_for(lambda: self.device()["slots_used"] == 0, "the keys to leave the device")

    def test_sa_deleted_and_added_under_load(self):
        # Nothing leaves in clear, nothing is left on the device, and traffic continues.
        self.policies()
        key = os.urandom(20)
        judge = self.add(0x1001, key=key)
        stop = threading.Event()
        plain = []

        def send():
            sender = self.udp.dup()
            while not stop.is_set():
                for _ in range(20):
                    sender.sendto(MARK * 8, (INNER_PEER, 9))
                time.sleep(0.002)
            sender.close()

        def watch():
            while not stop.is_set():
                plain.extend(self.peer.wire.frames(lambda f: MARK in f, 1, 0.2))
        threads = [threading.Thread(target=send), threading.Thread(target=watch)]
        for thread in threads:
            thread.start()
        try:
            for i in range(25):
                self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi {0x1001 + i:#x}")
                judge = self.add(0x1002 + i, offload="nic0" if i % 2 else None)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(plain, [])
        time.sleep(0.2)  # what is on its way still counts for the SAs before
        self.goes_out(judge)
        self.host.xfrm("state flush")
        self.wait_for(lambda: self.device()["slots_used"] == 0, "all slots to be released")


class DeviceOff(Placement):
    devices = [{"offload": "no"}]

    def test_nothing_is_sent_to_it(self):
        self.policies()
        out, into = self.add(0x1001), self.add(0x2001, "in")
        self.assertEqual(self.half(0x1001), ("crypto", "software", "device-off"))
        self.assertEqual(self.half(0x2001, "in"), ("crypto", "software", "device-off"))
        self.goes_out(out)
        self.comes_in(into)
        device = self.device()
        self.assertEqual((device["slots_used"], device["slots_high_water"], device["sealed"],
                          device["opened"]), (0, 0, 0, 0))
        self.assertEqual(self.host.ns.ip("-d link show nic0").stdout.count("esp-hw-offload"), 0)


class Auto(Placement):
    devices = [{"offload": "auto"}]

    def test_device_takes_what_it_can_unasked(self):
        self.policies()
        out, into = self.add(0x1001, offload=None), self.add(0x2001, "in", offload=None)
        self.assertEqual(self.half(0x1001), ("auto", "crypto", "requested"))
        self.assertEqual(self.half(0x2001, "in"), ("auto", "crypto", "requested"))
        self.goes_out(out)
        self.comes_in(into)
        device = self.device()
        self.assertEqual((device["sealed"], device["opened"]), (1, 1))
        # As the kernel's own listing would show it: an SA that requested nothing is offloaded.
        self.add(0x1002, offload=None, icv=12)
        self.assertEqual(self.half(0x1002), ("auto", "software", "no-capability:icv-96"))

    def test_one_slot_an_sa(self):
        before = self.device()["slots_used"]
        self.add(0x1001, offload=None)
        self.add(0x2001, "in", offload=None)
        self.assertEqual(self.device()["slots_used"] - before, 2)


class TwoDevices(Placement):
    """Traffic goes by nic1; nic1 cannot offload at all."""

    devices = [{"offload": "crypto"}, {"driver": "af_packet"}]
    ends = (HOST1, PEER1)

    def test_sa_on_one_device_traffic_by_the_other(self):
        self.policies(self.ends)
        before = self.device()
        out = self.add(0x1001, ends=self.ends)
        into = self.add(0x2001, "in", ends=self.ends)
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        for _ in range(3):
            self.goes_out(out, self.peers[1], ends=self.ends)
            self.comes_in(into, self.peers[1], self.ends)
        after = self.device()
        self.assertEqual((after["sealed"], after["opened"]), (before["sealed"], before["opened"]))
        # It returns to its own device: the device does the work again, and the numbers continue.
        self.host.ns.ip(f"route add {PEER1}/32 via {PEER} dev nic0")
        self.addCleanup(self.host.ns.ip, f"route del {PEER1}/32 via {PEER} dev nic0")
        self.wait_for(lambda: self.leaves_by(self.peers[0]), "the route to be followed")
        self.assertGreater(self.device()["sealed"], before["sealed"])

    def leaves_by(self, peer):
        peer.wire.drain()
        self.udp.sendto(b"which way?", (INNER_PEER, 9))
        return peer.wire.frames(lambda f: f[12:14] == b"\x08\x00" and f[23] == 50, timeout=0.3)

    def test_device_that_cannot_offload(self):
        self.policies(self.ends)
        out = self.add(0x1001, offload="nic1", ends=self.ends)
        requested, effective, reason = self.half(0x1001)
        self.assertEqual((requested, effective), ("crypto", "software"))
        self.assertIn(reason, ("device-unknown", "no-capability:crypto-offload"))
        self.assertFalse(self.device(1)["capable"])
        self.goes_out(out, self.peers[1], ends=self.ends)


class Workers(Placement):
    """One SA, many flows, several workers: every number once, every packet once."""

    daemon_keys = "workers = 3"

    def test_one_sa_shared_by_all_workers(self):
        self.policies()
        before = suite.counters(self.host)
        for offload in ("nic0", None):
            out = self.add(0x1001, offload=offload)
            into = self.add(0x2001, "in", offload=offload)
            self.peer.wire.drain()
            payloads = [os.urandom(20) for _ in range(60)]
            for i, payload in enumerate(payloads):
                self.udp.sendto(payload, (INNER_PEER, 10_000 + i))
            frames = self.peer.wire.frames(lambda f: f[12:14] == b"\x08\x00", len(payloads))
            opened = [out.open(f[34:]) for f in frames]
            self.assertEqual(sorted(o.seq for o in opened), list(range(1, len(payloads) + 1)))
            self.assertEqual(sorted(o.payload[28:] for o in opened), sorted(payloads))
            for i in range(30):  # between flows that other workers have
                for far in (2 * i, 2 * i + 1):
                    self.peer.send_ip(IP(src=f"192.0.2.{10 + far}", dst=HOST) / UDP(dport=9) / b"clear")
                self.comes_in(into)
            self.host.xfrm("state flush")
        self.assertEqual(suite.difference(before, suite.counters(self.host)), {})


class Captures(Placement):
    def capture(self, side):
        path = os.path.join(self.workdir, f"{side}-{time.monotonic_ns()}.pcapng")
        proc = self.host.ns.popen([self.host.cygnet.command, "capture", "dev", "nic0", "side", side,
                                   "write", path], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(labkit.end, proc)
        return proc, path

    def both_sides(self, offload):
        """Both captures of one datagram out and one in, whose inner packet is in clear."""
        self.policies()
        self.add(0x1001, offload=offload)
        into = self.add(0x2001, "in", offload=offload)
        captures = {side: self.capture(side) for side in ("host", "wire")}
        time.sleep(0.3 * suite.SLOWNESS)
        self.udp.sendto(MARK * 2, (INNER_PEER, 9))
        inner = bytes(IP(src=INNER_PEER, dst=INNER_HOST) / UDP(sport=9, dport=7001) / (MARK * 3))
        self.peer.send_ip(IP(src=PEER, dst=HOST, proto=50) / into.seal(inner, 4))
        self.assertEqual(self.udp.recv(2000), MARK * 3)
        time.sleep(0.3 * suite.SLOWNESS)
        packets = {}
        for side, (proc, path) in captures.items():
            self.assertEqual(labkit.end(proc, labkit.signal.SIGINT), 0)
            subprocess.run(labkit.tcpdump_command(path), check=True, capture_output=True)
            place = b"crypto nic0 (requested)" if offload else b"software "
            for direction in (b"out", b"in"):
                with open(path, "rb") as file:
                    self.assertIn(b"placement " + direction + b": " + place, file.read())
            with PcapReader(path) as reader:
                found = [bytes(p) for p in reader if bytes(p)[12:14] == b"\x08\x00"]
            # First the outgoing frames, then the incoming ones.
            packets[side] = sorted(found, key=lambda p: p[26:30] != socket.inet_aton(HOST))
        for side in ("host", "wire"):
            self.assertEqual(len(packets[side]), 2, side)
            for packet in packets[side]:
                self.assertEqual(packet[23], 50)  # ESP in any case
        return packets

    def test_offloaded_sa_is_clear_on_the_host_side_only(self):
        packets = self.both_sides("nic0")
        self.assertIn(MARK * 2, packets["host"][0])
        self.assertIn(MARK * 3, packets["host"][1])
        for packet in packets["wire"]:
            self.assertNotIn(MARK, packet)

    def test_software_sa_is_sealed_on_both_sides(self):
        packets = self.both_sides(None)
        self.assertEqual(packets["host"], packets["wire"])
        for packet in packets["host"]:
            self.assertNotIn(MARK, packet)

    def test_metrics_say_where_sas_run(self):
        self.policies()
        self.add(0x1001)
        text = self.host.ns.run([self.host.cygnet.command, "metrics"]).stdout
        self.assertIn('cygnet_sa_halves{direction="out",effective="crypto",where="nic0",'
                      'reason="requested"} 1', text)
        self.assertRegex(text, r'cygnet_device_sa_slots_used\{device="nic0",direction="out"\} 1\n')
        self.assertIn('cygnet_drops_total{reason="out-guard"} 0', text)

    def test_capture_of_no_such_device(self):
        result = self.host.ns.run([self.host.cygnet.command, "capture", "dev", "nic7", "side", "host"],
                                  check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("nic7", result.stderr)


class Secrets(Placement):
    daemon_keys = 'log_level = "debug"'

    def test_keys_are_shown_on_request_and_never_logged(self):
        self.policies()
        keys = [os.urandom(20) for _ in range(3)]
        out = self.add(0x1001, key=keys[0])
        into = self.add(0x2001, "in", key=keys[1])
        self.add(0x1002, key=keys[2], icv=12)  # goes to the log: not in the device, and why
        self.add(0x1003, key=keys[2], offload="lo")
        refused = self.host.xfrm("state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1001 reqid 1 "
                                 f"mode tunnel aead rfc4106(gcm(aes)) 0x{keys[2].hex()} 120",
                                 check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.comes_in(into)
        self.peer.send_ip(IP(src=PEER, dst=HOST, proto=50)
                          / (into.seal(b"x" * 40, 4)[:-1] + b"\0"))
        secrets = [k.hex() for k in keys] + [k[:16].hex() for k in keys] + [k[16:].hex() for k in keys]
        for what in (["sa"], ["sa", "spi", "0x1001"], ["dev"], ["policy"], ["stat"]):
            for option in ([], ["-j"]):
                text = self.host.text(*option, *what).lower()
                for secret in secrets:
                    self.assertNotIn(secret, text, f"{option} {what}")
        shown = {sa["spi"]: sa["aead"]["key"] for sa in self.host.show("sa", "--show-keys")}
        self.assertEqual(shown["0x00001001"], "0x" + keys[0].hex())
        self.assertNotIn('"key"', json.dumps(self.host.show("sa")))
        self.host.xfrm("state flush")
        log = self.host.log().lower()
        self.assertIn("in software", log)
        for secret in secrets:
            self.assertNotIn(secret, log)
        self.assertEqual(out.spi, 0x1001)


if __name__ == "__main__":
    suite.main()
