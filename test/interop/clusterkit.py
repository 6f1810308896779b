"""Two gateways with `[cluster]` and a store of real etcd, a host behind them and an auditing peer, each in
a network namespace of its own. Nodes and etcd talk over `mgmt`, packets pass on `wire0` and `lan0`.
"""

import json
import os
import signal
import time
import unittest

import labkit
import suite
from clusteraudit import Audited, Auditor, Client, PeerSender
from etcdkit import CLUSTER, Store, Switch, missing
from labkit import Host, Namespace
from rawwire import sysctl

VIP, PEER = "192.0.2.1", "192.0.2.2"
LAN_VIP, CLIENT, FAR = "10.1.0.254", "10.1.0.1", "10.2.0.1"
OWN = {"gw1": 11, "gw2": 12}  # last byte of a gateway's own addresses
SPI_OUT, SPI_IN = 0x1001, 0x2001  # of the gateways


# --- Gateways ---

class Gateway(Host):
    """`wire0` is the wire, `lan0` leads to the client, `mgmt` to etcd and the other gateway."""

    def __init__(self, name, cygnet, workdir, switch):
        super().__init__(name, cygnet, workdir)
        self.own = OWN[name]
        self.ended_by_test = True
        switch.plug(self.ns, "wire0", name)
        switch.plug(self.ns, "lan0", name, f"10.1.0.{self.own}/16")
        switch.plug(self.ns, "mgmt", name, f"10.9.0.{self.own}/24")
        for key, value in (("ip_forward", 1), ("conf.all.rp_filter", 0), ("conf.default.rp_filter", 0),
                           ("conf.all.send_redirects", 0), ("conf.all.promote_secondaries", 1)):
            sysctl(self.ns, f"net.ipv4.{key}", value)

    def start(self, devices=None, daemon_keys="", config=None):
        super().start(config=config)
        self.dress()

    def dress(self):
        """What the administrator's network configuration does to nic0."""
        sysctl(self.ns, "net.ipv6.conf.nic0.disable_ipv6", 1)
        sysctl(self.ns, "net.ipv4.conf.nic0.rp_filter", 0)
        self.ns.ip(f"addr replace 192.0.2.{self.own}/24 dev nic0")
        self.ns.ip("link set nic0 up")
        self.ns.ip(f"route replace 10.2.0.0/16 via {PEER} dev nic0 onlink")

    def kill(self):
        labkit.end(self.daemon, signal.SIGKILL)

    def has(self, address=VIP, interface="nic0"):
        return f" {address}/" in self.ns.ip(f"-4 -o addr show dev {interface}", check=False).stdout

    def cut(self, *rules):
        """Packets that nftables' `rules` match do not pass."""
        lines = ["add table inet cut"]
        for hook in ("input", "output"):
            lines.append(f"add chain inet cut {hook} {{ type filter hook {hook} priority 0; }}")
            lines += [f"add rule inet cut {hook} {rule} drop" for rule in rules]
        self.ns.run(["nft", "; ".join(lines)])

    def heal(self):
        self.ns.run(["nft", "delete table inet cut"], check=False)


# --- All of it ---

