#!/usr/bin/python3
"""Ports and workers on real interfaces: each driver of a plain wire, several workers on one device,
replay of capture files, and what an idle daemon costs.
"""

import os
import re
import shutil
import socket
import struct
import threading
import time

import labkit
import suite
from labkit import LabError
from rawwire import inside

OUTER = ("192.0.2.1", "192.0.2.2")
INNER = ("10.1.0.1", "10.2.0.1")
KEYS = ("0x" + "41" * 20, "0x" + "42" * 20)
REFUSED = re.compile(r"AF_XDP on wire0: .*\bCAP_.*")  # as in a user namespace


def addresses(host, me):
    host.ns.ip(f"addr add {OUTER[me]}/24 dev nic0")
    host.ns.ip(f"addr add {INNER[me]}/32 dev lo")
    host.ns.ip(f"route add {INNER[1 - me]}/32 via {OUTER[1 - me]} dev nic0 src {INNER[me]}")


def tunnel(host, me, more=""):
    """SAs of both directions and their policies."""
    lines = [f"state add src {OUTER[s]} dst {OUTER[1 - s]} proto esp spi {0x1001 + s:#x} reqid 1 "
             f"mode tunnel replay-window 1024 flag esn aead rfc4106(gcm(aes)) {KEYS[s]} 128 {more}"
             for s in (0, 1)]
    for direction, src, sender in (("out", me, me), ("in", 1 - me, 1 - me)):
        lines.append(f"policy add src {INNER[src]}/32 dst {INNER[1 - src]}/32 dir {direction} tmpl "
                     f"src {OUTER[sender]} dst {OUTER[1 - sender]} proto esp reqid 1 mode tunnel")
    suite.xfrm_batch(host, lines)


