"""The systems that carry the packets of an end-to-end measurement: two namespaces, one veth pair as the
wire, and on each side Cygnet, a peer, a forwarder without crypto, or nothing. All have the same wire and
the same addresses for the traffic."""

import os
import signal
import subprocess
import time

import labkit
from labkit import Host, LabError, Namespace, with_own_run
from rawwire import FrameSocket

OUTER = ["192.0.2.1", "192.0.2.2"]
INNER = ["10.1.0.1", "10.2.0.1"]
NETS = ["10.1.0.0/16", "10.2.0.0/16"]
INNER_MTU = 1420  # fits every tunnel here on a wire of 1500
MARK = b"Cygnet?!"


def _tasks(pid):
    """Directories of the process's threads; none if it has ended."""
    try:
        return [f"/proc/{pid}/task/{task}" for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _read(path):
    """Empty if the thread has ended."""
    try:
        with open(path, encoding="ascii") as f:
            return f.read()
    except OSError:
        return ""


def _run_time(task):
    return int((_read(f"{task}/schedstat") or "0").split()[0]) * 1e-9


def with_children(pid):
    children = [int(child) for task in _tasks(pid) for child in _read(f"{task}/children").split()]
    return [pid, *(found for child in children for found in with_children(child))]


class System:
    """Two sides. `addresses`: the ends of the traffic."""

    name = ""
    seals = True
    brief = False  # fewer sizes
    needs = ()  # programs
    addresses = INNER

    def __init__(self, workdir):
        self.dir = os.path.join(workdir, self.name)
        os.makedirs(self.dir)
        self.sides = self.make_sides()
        self.ends = self.sides  # where the traffic begins and ends
        self.daemons = []

    def make_sides(self):
        return [Namespace(f"{self.name}-{side}") for side in ("west", "east")]

    def generator(self):
        """The generator's arguments that name the ends of the traffic."""
        source, target = self.addresses
        west, east = (f"/proc/{end.holder.pid}/ns/net" for end in self.ends)
        return ["--from", west, "--to", east, "--source", source, "--target", target]

    def start(self):
        raise NotImplementedError

    def wire(self, addresses=True):
        """The veth pair wire0, with the outer addresses if no daemon takes it over."""
        west, east = self.sides
        west.ip(f"link add wire0 mtu 1500 type veth peer name wire0 mtu 1500 "
                f"netns {east.holder.pid}")
        for side, ns in enumerate(self.sides):
            ns.ip("link set wire0 up")
            if addresses:
                ns.ip(f"addr add {OUTER[side]}/24 dev wire0")

    def inner_address(self, side, device):
        self.sides[side].ip(f"addr add {INNER[side]}/32 dev {device}")

    def pause(self, paused):
        """Stops or continues the daemons, so that only one system runs while it is measured."""
        for process in self.daemons:
            if process.poll() is None:
                process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def cpu_seconds(self):
        """CPU time of the daemons since they started."""
        ticks = 0
        for process in self.daemons:
            with open(f"/proc/{process.pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime, stime
        return ticks / os.sysconf("SC_CLK_TCK")

    def daemon_seconds(self):
        """Run time of all threads of the daemons since they started, as the scheduler counts it."""
        return sum(_run_time(task) for process in self.daemons for pid in with_children(process.pid)
                   for task in _tasks(pid))

    def check(self):
        """Checks that packets arrive, and that they are sealed on the wire if this system seals."""
        labkit.wait_for(lambda: self._ping(1) == 0, 15, f"{self.name}: a ping's answer")
        wire = FrameSocket(self.sides[0], "wire0")
        try:
            if self._ping(5) != 0:
                raise LabError(f"{self.name}: pings are lost")
            frames = wire.frames(count=1000, timeout=0.3)
        finally:
            wire.close()
        clear = sum(MARK in frame for frame in frames)
        if (clear > 0) == self.seals:
            raise LabError(f"{self.name}: {len(frames)} frames on the wire, {clear} in clear")

    def _ping(self, count):
        return self.ends[0].run(
            ["ping", "-n", "-c", str(count), "-i", "0.1", "-W", "1", "-s", "64", "-p", MARK.hex(),
             "-I", self.addresses[0], self.addresses[1]], check=False).returncode

    def close(self):
        self.pause(False)
        for process in self.daemons:
            labkit.end(process)
        for ns in self.sides:
            ns.close()


class Veth(System):
    """No daemon: the upper bound of kernel and generator."""

    name = "veth"
    seals = False
    addresses = OUTER

    def start(self):
        self.wire()


class Cygnet(System):
    """Software path, AES-128-GCM, tunnel, ESN."""

    name = "cygnet"

    def __init__(self, workdir, cygnet, device_keys=None):
        self.cygnet = cygnet
        self.device_keys = {"offload": "no", **(device_keys or {})}
        super().__init__(workdir)

    def make_sides(self):
        self.hosts = [Host(side, self.cygnet, self.dir) for side in ("west", "east")]
        return [host.ns for host in self.hosts]

    def start(self):
        self.wire(addresses=False)
        for side, host in enumerate(self.hosts):
            host.start([self.device_keys])
            self.daemons.append(host.daemon)
            host.ns.ip(f"addr add {OUTER[side]}/24 dev nic0")
        self.protect()

    def protect(self):
        keys = ["0x" + os.urandom(20).hex() for _ in range(2)]
        for me, host in enumerate(self.hosts):
            self.inner_address(me, "lo")
            host.ns.ip(f"route add {NETS[1 - me]} via {OUTER[1 - me]} dev nic0 src {INNER[me]} "
                       f"mtu {INNER_MTU}")
            for sender in (0, 1):
                host.xfrm(["state", "add", "src", OUTER[sender], "dst", OUTER[1 - sender], "proto",
                           "esp", "spi", f"0x{sender + 1}001", "reqid", "1", "mode", "tunnel",
                           "flag", "esn", "replay-window", "1024", "aead", "rfc4106(gcm(aes))",
                           keys[sender], "128"])
                for direction in ["out"] if sender == me else ["in", "fwd"]:
                    host.xfrm(["policy", "add", "src", NETS[sender], "dst", NETS[1 - sender], "dir",
                               direction, "tmpl", "src", OUTER[sender], "dst", OUTER[1 - sender],
                               "proto", "esp", "reqid", "1", "mode", "tunnel"])


class CygnetPort(Cygnet):
    """The same with a named wire port; left out if the daemon does not support it."""

    brief = True

    def __init__(self, workdir, cygnet, wire_driver):
        self.name = f"cygnet-{wire_driver}"
        super().__init__(workdir, cygnet, {"wire_driver": wire_driver})


class CygnetClear(Cygnet):
    """Cygnet without a policy: the same path without crypto."""

    name = "cygnet-no-policy"
    seals = False
    addresses = OUTER

    def protect(self):
        pass


class Forwarder(System):
    """A TAP and the wire joined by a program that reads no packet: the upper bound for programs
    attached this way."""

    name = "forwarder"
    seals = False
    addresses = OUTER

    def __init__(self, workdir, build):
        super().__init__(workdir)
        self.program = os.path.join(build, "bench", "e2e", "forwarder")

    def start(self):
        self.wire(addresses=False)
        for side, ns in enumerate(self.sides):
            self.daemons.append(ns.popen([self.program, "nic0", "wire0"]))
            labkit.wait_for(lambda n=ns: n.run("ip link show dev nic0", check=False).returncode == 0,
                            10, "the forwarder's TAP")
            ns.ip(f"addr add {OUTER[side]}/24 dev nic0")
            ns.ip("link set nic0 up")


class WireguardGo(System):
    """Debian's wireguard-go."""

    name = "wireguard-go"
    needs = ("wireguard-go", "wg")

    def start(self):
        self.wire()
        private = [self.sides[0].run("wg genkey").stdout.strip() for _ in range(2)]
        public = [_pubkey(key) for key in private]
        for side, ns in enumerate(self.sides):
            run = os.path.join(self.dir, f"run{side}")
            os.makedirs(run)
            self.daemons.append(ns.popen(with_own_run(run, ["wireguard-go", "-f", "wg0"]),
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            labkit.wait_for(lambda r=run: os.path.exists(os.path.join(r, "wireguard/wg0.sock")), 10,
                            "wireguard-go's socket")
            key_file = os.path.join(run, "key")
            with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w",
                      encoding="ascii") as f:
                f.write(private[side])
            ns.run(with_own_run(run, ["wg", "set", "wg0", "listen-port", "51820", "private-key",
                                      "/run/key", "peer", public[1 - side], "endpoint",
                                      f"{OUTER[1 - side]}:51820", "allowed-ips", NETS[1 - side]]))
            self.inner_address(side, "wg0")
            ns.ip(f"link set wg0 mtu {INNER_MTU} up")
            ns.ip(f"route add {NETS[1 - side]} dev wg0 src {INNER[side]}")


def _pubkey(private):
    return subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True,
                          check=True).stdout.strip()


class KernelLibipsec(System):
    """Debian's strongSwan with its ESP in user space, AES-128-GCM by OpenSSL."""

    name = "kernel-libipsec"
    needs = ("swanctl", "/usr/lib/ipsec/charon")

    def start(self):
        self.wire()
        for side, ns in enumerate(self.sides):
            run = os.path.join(self.dir, f"run{side}")
            os.makedirs(run)
            self._write(side, run)
            env = {**os.environ, "STRONGSWAN_CONF": os.path.join(run, "strongswan.conf")}
            self.daemons.append(ns.popen(with_own_run(run, ["/usr/lib/ipsec/charon"]), env=env,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            labkit.wait_for(lambda r=run: os.path.exists(os.path.join(r, "vici")), 15,
                            "charon's vici socket")
            self._swanctl(side, "--load-all", "--file", os.path.join(run, "swanctl.conf"))
            self.inner_address(side, "lo")
        time.sleep(0.5)
        # Its TUN keeps its default MTU of 1400 and reads no more, whatever `ip` sets, so packets of
        # 1420 bytes are fragmented there.
        self._swanctl(0, "--initiate", "--child", "bench")

    def _swanctl(self, side, *args):
        run = os.path.join(self.dir, f"run{side}")
        env = {**os.environ, "STRONGSWAN_CONF": os.path.join(run, "strongswan.conf")}
        command, *rest = args
        self.sides[side].run(with_own_run(run, ["swanctl", command, "--uri", "unix:///run/vici",
                                                *rest]), env=env)

    def _write(self, side, run):
        plugins = ("random nonce aes sha1 sha2 hmac kdf gcm openssl pem pkcs1 pubkey x509 curve25519 "
                   "vici kernel-libipsec kernel-netlink socket-default")
        with open(os.path.join(run, "strongswan.conf"), "w", encoding="ascii") as f:
            f.write(f"charon {{\n threads = 16\n load = {plugins}\n install_routes = yes\n"
                    " plugins {\n  vici { socket = unix:///run/vici }\n"
                    "  kernel-libipsec { allow_peer_ts = yes }\n }\n}\n"
                    "swanctl { load = random nonce openssl pem pkcs1 pubkey x509 }\n")
        with open(os.path.join(run, "swanctl.conf"), "w", encoding="ascii") as f:
            f.write(
                "connections {\n bench {\n  version = 2\n  proposals = aes128-sha256-x25519\n"
                f"  local_addrs = {OUTER[side]}\n  remote_addrs = {OUTER[1 - side]}\n"
                f"  local {{ auth = psk\n id = {OUTER[side]} }}\n"
                f"  remote {{ auth = psk\n id = {OUTER[1 - side]} }}\n"
                f"  children {{ bench {{ local_ts = {NETS[side]}\n remote_ts = {NETS[1 - side]}\n"
                "   esp_proposals = aes128gcm16\n rekey_time = 0 } }\n } }\n"
                'secrets { ike-bench { secret = "bench of Cygnet" } }\n')


def missing(system_class):
    return labkit.have(*system_class.needs)
