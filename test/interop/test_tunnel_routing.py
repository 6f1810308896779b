#!/usr/bin/python3
"""Routes by tunnel interfaces: a routing daemon over several of them, packets from tunnel to tunnel,
the first packet to a peer, and what restarts and the end of the daemon leave.
"""

import os
import re
import signal
import time

import labkit
import suite
from labkit import Namespace, connect

OUTER = {"a": "192.0.2.1", "b": "192.0.2.2"}
KEY = "0x" + "5c" * 20
# Of these, bird takes the first that works.
WAYS = {21: "left", 22: "middle", 23: "right"}
SPOKES = {31: "spoke1", 32: "spoke2"}
NEW = 41

BIRD = """log "{folder}/{name}.birdlog" all;
router id 10.50.0.{last};
protocol device {{ scan time 1; }}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_OSPF; }}; }}
protocol ospf v2 {{
  tick 1;
  area 0 {{
{interfaces}
    stubnet 10.50.{last}.0/24;
  }};
}}
"""


def config(host, folder):
    tables = [f'[daemon]\nrestart_file = "{folder}/{host}.restart"\n[[device]]\nname = "nic0"\nwire = "wire0"\n']
    for if_id, name in WAYS.items():
        tables.append(f'[[tunnel]]\nname = "{name}"\nif_id = {if_id}\ncarrier = "sa"\nmtu = 1400\n'
                      f'persist = {"true" if name == "left" else "false"}\n')
    for if_id, name in (*SPOKES.items(), (NEW, "new")):
        tables.append(f'[[tunnel]]\nname = "{name}"\nif_id = {if_id}\nmtu = 1400\n')
    return "".join(tables)


def policies(here, there, if_id):
    return [f"policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir {direction} if_id {if_id} tmpl src {src} dst {dst} "
            f"proto esp reqid {if_id} mode tunnel"
            for direction, src, dst in (("out", here, there), ("in", there, here), ("fwd", there, here))]


def states(here, there, if_id):
    return [f"state add src {src} dst {dst} proto esp spi {0x100 * if_id + (src > dst):#x} reqid {if_id} mode "
            f"tunnel if_id {if_id} aead rfc4106(gcm(aes)) {KEY} 128 replay-window 32"
            for src, dst in ((here, there), (there, here))]


def sysctl(namespace, key, value):
    namespace.run(["sysctl", "-qw", f"{key}={value}"])