def cpu_ns(pid, name=""):
    """CPU time of the process's threads whose name begins so."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        path = f"/proc/{pid}/task/{task}"
        with open(f"{path}/comm", encoding="ascii") as f:
            if not f.read().startswith(name):
                continue
        with open(f"{path}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total


def udp_socket(ns, address, port):
    with inside(ns):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    s.settimeout(10 * suite.SLOWNESS)
    return s


class Ports(suite.Case):

    def pair(self, device, daemon_keys="", wire=""):
        """Two hosts with a tunnel between them; skips where the kernel refuses AF_XDP."""
        hosts = [labkit.Host(name, suite.cygnet(), self.workdir) for name in ("west", "east")]
        for host in hosts:
            self.addCleanup(suite.close_host, host)
            if os.path.exists(host.log_path):
                os.unlink(host.log_path)
        a, b = hosts
        a.ns.ip(f"link add wire0 {wire} type veth peer name wire0 {wire} netns {b.ns.holder.pid}")
        for host in hosts:  # both ends first, so that the daemon's wire has a carrier
            host.ns.ip("link set wire0 up")
        for me, host in enumerate(hosts):
            try:
                host.start([device], daemon_keys)
            except LabError:
                refused = REFUSED.search(host.log())
                if not refused:
                    raise
                self.end_of_daemon(host)
                self.skipTest(refused.group())
            addresses(host, me)
            tunnel(host, me)
        return hosts

    def end_of_daemon(self, host):
        """Waits for a daemon that refuses to start, and takes it out of the clean-up."""
        host.daemon.wait()
        host.daemon = None

    def end(self, *hosts):
        for host in hosts:
            suite.close_host(host)
            host.daemon = None  # for the clean-up

    def ping(self, host, me, count=5, size=1300):
        text = host.ns.run(f"ping -n -c {count} -i 0.05 -W 5 -s {size} -I {INNER[me]} "
                           f"{INNER[1 - me]}").stdout
        self.assertIn(f"{count} received", text, host.drops())

    # --- Drivers ---

    def test_auto_says_which_driver_and_why(self):
        for device in ({"driver": "auto", "offload": "no"}, {"driver": "sim_nic"}):
            with self.subTest(device["driver"]):
                west, east = self.pair(device)
                self.assertIn("device nic0: wire wire0 by af_packet: veth delivers super-packets",
                              west.log())
                self.ping(west, 0)
                self.end(west, east)

    def test_af_xdp(self):
        for device in ({"driver": "af_xdp", "offload": "no"},
                       {"driver": "sim_nic", "wire_driver": "af_xdp"}):
            with self.subTest(device["driver"]):
                west, east = self.pair(device)
                self.assertRegex(west.log(), "AF_XDP on wire0: mode (native|generic)")
                self.ping(west, 0)
                self.ping(east, 1)
                for host in (west, east):
                    stats = host.show("dev")[0]["wire_stats"]
                    self.assertGreaterEqual(stats["rx_packets"], 10)
                    self.assertEqual((stats["rx_dropped"], stats["tx_copied"]), (0, 0))
                    self.assertEqual(host.drops(), {})
                self.end(west, east)

    def test_af_xdp_with_the_rights_of_the_unit(self):
        """af-xdp.conf adds CAP_BPF. libxdp's own program also needed CAP_SYS_ADMIN, so the unit never got AF_XDP."""
        if labkit.in_user_namespace() or os.stat("/dev/net/tun").st_mode & 0o006 != 6:
            self.skipTest("only root can become another user, who needs /dev/net/tun")
        host = labkit.Host("unit", suite.cygnet(), self.workdir)
        self.addCleanup(suite.close_host, host)
        os.chmod(self.workdir, 0o755)
        program = shutil.copy(host.cygnet.daemon, self.workdir)
        rights = "-all,+net_admin,+net_raw,+audit_write,+bpf"
        host.cygnet.daemon, host.options = "setpriv", [
            "--reuid=nobody", "--regid=nogroup", "--clear-groups", f"--inh-caps={rights}", f"--ambient-caps={rights}",
            f"--bounding-set={rights}", "--no-new-privs", program]
        host.ns.ip("link add wire0 type veth peer name far")
        host.ns.ip("link set wire0 up")
        host.start([{"driver": "af_xdp", "offload": "no"}], "[pools]\nsmall = 1024")
        self.assertRegex(host.log(), "AF_XDP on wire0: mode native")
        self.end(host)

    def test_af_xdp_wants_a_queue_for_each_worker(self):
        host = labkit.Host("narrow", suite.cygnet(), self.workdir)
        self.addCleanup(suite.close_host, host)
        host.ns.ip("link add wire0 type veth peer name far")
        with self.assertRaisesRegex(LabError, "wire0 has 1 receive queues, but 2 threads"):
            host.start([{"driver": "af_xdp", "offload": "no"}], "workers = 2")
        self.end_of_daemon(host)

    # --- Workers ---

    def flows_keep_their_order(self, west, east, flows=8, packets=400):
        """Numbered datagrams over many flows at once: some may be lost, none may overtake."""
        receiver = udp_socket(east.ns, INNER[1], 5000)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        senders = [udp_socket(west.ns, INNER[0], 6000 + i) for i in range(flows)]
        last = {}
        count = 0
        try:
            for number in range(1, packets + 1):
                for sender in senders:
                    sender.sendto(struct.pack("!I", number) + bytes(900), (INNER[1], 5000))
                if number % 8 != 0:
                    continue
                receiver.settimeout(0.2 * suite.SLOWNESS)
                try:
                    while count < number * flows:
                        data, (_, port) = receiver.recvfrom(2048)
                        got = struct.unpack("!I", data[:4])[0]
                        self.assertGreater(got, last.get(port, 0), f"flow of port {port}")
                        last[port] = got
                        count += 1
                except TimeoutError:
                    pass
        finally:
            for s in (receiver, *senders):
                s.close()
        self.assertEqual(len(last), flows)
        return count

    def test_two_workers_share_a_device(self):
        west, east = self.pair({"driver": "auto", "offload": "no"}, "workers = 2")
        before = [cpu_ns(west.daemon.pid, f"cygnet-w{i}") for i in (0, 1)]
        # TapTest covers that answers from one worker do not draw flows to it.
        self.ping(east, 1)
        arrived = self.wire_stats(west)["rx_packets"]
        count = self.flows_keep_their_order(west, east)
        self.assertGreater(count, 8 * 400 // 2)
        # No worker reads what another one sends.
        self.assertLess(self.wire_stats(west)["rx_packets"] - arrived, 100)
        self.assertNotIn("in-no-policy", west.drops())
        spent = [cpu_ns(west.daemon.pid, f"cygnet-w{i}") - before[i] for i in (0, 1)]
        self.assertGreater(min(spent), max(spent) / 20, f"one worker had it all: {spent}")

    def test_two_workers_on_af_xdp_queues(self):
        queues = "numtxqueues 2 numrxqueues 2"
        west, east = self.pair({"driver": "af_xdp", "offload": "no"}, "workers = 2", queues)
        self.flows_keep_their_order(west, east, packets=100)
        self.ping(west, 0)

    # --- Super-packets ---

    def transfer(self, west, east, target, size=4 << 20):
        """Sends so many bytes by TCP; what arrives must be the same."""
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        sent = os.urandom(1 << 20) * (size >> 20)
        with inside(east.ns):
            server = socket.create_server((target, 5001), family=family)
        with inside(west.ns):
            client = socket.socket(family, socket.SOCK_STREAM)
        client.settimeout(10 * suite.SLOWNESS)
        client.connect((target, 5001))
        arrived, _ = server.accept()
        arrived.settimeout(10 * suite.SLOWNESS)
        thread = threading.Thread(target=lambda: (client.sendall(sent), client.close()))
        thread.start()
        received = bytearray()
        try:
            while chunk := arrived.recv(1 << 20):
                received += chunk
        finally:
            thread.join()
            for s in (server, arrived):
                s.close()
        self.assertEqual(len(received), len(sent))
        self.assertTrue(received == sent)

    def wire_stats(self, host):
        return host.show("dev")[0]["wire_stats"]

    def mean(self, host, before, direction):
        """Bytes of a packet at the wire since `before`."""
        now = self.wire_stats(host)
        return ((now[f"{direction}_bytes"] - before[f"{direction}_bytes"])
                / (now[f"{direction}_packets"] - before[f"{direction}_packets"]))

    def test_super_packets_in_clear_pass_whole(self):
        west, east = self.pair({"driver": "auto", "offload": "no"})
        for me, host in enumerate((west, east)):
            host.ns.ip(f"addr add fd00::{me + 1}/64 dev nic0 nodad")
        for target in (OUTER[1], "fd00::2"):
            with self.subTest(target):
                before = [self.wire_stats(host) for host in (west, east)]
                self.transfer(west, east, target)
                self.assertGreater(self.mean(west, before[0], "tx"), 3000)
                self.assertGreater(self.mean(east, before[1], "rx"), 3000)
        # A link that cuts nothing itself, and finishes no checksum: the kernel does, and the
        # receiver's TCP takes no wrong one.
        west.ns.run("ethtool -K wire0 tx-tcp-segmentation off tx-tcp6-segmentation off "
                    "tx-checksum-ip-generic off")
        for target in (OUTER[1], "fd00::2"):
            with self.subTest(f"cut: {target}"):
                self.transfer(west, east, target)
        for host in (west, east):
            self.assertEqual(host.drops(), {})

    def test_datagrams_of_one_call_in_clear_and_protected(self):
        udp_segment = 103
        west, east = self.pair({"driver": "auto", "offload": "no"})
        for source, target in ((OUTER[0], OUTER[1]), (INNER[0], INNER[1])):
            with self.subTest(target):
                receiver = udp_socket(east.ns, target, 5000)
                receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                sender = udp_socket(west.ns, source, 6000)
                sender.setsockopt(socket.IPPROTO_UDP, udp_segment, 1000)
                pieces = [bytes([i]) * 1000 for i in range(40)] + [b"the last"]
                sender.sendto(b"".join(pieces), (target, 5000))
                self.assertEqual([receiver.recv(2048) for _ in pieces], pieces)
                for s in (sender, receiver):
                    s.close()
        for host in (west, east):
            self.assertEqual(host.drops(), {})

    def test_esp_in_udp_crosses_together(self):
        west, east = self.pair({"driver": "af_packet", "offload": "no", "udp_segmentation": "on"})
        for me, host in enumerate((west, east)):
            suite.xfrm_batch(host, ["state flush", "policy flush"])
            tunnel(host, me, "encap espinudp 4500 4500 0.0.0.0")
        before = [self.wire_stats(host) for host in (west, east)]
        self.transfer(west, east, INNER[1])
        sent = self.wire_stats(west)["tx_packets"] - before[0]["tx_packets"]
        arrived = self.wire_stats(east)["rx_packets"] - before[1]["rx_packets"]
        self.assertLess(arrived, sent / 2)
        west.ns.run("ethtool -K wire0 tx-udp-segmentation off tx-checksum-ip-generic off")
        self.transfer(west, east, INNER[1])
        for host in (west, east):  # the host's TCP learns the MTU
            self.assertEqual(set(host.drops()) - {"out-too-big"}, set())

    # --- Idle ---

    def test_an_idle_daemon_sleeps(self):
        seconds = 4
        for keys in ("", "workers = 2\nbusy_poll_us = 1000"):
            with self.subTest(keys):
                west, east = self.pair({}, keys)
                self.ping(west, 0)  # the daemon has been awake
                time.sleep(1)
                before = cpu_ns(west.daemon.pid)
                time.sleep(seconds)
                share = (cpu_ns(west.daemon.pid) - before) / (seconds * 1e9)
                self.assertLess(share, 0.01 * suite.SLOWNESS)
                self.end(west, east)

    # --- Capture files ---

    def test_what_one_sends_into_a_file_another_replays(self):
        count = 300
        capture = os.path.join(self.workdir, "esp.pcap")
        replay = os.path.join(self.workdir, "replay.pcap")
        macs = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
        west, east = [labkit.Host(name, suite.cygnet(), self.workdir) for name in ("wpcap", "epcap")]
        for me, (host, keys) in enumerate(((west, {"pcap_write": capture}),
                                           (east, {"pcap_read": replay}))):
            self.addCleanup(suite.close_host, host)
            keys = {"name": "nic0", "driver": "pcap", "offload": "no", "pcap_mac": macs[me], **keys}
            lines = [f'{k} = "{v}"' for k, v in keys.items()]
            host.start(config="\n".join(["[[device]]", *lines]) + "\n")
            addresses(host, me)
            host.ns.ip(f"neigh add {OUTER[1 - me]} lladdr {macs[1 - me]} dev nic0 nud permanent")
            tunnel(host, me)
        sender = udp_socket(west.ns, INNER[0], 6000)
        receiver = udp_socket(east.ns, INNER[1], 5000)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for number in range(count):
            sender.sendto(struct.pack("!I", number), (INNER[1], 5000))
        self.wait_for(lambda: max(sa["usage"]["packets"] for sa in west.show("sa")) >= count,
                      "the packets to go")
        sent = west.show("dev")[0]["wire_stats"]["tx_packets"]
        self.assertGreaterEqual(sent, count)
        west.ended_by_test = True
        west.stop()
        with open(capture, "rb") as f:
            self.assertNotIn(struct.pack("!I", 7) + b"\0" * 40, f.read())
        os.rename(capture, replay)  # the interface exists now: the replay begins
        self.assertEqual([struct.unpack("!I", receiver.recv(2048))[0] for _ in range(count)],
                         list(range(count)))
        done = re.compile(rf"replay of {re.escape(replay)}: done, (\d+) frames received")
        found = self.wait_for(lambda: done.search(east.log()), "the end of the replay")
        # The host may have sent packets of its own between the count and the end.
        self.assertGreaterEqual(int(found.group(1)), sent)
        sender.close()
        receiver.close()


if __name__ == "__main__":
    suite.main()
