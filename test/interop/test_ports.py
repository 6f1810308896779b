#!/usr/bin/python3
"""Ports and workers on real interfaces: each driver of a plain wire, several workers on one device,
replay of capture files, and what an idle daemon costs.
"""

import os
import re
import socket
import struct
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


def tunnel(host, me):
    """SAs of both directions and their policies."""
    lines = [f"state add src {OUTER[s]} dst {OUTER[1 - s]} proto esp spi {0x1001 + s:#x} reqid 1 "
             f"mode tunnel replay-window 1024 flag esn aead rfc4106(gcm(aes)) {KEYS[s]} 128"
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
        count = self.flows_keep_their_order(west, east)
        self.assertGreater(count, 8 * 400 // 2)
        spent = [cpu_ns(west.daemon.pid, f"cygnet-w{i}") - before[i] for i in (0, 1)]
        self.assertGreater(min(spent), max(spent) / 20, f"one worker had it all: {spent}")

    def test_two_workers_on_af_xdp_queues(self):
        queues = "numtxqueues 2 numrxqueues 2"
        west, east = self.pair({"driver": "af_xdp", "offload": "no"}, "workers = 2", queues)
        self.flows_keep_their_order(west, east, packets=100)
        self.ping(west, 0)

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
