#!/usr/bin/python3
"""An address that the host gets is the host's own at once: packets to it are not taken for packets to
be forwarded, however many addresses came just before.
"""

import socket
import statistics
import struct
import time

import suite
from labkit import Namespace
from rawwire import inside

TRIALS = 40
# As long as a list that is read at a limited rate would take, at the median.
MAX_MEDIAN = 0.015 * suite.SLOWNESS
PATIENCE = 2 * suite.SLOWNESS
ECHO, ECHO_REPLY = 8, 0
RTM_NEWADDR, RTM_DELADDR = 20, 21
REQUEST, ACK, CREATE = 1, 4, 0x400
IFA_ADDRESS, IFA_LOCAL = 1, 2


def change_address(sock, what, ifindex, address):
    """RTM_NEWADDR or RTM_DELADDR; returns when the kernel has done it."""
    data = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, ifindex)
    for kind in (IFA_LOCAL, IFA_ADDRESS):
        body += struct.pack("=HH", 8, kind) + data
    sock.send(struct.pack("=IHHII", 16 + len(body), what, REQUEST | ACK | CREATE, 1, 0) + body)
    error = struct.unpack_from("=i", sock.recv(4096), 16)[0]
    if error != 0:
        raise OSError(-error, f"address {address}")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Addresses(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.west = cls.make_host("west")
        cls.east = cls.own(Namespace("east"))
        cls.west.ns.ip(f"link add wire0 type veth peer name wire0 netns {cls.east.holder.pid}")
        cls.west.ns.ip("link set wire0 up")
        cls.east.ip("link set wire0 up")
        cls.west.start()
        cls.west.ns.ip("addr add 192.0.2.1/24 dev nic0")
        cls.east.ip("addr add 192.0.2.2/24 dev wire0")
        cls.east.ip("route add 10.9.0.0/16 via 192.0.2.1")
        cls.west.xfrm("policy setdefault fwd block")
        with inside(cls.west.ns):
            cls.route = cls.own(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
            cls.nic = socket.if_nametoindex("nic0")
        with inside(cls.east):
            cls.icmp = cls.own(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        cls.icmp.settimeout(0.001)

    def answers(self, address, number):
        """True if the address answers one echo request within a millisecond."""
        body = struct.pack("!HH", 0xC161, number)
        packet = struct.pack("!BBH", ECHO, 0, checksum(struct.pack("!BBH", ECHO, 0, 0) + body)) + body
        self.icmp.sendto(packet, (address, 0))
        try:
            while True:
                answer, sender = self.icmp.recvfrom(2048)
                if sender[0] == address and answer[20] == ECHO_REPLY:
                    return True
        except TimeoutError:
            return False

    def seconds_until_it_answers(self, address):
        begin = time.monotonic()
        number = 0
        while not self.answers(address, number & 0xFFFF):
            number += 1
            self.assertLess(time.monotonic() - begin, PATIENCE, f"{address} does not answer")
        return time.monotonic() - begin

    def test_is_known_at_once(self):
        self.wait_for(lambda: self.answers("192.0.2.1", 0), "the first answer")
        times = []
        for i in range(TRIALS):
            address = f"10.9.{i}.1"
            self.assertFalse(self.answers(address, 0))
            change_address(self.route, RTM_NEWADDR, self.nic, address)
            times.append(self.seconds_until_it_answers(address))
        times.sort()
        print(f"    {TRIALS} addresses: median {statistics.median(times) * 1e3:.1f} ms, longest "
              f"{times[-1] * 1e3:.1f} ms", flush=True)
        self.assertLess(statistics.median(times), MAX_MEDIAN)
        for i in range(TRIALS):
            change_address(self.route, RTM_DELADDR, self.nic, f"10.9.{i}.1")
        self.assertFalse(self.answers("10.9.0.1", 0), "it is no longer an address of the host")


if __name__ == "__main__":
    suite.main()
