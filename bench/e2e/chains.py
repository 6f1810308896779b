"""Chains of four namespaces: host - lan0 - gateway - wire0 - gateway - lan0 - host, all links veth pairs.
The gateways are Cygnet, a peer, or the kernel alone. The hosts only send and receive; what is measured
are the two gateways between them."""

import json
import os
import subprocess

import labkit
from labkit import Namespace
from systems import NETS, OUTER, Cygnet, Forwarder, System, Veth, WireguardGo, with_children

LAN = ["10.1.0.1", "10.2.0.1"]   # the gateways
HOSTS = ["10.1.0.2", "10.2.0.2"]
TARGET = "10.2.0.77"
# The generator's target has a MAC address of no interface: its packet socket sees these frames, and
# the IP stack of the host drops them at its first look.
TARGET_MAC = "02:00:00:00:00:77"
_CPUS = sorted(os.sched_getaffinity(0))
GENERATOR_CPU, GATEWAY_CPU = _CPUS[0], _CPUS[-1]


class Chain:
    """What all chains have besides their gateways; the class of these comes next in the order of bases.
    `sides` are the gateways, `ends` the hosts."""

    addresses = HOSTS
    macs = None    # of the sending host and of its gateway, while the chain runs
    device = None  # the gateways' way to each other, if the system does not make the route itself

    def start(self):
        self.lans()
        self.forwarding()
        super().start()
        self.routes()
        self.place()
        self.macs = [_mac(self.ends[0]), _mac(self.sides[0])]

    def lans(self):
        self.ends = [Namespace(f"{self.name}-{side}-host") for side in ("west", "east")]
        for side, (end, gateway) in enumerate(zip(self.ends, self.sides)):
            end.ip(f"link add lan0 mtu 1500 type veth peer name lan0 mtu 1500 "
                   f"netns {gateway.holder.pid}")
            for ns, address in ((end, HOSTS[side]), (gateway, LAN[side])):
                ns.ip("link set lan0 up")
                ns.ip(f"addr add {address}/16 dev lan0")
            end.ip(f"route add default via {LAN[side]}")
        self.neighbours()

    def neighbours(self):
        """Packet sockets answer nothing: a neighbour that must be confirmed would be lost."""
        for side, (end, gateway) in enumerate(zip(self.ends, self.sides)):
            gateway.ip(f"neigh replace {HOSTS[side]} lladdr {_mac(end)} dev lan0 nud permanent")
        self.sides[1].ip(f"neigh replace {TARGET} lladdr {TARGET_MAC} dev lan0 nud permanent")

    def forwarding(self):
        for gateway in self.sides:
            gateway.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])

    def routes(self):
        for side, gateway in enumerate(self.sides if self.device else ()):
            gateway.ip(f"route add {NETS[1 - side]} via {OUTER[1 - side]} dev {self.device}")

    def place(self):
        """Daemons and receive work of the gateways on one CPU, that of the hosts on the generator's."""
        for process in self.daemons:
            for pid in with_children(process.pid):
                subprocess.run(["taskset", "-a", "-p", "-c", str(GATEWAY_CPU), str(pid)],
                               capture_output=True, check=False)
        self.steered = all([steer(ns, GATEWAY_CPU) for ns in self.sides] +
                           [steer(ns, GENERATOR_CPU) for ns in self.ends])

    def generator(self):
        return packet_sockets(super().generator(), *self.macs)

    def close(self):
        self.macs = None
        super().close()
        for ns in getattr(self, "ends", ()):
            ns.close()


def _mac(ns):
    return json.loads(ns.ip("-j link show dev lan0").stdout)[0]["address"]


def steer(ns, cpu):
    """Receive packet steering of every interface to one CPU; false where it cannot be set."""
    script = ("mount -t sysfs none /sys && for q in /sys/class/net/*/queues/rx-*/rps_cpus; do "
              f"echo {1 << cpu:x} > $q || exit 1; done")
    return ns.run(["unshare", "--mount", "sh", "-c", script], check=False).returncode == 0


def packet_sockets(arguments, source_mac, target_mac):
    """The generator's arguments for packet sockets, and for the target that no host has."""
    at = arguments.index("--target") + 1
    return [*arguments[:at], TARGET, *arguments[at + 1:], "--interface", "lan0",
            "--source-mac", source_mac, "--target-mac", target_mac]


class Direct(System):
    """Two hosts and one veth pair between them: what the generator can do."""

    name = "generator"
    seals = False
    addresses = HOSTS
    steered = True

    def start(self):
        west, east = self.sides
        west.ip(f"link add lan0 mtu 1500 type veth peer name lan0 mtu 1500 netns {east.holder.pid}")
        for ns, address in zip(self.sides, HOSTS):
            ns.ip("link set lan0 up")
            ns.ip(f"addr add {address}/8 dev lan0")
            steer(ns, GENERATOR_CPU)

    def check(self):
        """There is no wire to look at, and packets are counted anyway."""

    def generator(self):
        return packet_sockets(super().generator(), "02:00:00:00:00:01", TARGET_MAC)


class KernelChain(Chain, Veth):
    """The kernel forwards, without crypto."""

    name = "kernel"
    device = "wire0"


class ForwarderChain(Chain, Forwarder):
    """The kernel forwards to a TAP, and a program that reads no packet carries it to the wire."""

    name = "forwarder"
    device = "nic0"


class WireguardChain(Chain, WireguardGo):
    """Debian's wireguard-go behind the kernel's forwarding."""


class CygnetChain(Chain, Cygnet):
    """Cygnet's own way into the host: the kernel forwards to nic0, a TAP."""

    name = "cygnet-tap"


class InsideChain(CygnetChain):
    """Cygnet takes packets for protected networks straight from lan0."""

    name = "cygnet-inside"

    def __init__(self, workdir, cygnet):
        super().__init__(workdir, cygnet, {"inside": ["lan0"]})

    def routes(self):
        """Routes without an MTU of their own: packets of others are left to the host."""
        for side, gateway in enumerate(self.sides):
            gateway.ip(f"route replace {NETS[1 - side]} via {OUTER[1 - side]} dev nic0")

    def check(self):
        """Also that packets do not go by the host: it would carry them, too."""
        super().check()
        labkit.wait_for(self._taken, 10, f"{self.name}: packets that an inside interface takes and sends")

    def _taken(self):
        self._ping(1)
        return all(inside["rx_packets"] > 0 and inside["tx_packets"] > 0 for host in self.hosts
                   for device in host.show("dev") for inside in device["inside"])


def has_inside(cygnet, workdir):
    """True if this cygnetd knows the key `inside`."""
    path = os.path.join(workdir, "inside.toml")
    with open(path, "w", encoding="ascii") as f:
        f.write('[[device]]\nname = "nic0"\nwire = "wire0"\ninside = ["lan0"]\n')
    return subprocess.run([cygnet.daemon, "--check", "--no-interfaces", "--config", path],
                          capture_output=True, check=False).returncode == 0