class Routing(suite.Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a, cls.b = cls.make_host("a"), cls.make_host("b")
        connect(cls.a, cls.b)
        for host, peer in ((cls.a, cls.b), (cls.b, cls.a)):
            host.options = ["--supervise"]
            host.start(config=config(host.name, cls.workdir))
            host.ns.ip(f"addr add {OUTER[host.name]}/24 dev nic0")
            here, there = OUTER[host.name], OUTER[peer.name]
            lines = []
            for if_id in (*WAYS, *SPOKES):
                lines += policies(here, there, if_id) + states(here, there, if_id)
            suite.xfrm_batch(host, lines)
            cls.start_bird(host, 1 if host is cls.a else 2)

    @classmethod
    def start_bird(cls, host, last):
        for if_id, name in WAYS.items():
            host.ns.ip(f"addr add 10.{if_id}.0.{last}/30 dev {name}")
        host.ns.ip(f"addr add 10.50.{last}.1/32 dev lo")
        interfaces = "\n".join(f'    interface "{name}" {{ type ptp; cost {if_id}; hello 1; dead count 3; '
                               "retransmit 2; };" for if_id, name in WAYS.items())
        path = f"{cls.workdir}/{host.name}.bird"
        with open(path, "w", encoding="utf-8") as f:
            f.write(BIRD.format(folder=cls.workdir, name=host.name, last=last, interfaces=interfaces))
        host.ns.popen(["/usr/sbin/bird", "-f", "-c", path, "-s", f"{path}.ctl", "-P", f"{path}.pid"])

    def way(self, host, to):
        answer = host.ns.run(["ip", "route", "get", to], check=False).stdout
        found = re.search(r"dev (\S+)", answer)
        return found.group(1) if found else None

    def until_both_use(self, way, what):
        began = time.monotonic()
        self.wait_for(lambda: self.way(self.a, "10.50.2.1") == way == self.way(self.b, "10.50.1.1"),
                      f"routes by {way}", timeout=15)
        print(f"    {what}: routes by {way} after {time.monotonic() - began:.1f} s", flush=True)

    def ping(self, count=1, check=True):
        return self.a.ns.run(["ping", "-q", f"-c{count}", "-i0.1", "-W3", "-I", "10.50.1.1", "10.50.2.1"],
                             check=check)

    def neighbours(self, host):
        """The interfaces by which bird has a peer."""
        control = f"{self.workdir}/{host.name}.bird.ctl"
        return set(re.findall(r"\t(\w+)\s+\S+$", host.ns.run(["birdc", "-s", control, "show ospf neighbors"]).stdout,
                              re.M)) & set(WAYS.values())

    def test_routes_move_when_a_tunnel_or_its_peer_ends(self):
        """OSPF by bird: a tunnel without an SA has no carrier, which the daemon sees at once; a peer that
        is silent is found by hellos. Both happen together, because OSPF tells others about changes only
        every 5 s (MinLSInterval)."""
        self.until_both_use("left", "start")
        self.ping()
        self.wait_for(lambda: self.neighbours(self.b) == set(WAYS.values()), "three neighbours")
        self.b.ns.ip("link set left down")
        for line in states(OUTER["b"], OUTER["a"], 22):
            self.b.xfrm(re.sub(r"add (.* spi \S+) .*", r"delete \1", line))
        began = time.monotonic()
        self.wait_for(lambda: self.neighbours(self.b) == {"right"}, "no carrier", timeout=2)  # dead: after 3 s
        print(f"    no SA: the neighbour is gone after {time.monotonic() - began:.1f} s", flush=True)
        self.until_both_use("right", "silent peer")
        self.ping()

    def test_from_spoke_to_spoke(self):
        """The host of a routes between two of its tunnels; each end of b is a network of its own."""
        spokes = {}
        for n, name in enumerate(SPOKES.values(), 1):
            spokes[name] = self.own(Namespace(name))
            self.b.ns.ip(f"link set {name} netns {spokes[name].holder.pid}")
            spokes[name].ip(f"link set {name} up")
            spokes[name].ip(f"addr add 10.60.{n}.2/32 dev {name}")
            spokes[name].ip(f"route add default dev {name}")
            self.a.ns.ip(f"addr add 10.60.{n}.1/32 dev {name}")
            self.a.ns.ip(f"route add 10.60.{n}.0/24 dev {name}")
        sysctl(self.a.ns, "net.ipv4.ip_forward", 1)
        before = {t["name"]: t["rx_packets"] for t in self.a.show("tunnel")}
        spokes["spoke1"].run(["ping", "-c2", "-i0.2", "-W3", "-s1000", "10.60.2.2"])
        after = {t["name"]: t["rx_packets"] for t in self.a.show("tunnel")}
        for name in SPOKES.values():
            self.assertGreaterEqual(after[name] - before[name], 2)
        # Which tunnel a packet came by is unknown on its way out: a default that blocks needs policies.
        self.a.xfrm("policy setdefault fwd block")
        try:
            answer = spokes["spoke1"].run(["ping", "-c1", "-W0.5", "10.60.2.2"], check=False)
            self.assertNotEqual(answer.returncode, 0)
            self.assertGreater(self.a.drops().get("in-no-policy", 0), 0)
            self.a.xfrm("policy add src 10.60.0.0/16 dst 10.60.0.0/16 dir fwd")
            spokes["spoke1"].run(["ping", "-c1", "-W3", "10.60.2.2"])
        finally:
            self.a.xfrm("policy setdefault fwd accept")

    def test_a_first_packet_waits_for_the_neighbour(self):
        there = "192.0.2.77"
        self.b.ns.ip(f"addr add {there}/24 dev nic0")
        suite.xfrm_batch(self.b, policies(there, OUTER["a"], NEW) + states(there, OUTER["a"], NEW))
        suite.xfrm_batch(self.a, policies(OUTER["a"], there, NEW))
        for host, last in ((self.a, 1), (self.b, 2)):
            host.ns.ip(f"addr add 10.70.0.{last}/24 dev new")
        # The neighbour answers only when the packet waits already.
        self.b.ns.run(["sysctl", "-qw", "net.ipv4.conf.nic0.arp_ignore=8"])
        suite.xfrm_batch(self.a, states(OUTER["a"], there, NEW))
        ping = self.a.ns.popen(["ping", "-q", "-c1", "-W5", "10.70.0.2"], stdout=-1, text=True)
        self.wait_for(lambda: next(t for t in self.a.show("tunnel") if t["name"] == "new")["rx_packets"] > 0,
                      "the packet")
        self.b.ns.run(["sysctl", "-qw", "net.ipv4.conf.nic0.arp_ignore=0"])
        output = ping.communicate()[0]
        self.assertIn(" 0% packet loss", output)
        self.assertNotIn("out-no-next-hop", self.a.drops())

    def test_restarts_leave_addresses_routes_and_traffic(self):
        self.until_both_use("left", "start")
        shown = self.shown()
        for sig in (signal.SIGUSR1, signal.SIGKILL):
            with self.subTest(sig.name):
                self.a.restart(sig)
                self.assertEqual(self.shown(), shown)
                self.ping(3)

    def shown(self):
        """Addresses and routes, without the counters of time."""
        return [self.a.ns.ip(what).stdout for what in
                ("-o addr show left", "-o addr show right", "route show dev left", "route show dev spoke1")]


class End(suite.Case):
    """Without a service manager."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.host.ns.ip("link add wire0 type veth peer name far")
        cls.host.ns.ip("link set wire0 up")

    def start(self, many):
        tables = [f'[[tunnel]]\nname = "stays"\nif_id = 1\npersist = true\n']
        tables += [f'[[tunnel]]\nname = "t{i}"\nif_id = {i}\n' for i in range(2, many + 2)]
        self.host.start(config='[daemon]\n[[device]]\nname = "nic0"\nwire = "wire0"\n' + "".join(tables))

    def end(self, sig):
        status = labkit.end(self.host.daemon, sig)
        self.host.daemon = None
        return status

    def links(self):
        return set(re.findall(r"^\d+: ([^:@]+)", self.host.ns.ip("-o link").stdout, re.M))

    def test_persistent_interfaces_stay_and_the_others_end_together(self):
        many = int(os.environ.get("CYGNET_TUNNELS", "30"))
        self.start(many)
        self.host.ns.ip("addr add 10.80.0.1/24 dev stays")
        self.host.ns.ip("route add 10.81.0.0/16 dev stays")
        # One is in another network namespace, and its index belongs to somebody else's interface here.
        index = int(self.host.ns.ip("-o link show t2").stdout.split(":")[0])
        other = self.own(Namespace("other"))
        self.host.ns.ip(f"link set t2 netns {other.holder.pid}")
        self.host.ns.ip(f"link add name theirs index {index} type veth peer name theirs-peer")
        began = time.monotonic()
        self.assertEqual(self.end(signal.SIGTERM), 0)
        print(f"    {many} tunnels end after {time.monotonic() - began:.2f} s", flush=True)
        self.assertLessEqual({"stays", "theirs", "wire0"}, self.links())
        self.assertFalse([name for name in self.links() if re.fullmatch(r"t\d+", name)])
        self.assertNotIn("t2", other.ip("-o link").stdout)
        for sig in (signal.SIGKILL, signal.SIGTERM):
            self.start(2)
            self.assertIn("10.80.0.1/24", self.host.ns.ip("-o addr show stays").stdout)
            self.assertRegex(self.host.ns.ip("route show dev stays").stdout, r"10\.81\.0\.0/16(?!.*linkdown)")
            self.end(sig)


if __name__ == "__main__":
    suite.main()