class ClusterCase(suite.Case):
    """gw1 and gw2 with one group, whose SAs lead to the peer."""

    servers = 1
    share = "numbers"
    more = ""           # further keys of [cluster]
    sa_words = "replay-window 4096 flag esn"
    more_sas = 0        # of the group, without traffic
    rate = 2000

    @classmethod
    def setUpClass(cls):
        if missing():
            raise unittest.SkipTest(missing())
        super().setUpClass()
        cls.switch = cls.own(Switch("wire0", "lan0", "mgmt"))
        cls.store = cls.own(Store(cls.switch, cls.workdir, cls.servers))
        cls.store.start()
        for name in ("secret", "kek"):
            with open(f"{cls.workdir}/{name}", "wb") as f:
                f.write(os.urandom(32))
            os.chmod(f"{cls.workdir}/{name}", 0o600)
        cls.gateways = {name: cls.make_gateway(name) for name in OWN}
        cls.peer, cls.client = cls.make_peer(), cls.own(Namespace("client"))
        cls.switch.plug(cls.client, "lan0", "client", f"{CLIENT}/16")
        cls.client.ip(f"route add default via {LAN_VIP}")

    @classmethod
    def make_peer(cls):
        """Its namespace; the test sends and receives there."""
        peer = cls.own(Namespace("peer"))
        cls.switch.plug(peer, "wire0", "peer", f"{PEER}/24")
        return peer

    @classmethod
    def make_gateway(cls, name):
        gateway = Gateway(name, suite.cygnet(), cls.workdir, cls.switch)
        cls.addClassCleanup(suite.close_host, gateway)
        return gateway

    def setUp(self):
        self.addCleanup(self.stop_gateways)

    def stop_gateways(self):
        """Whatever the test did to them."""
        for server in self.store.servers:
            server.signal(signal.SIGCONT)
        for gateway in self.gateways.values():
            gateway.heal()
            if gateway.daemon is not None and gateway.daemon.poll() is None:
                gateway.daemon.send_signal(signal.SIGCONT)
                gateway.stop()

    # --- Configuration ---

    def config(self, name):
        endpoints = json.dumps([server.url for server in self.store.servers])
        keys = f'wrapping_keys = ["{self.workdir}/kek"]' if self.share == "sas" else ""
        return f"""[daemon]
log_level = "info"
restart_file = "{self.workdir}/{name}.restart"
[ledger]
file = "{self.workdir}/{name}.jsonl"
[cluster]
name = "{CLUSTER}"
node = "{name}"
endpoints = {endpoints}
ca_file = "{self.workdir}/ca.pem"
certificate = "{self.workdir}/node.pem"
private_key = "{self.workdir}/node.key"
heartbeat = "10.9.0.{OWN[name]}:4712"
secret_file = "{self.workdir}/secret"
state_file = "{self.workdir}/{name}.cluster"
share = "{self.share}"
{keys}
{self.more}
[[cluster_group]]
name = "vpn"
addresses = ["{VIP}/24 dev nic0", "{LAN_VIP}/16 dev lan0"]
prefer = "gw1"
[[device]]
name = "nic0"
wire = "wire0"
"""

    def new_keys(self):
        self.keys = {spi: os.urandom(20) for spi in (SPI_OUT, SPI_IN)}
        self.idle = [f"state add src {VIP} dst {PEER} proto esp spi {0x10000 + i:#x} reqid 9 mode tunnel "
                     f"{self.sa_words} aead rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128"
                     for i in range(self.more_sas)]

    def sa_lines(self):
        lines = list(self.idle)
        for spi, ends, way in ((SPI_OUT, (VIP, PEER), "out"), (SPI_IN, (PEER, VIP), "in")):
            inner = ("10.1.0.0/16", "10.2.0.0/16")[::1 if way == "out" else -1]
            lines.append(f"state add src {ends[0]} dst {ends[1]} proto esp spi {spi:#x} reqid 1 mode tunnel "
                         f"{self.sa_words} aead rfc4106(gcm(aes)) 0x{self.keys[spi].hex()} 128")
            for direction in ("out",) if way == "out" else ("in", "fwd"):
                lines.append(f"policy update src {inner[0]} dst {inner[1]} dir {direction} tmpl src {ends[0]} "
                             f"dst {ends[1]} proto esp reqid 1 mode tunnel")
        return lines

    def start(self, name, install=None):
        """Starts a gateway; by default it gets the SAs as key management would bring them."""
        gateway = self.gateways[name]
        gateway.start(config=self.config(name))
        if install if install is not None else self.share == "numbers":
            self.install(gateway)
        return gateway

    def install(self, gateway):
        """As key management does it: again, if the store did not answer in time."""
        for _ in range(5):
            try:
                suite.xfrm_batch(gateway, ["state flush", *self.sa_lines()])
                return
            except labkit.LabError as error:
                if "does not answer" not in str(error):
                    raise
                time.sleep(0.5)
        self.fail("the store never answers in time")

    def wait_for(self, condition, what, timeout=10):
        """A failure has the last words of both gateways."""
        try:
            return labkit.wait_for(condition, timeout * suite.SLOWNESS, what)
        except labkit.LabError as error:
            logs = [f"{name}: {line}" for name, gateway in self.gateways.items()
                    for line in gateway.log().splitlines() if "cluster" in line or "error" in line]
            logs.sort(key=lambda line: line[5:])
            state = [f"{name}: {suite.counters(gateway)}\n{gateway.ns.ip('-4 -br addr').stdout}"
                     for name, gateway in self.gateways.items() if gateway.daemon.poll() is None]
            return self.fail("\n".join([str(error), f"owner: {self.store.owner()}", *logs[-25:], *state]))

    def start_both(self):
        """gw1 owns the group, gw2 holds it ready; with share = "sas", only gw1 gets the SAs."""
        self.new_keys()
        self.start("gw1", install=False)
        self.wait_owner("gw1")
        self.start("gw2", install=False)
        for name in ("gw1", "gw2") if self.share == "numbers" else ("gw1",):
            self.install(self.gateways[name])
        self.wait_ready("gw2")

    def wait_owner(self, name, timeout=10):
        self.wait_for(lambda: self.store.owner().get("node") == name and self.gateways[name].has(),
                      f"{name} to own the group", timeout)

    def wait_ready(self, name):
        """A node that holds the SAs mute, and whose heartbeats are heard."""
        gateway = self.gateways[name]
        self.wait_for(lambda: len(gateway.show("sa")) >= 2 + self.more_sas and self.store.get(f"node/{name}"),
                      f"{name} to be ready")

    def other(self, name):
        return "gw2" if name == "gw1" else "gw1"

    # --- Traffic ---

    def traffic(self, high=0, seq=0):
        """Both flows, and the audit of all that the gateways send."""
        self.auditor = Auditor(self.switch.ns, {f"wire0-{name}": name for name in OWN})
        self.audited = Audited(SPI_OUT, self.keys[SPI_OUT], high)
        self.auditor.add(self.audited)
        self.sender = PeerSender(self.peer, (PEER, VIP), (FAR, CLIENT), SPI_IN, self.keys[SPI_IN],
                                 self.rate, seq)
        self.audited.esn = self.sender.esn = "esn" in self.sa_words
        self.host = Client(self.client, CLIENT, FAR, self.rate)
        for thread in (self.auditor, self.sender, self.host):
            thread.start()
        self.addCleanup(self.end_traffic)

    def end_traffic(self):
        for thread in (self.host, self.sender):
            thread.done.set()
        time.sleep(0.3 * suite.SLOWNESS)  # what is on its way arrives
        for thread in (self.sender, self.host):
            thread.close()
        if self.auditor.is_alive():
            self.auditor.close()

    def flows_pass(self, timeout=10):
        """Waits until packets arrive both ways."""
        arrived = (self.auditor.arrived, self.host.arrived)
        before = [tally.unique for tally in arrived]
        self.wait_for(lambda: all(tally.unique > n + 100 for tally, n in zip(arrived, before)),
                      "packets both ways", timeout)

    def figures(self):
        """Of all that passed so far. What must be zero always."""
        audited, out, into = self.audited, self.auditor.arrived, self.host.arrived
        return {"repeated numbers": audited.repeated, "repeated IVs": audited.repeated_ivs,
                "accepted twice": out.doubled + into.doubled, "in clear": self.auditor.clear,
                "forged": audited.forged}

    def judge(self):
        """Ends the traffic; nothing repeated, nothing accepted twice, nothing in clear."""
        self.end_traffic()
        figures = self.figures()
        lost = (self.host.sent - self.auditor.arrived.unique, self.sender.sent - self.host.arrived.unique)
        print("   ", f"sent {self.host.sent} and {self.sender.sent}, lost {lost[0]} and {lost[1]},",
              ", ".join(f"{what} {n}" for what, n in figures.items()), flush=True)
        self.assertEqual(self.auditor.unread, 0, "frames that the audit did not read")
        self.assertEqual(len(self.audited.masks), 1, "one mask for each life of the key")
        for what, count in figures.items():
            self.assertEqual(count, 0, what)
        self.assert_disjoint()
        return lost

    def assert_disjoint(self):
        """No run of numbers that a gateway sealed meets one of the other."""
        runs = sorted((*run, name) for name, all_runs in self.audited.ranges.items() for run in all_runs)
        for before, after in zip(runs, runs[1:]):
            if before[2] != after[2]:
                self.assertLess(before[1], after[0], (before, after))
