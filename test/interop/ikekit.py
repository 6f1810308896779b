"""IKE daemons of Debian, unmodified, under the preload shim: strongSwan's charon and libreswan's pluto,
each in its namespace with a /run and a configuration of its own, ended by pid.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

import labkit
import suite
from flow import Flow
from labkit import LabError, with_own_run
from rawwire import sysctl
from wirewatch import MARK, Watch

OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd00:1::1", "fd00:2::1")}
NETS = {4: ("10.1.0.0/16", "10.2.0.0/16"), 6: ("fd00:1::/32", "fd00:2::/32")}
NAMES = ("west.test", "east.test")
SECRET = "a secret of two test hosts"
CHARON = "/usr/lib/ipsec/charon"
CHARON_SYSTEMD = "/usr/sbin/charon-systemd"
# Libreswan and strongSwan both own /usr/sbin/ipsec: Debian installs one of them. tools/lib.sh
# unpacks libreswan here.
LIBRESWAN = os.environ.get("CYGNET_LIBRESWAN", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../build/packages/libreswan"))


class Daemon:
    """The common base of charon and pluto. `side`: 0 west, 1 east."""

    def __init__(self, host, side, workdir):
        self.host, self.side = host, side
        self.dir = os.path.join(workdir, f"{type(self).__name__.lower()}-{host.name}")
        self.run_dir = os.path.join(self.dir, "run")
        os.makedirs(self.run_dir, exist_ok=True)
        self.log_path = os.path.join(self.dir, "log")
        self.process = None

    def env(self):
        return dict(os.environ)

    def around(self, argv):
        """`argv` in the daemon's surroundings."""
        return with_own_run(self.run_dir, argv)

    def launch(self, argv):
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = self.host.ns.popen(
                self.around([self.host.cygnet.command, "exec", "--", *argv]), env=self.env(),
                stdout=log, stderr=log)

    def client(self, argv, check=True, timeout=60):
        return self.host.ns.run(self.around(argv), check=check, env=self.env(), timeout=timeout)

    def wait_until(self, condition, what, timeout=20):
        def alive_and_so():
            if self.process.poll() is not None:
                raise LabError(f"{self.host.name}: {type(self).__name__} ended: {self.log()[-2000:]}")
            return condition()
        labkit.wait_for(alive_and_so, timeout * suite.SLOWNESS, f"{self.host.name}: {what}")

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        """Kills it, so that the peer is not notified."""
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process is not None:
            labkit.end(self.process)


# --- strongSwan ---

def braces(tree, depth=0):
    """Nested dicts as strongSwan's configuration files have them."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [" " * depth + f"{key} {{", *braces(value, depth + 1), " " * depth + "}"]
        else:
            lines.append(" " * depth + f"{key} = {value}")
    return lines


PLUGINS = ("random nonce aes sha1 sha2 hmac kdf gcm openssl pem pkcs1 pkcs8 pubkey x509 revocation "
           "constraints vici kernel-netlink socket-default updown")


class Charon(Daemon):
    def __init__(self, host, side, workdir, program=CHARON):
        super().__init__(host, side, workdir)
        self.program = program
        self.credentials = os.path.join(self.dir, "swanctl")
        for name in ("x509", "x509ca", "private"):
            os.makedirs(os.path.join(self.credentials, name), exist_ok=True)

    def env(self):
        return {**os.environ, "STRONGSWAN_CONF": os.path.join(self.dir, "strongswan.conf"),
                "SWANCTL_DIR": self.credentials}

    def start(self, **settings):
        """`settings`: further keys of strongswan.conf's section charon."""
        charon = {"load": PLUGINS, "install_routes": "no", "install_virtual_ip": "no",
                  "retransmit_timeout": 1.0, "retransmit_tries": 3, "retransmit_base": 1.2,
                  "delete_rekeyed_delay": 1,
                  "filelog": {"main": {"path": self.log_path, "append": "yes", "flush_line": "yes",
                                       "time_format": "%H:%M:%S", "default": 1, "knl": 2}},
                  "plugins": {"vici": {"socket": "unix:///run/vici"}}}
        charon.update(settings)
        charon = {key: value for key, value in charon.items() if value is not None}
        self._write("strongswan.conf", {"charon": charon, "swanctl": {
            "load": "random nonce openssl pem pkcs1 pkcs8 pubkey x509"}})
        vici = os.path.join(self.run_dir, "vici")
        if os.path.exists(vici):
            os.unlink(vici)
        self.launch([self.program])
        self.wait_until(lambda: os.path.exists(vici) and self.swanctl(
            "--stats", check=False).returncode == 0, "charon to answer")

    def _write(self, name, tree):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as f:
            f.write("\n".join(braces(tree)) + "\n")

    def swanctl(self, command, *args, check=True):
        return self.client(["swanctl", command, "--uri", "unix:///run/vici", *args], check)

    def load(self, tree):
        """Replaces all connections and secrets."""
        self._write("swanctl/swanctl.conf", tree)
        self.swanctl("--load-all", "--file", os.path.join(self.credentials, "swanctl.conf"))

    def initiate(self, child="net", check=True):
        return self.swanctl("--initiate", "--child", child, "--timeout",
                            str(int(15 * suite.SLOWNESS)), check=check)

    def rekey_child(self):
        self.swanctl("--rekey", "--child", "net")

    def rekey_ike(self):
        self.swanctl("--rekey", "--ike", "net")

    def down(self):
        self.swanctl("--terminate", "--ike", "net", "--timeout", "5", check=False)

    def sas(self):
        return self.swanctl("--list-sas").stdout

    def ike_sas(self):
        """Numbers of the established IKE_SAs."""
        return re.findall(r"^\S+: #(\d+), ESTABLISHED", self.sas(), re.MULTILINE)

    def children(self):
        """[(inbound SPI, outbound SPI)] of the installed SAs."""
        found = re.findall(r"INSTALLED.*?\n.*?\n\s+in\s+([0-9a-f]{8}).*?\n\s+out\s+([0-9a-f]{8})",
                           self.sas())
        return [(int(a, 16), int(b, 16)) for a, b in found]


def charon_connection(side, family=4, inner=4, mode="tunnel", auth="psk", esp="aes128gcm16-esn",
                      offload="no", connection=None, child=None):
    """One side's swanctl.conf as a tree."""
    far = 1 - side
    nets = NETS[inner] if mode == "tunnel" else ("dynamic", "dynamic")
    ends = {"local": {"auth": auth, "id": NAMES[side]}, "remote": {"auth": auth, "id": NAMES[far]}}
    if auth == "pubkey":
        ends["local"]["certs"] = f"{NAMES[side]}.pem"
    tree = {"version": 2, "proposals": "aes128-sha256-x25519", "rekey_time": 0,
            "local_addrs": OUTER[family][side], "remote_addrs": OUTER[family][far], **ends,
            "children": {"net": {
                "local_ts": nets[side], "remote_ts": nets[far], "mode": mode,
                "esp_proposals": esp, "hw_offload": offload, "rekey_time": 0, **(child or {})}},
            **(connection or {})}
    secrets = {"ike-1": {"id-a": NAMES[0], "id-b": NAMES[1], "secret": f'"{SECRET}"'}}
    return {"connections": {"net": tree}, "secrets": secrets if auth == "psk" else {}}


# --- libreswan ---

class Pluto(Daemon):
    """Installed, or run from its unpacked package."""

    def __init__(self, host, side, workdir):
        super().__init__(host, side, workdir)
        self.nss = os.path.join(self.dir, "nss")
        os.makedirs(self.nss, exist_ok=True)
        os.makedirs(os.path.join(self.run_dir, "pluto"), exist_ok=True)
        self.config = os.path.join(self.dir, "ipsec.conf")

    @staticmethod
    def missing():
        """Why libreswan cannot run here, or None."""
        if not any(os.path.exists(os.path.join(root, "usr/libexec/ipsec/pluto"))
                   for root in ("/", LIBRESWAN)):
            return f"libreswan is neither installed nor in {LIBRESWAN} (tools/test puts it there)"
        return "certutil (libnss3-tools) is not installed" if labkit.have("certutil") else None

    def around(self, argv):
        # pluto looks for its programs only in /usr/libexec/ipsec.
        if os.path.exists("/usr/libexec/ipsec/pluto"):
            return super().around(argv)
        return ["unshare", "--mount", "sh", "-c",
                'mount --make-rprivate / && mount --bind "$0" /run && mount -t overlay none '
                '-o "lowerdir=$1/usr/libexec:/usr/libexec" /usr/libexec && shift && exec "$@"',
                self.run_dir, os.path.realpath(LIBRESWAN), *argv]

    def start(self, connections, **setup):
        """`connections`: text of ipsec.conf beyond the setup section; loaded, none is started."""
        self.setup = setup
        self._write(connections, setup)
        with open(os.path.join(self.dir, "ipsec.secrets"), "w", encoding="utf-8") as f:
            f.write(f'@{NAMES[0]} @{NAMES[1]} : PSK "{SECRET}"\n')
        if not os.path.exists(os.path.join(self.nss, "cert9.db")):
            subprocess.run(["certutil", "-N", "-d", f"sql:{self.nss}", "--empty-password"], check=True,
                           stdin=subprocess.DEVNULL, capture_output=True)
        self.launch(["/usr/libexec/ipsec/pluto", "--config", self.config, "--nofork", "--rundir",
                     "/run/pluto"])
        self.wait_until(lambda: self.whack("--listen", check=False).returncode == 0,
                        "pluto to answer")
        self._load_all(connections)

    def _write(self, connections, setup):
        keys = {"logfile": self.log_path, "logtime": "no", "logappend": "yes", "nssdir": self.nss,
                "ipsecdir": self.dir, "secretsfile": os.path.join(self.dir, "ipsec.secrets"),
                "dumpdir": self.run_dir, "virtual-private": "%v4:10.0.0.0/8", **setup}
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("config setup\n" + "".join(f"  {k}={v}\n" for k, v in keys.items()) + "\n"
                    + connections)

    def _load_all(self, connections):
        for name in re.findall(r"^conn (\S+)", connections, re.MULTILINE):
            if not name.startswith("%"):
                self.client(["/usr/libexec/ipsec/addconn", "--ctlsocket", "/run/pluto/pluto.ctl",
                             "--config", self.config, name])

    def reload(self, connections):
        """Replaces the loaded connections."""
        self._write(connections, self.setup)
        self._load_all(connections)

    def forget(self):
        """Deletes the connection and its SAs."""
        self.whack("--name", "net", "--delete", check=False)

    def whack(self, *args, check=True):
        return self.client(["/usr/libexec/ipsec/whack", "--ctlbase", "/run/pluto", *args], check)

    def initiate(self, child="net", check=True):
        return self.whack("--name", child, "--initiate", check=check)

    def down(self):
        self.whack("--name", "net", "--terminate", check=False)

    def rekey_child(self):
        self.whack("--name", "net", "--rekey-ipsec")

    def rekey_ike(self):
        self.whack("--name", "net", "--rekey-ike")

    def status(self):
        return self.whack("--status").stdout

    def children(self):
        """[(inbound SPI, outbound SPI)] of the newest installed SAs."""
        found = re.findall(r'"net".* esp\.([0-9a-f]+)@(\S+) esp\.([0-9a-f]+)@(\S+)',
                           self.whack("--showstates").stdout)
        own = {OUTER[4][self.side], OUTER[6][self.side]}
        return [(int(b, 16), int(a, 16)) if at_b in own else (int(a, 16), int(b, 16))
                for a, _, b, at_b in found]


def pluto_connection(side, family=4, inner=4, mode="tunnel", esp="aes_gcm128", offload="no",
                     **options):
    """One side's `conn net`."""
    far = 1 - side
    keys = {"authby": "secret", "ikev2": "insist", "ike": "aes128-sha2_256-dh31", "esp": esp,
            "type": mode, "nic-offload": offload, "left": OUTER[family][side],
            "right": OUTER[family][far], "leftid": f"@{NAMES[side]}", "rightid": f"@{NAMES[far]}",
            "leftupdown": "/bin/true", "auto": "ignore", "rekey": "no"}
    if mode == "tunnel":
        keys.update({"leftsubnet": NETS[inner][side], "rightsubnet": NETS[inner][far]})
    keys.update({name.replace("_", "-"): value for name, value in options.items()})
    return "conn net\n" + "".join(f"  {k}={v}\n" for k, v in keys.items() if v is not None)


# --- Shared by the tests ---

class IkeCase(suite.Case):
    """West and east with a cygnetd each, both address families, and the wire watched."""

    device = {"offload": "crypto"}
    daemon_keys = ""  # of cygnetd's configuration
    wires = (0, 0)  # index of each side's wire

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hosts = [cls.make_host(name) for name in ("west", "east")]
        cls.west, cls.east = cls.hosts
        cls.daemons = []
        cls.lay_wire()
        for side, host in enumerate(cls.hosts):
            cls.start_host(side, host)
        cls.start_daemons()

    @classmethod
    def lay_wire(cls):
        labkit.connect(cls.west, cls.east)

    @classmethod
    def start_host(cls, side, host):
        ns, far = host.ns, 1 - side
        ns.ip("link set lo up")
        host.start([{**cls.device, "wire": f"wire{cls.wires[side]}"}],
                   cls.daemon_keys)
        sysctl(ns, "net.ipv6.conf.nic0.addr_gen_mode", 1)
        for command in (
                f"addr replace {OUTER[4][side]}/24 dev nic0",
                f"addr replace {OUTER[6][side]}/64 dev nic0 nodad",
                f"addr replace {INNER[4][side]}/32 dev lo",
                f"addr replace {INNER[6][side]}/128 dev lo nodad",
                f"route replace {NETS[4][far]} via {OUTER[4][far]} dev nic0 src {INNER[4][side]}",
                f"-6 route replace {NETS[6][far]} via {OUTER[6][far]} dev nic0 "
                f"src {INNER[6][side]}"):
            ns.ip(command)

    @classmethod
    def start_daemons(cls):
        """Starts the daemons that the class chooses, into cls.daemons."""

    def load(self, **options):
        """The same connection to every daemon."""
        raise NotImplementedError

    def connect(self, **options):
        self.load(**options)
        self.daemons[0].initiate()
        return self.wait_for_pair()

    @classmethod
    def add_daemon(cls, daemon):
        cls.daemons.append(daemon)
        return cls.own(daemon)

    def run(self, result=None):
        before = _bad(result)
        super().run(result)
        if _bad(result) > before:
            self._show_logs()
        return result

    def _show_logs(self):
        """Prints the daemons' logs before they are removed."""
        keep = os.environ.get("CYGNET_KEEP_LOGS")
        for thing in (*self.hosts, *self.daemons):
            name = type(thing).__name__.lower() + "-" + (
                thing.name if hasattr(thing, "name") else thing.host.name)
            tail = thing.log()[-3000:] if os.path.exists(thing.log_path) else ""
            print(f"--- {name} ---\n{tail}", file=sys.stderr)
            if keep and tail:
                os.makedirs(keep, exist_ok=True)
                shutil.copy(thing.log_path, os.path.join(keep, f"{self.id()}-{name}.log"))

    # --- SAs ---

    def sas(self, host, larval=False):
        return [sa for sa in host.show("sa") if larval or sa["state"] != "larval"]

    def spis(self, host):
        return {int(sa["spi"], 16) for sa in self.sas(host)}

    def wait_for_pair(self, count=2):
        """Waits for the same `count` SAs on both sides."""
        self.wait_for(lambda: len(self.spis(self.west)) == count
                      and self.spis(self.west) == self.spis(self.east),
                      f"{count} SAs on both sides", 60)  # pluto's retries wait longer and longer
        return self.spis(self.west)

    def wait_for_none(self):
        self.wait_for(lambda: not self.spis(self.west) and not self.spis(self.east), "no SA", 15)

    def placements(self, host):
        """{"in": (effective, reason), "out": …} of the newest SAs."""
        own = self._addresses(host)
        found = {}
        for sa in self.sas(host):
            direction = "in" if sa["dst"] in own else "out"
            half = next(p for p in sa["placements"] if p["direction"] == direction)
            found[direction] = half["effective"], half["reason"]
        return found

    @staticmethod
    def _addresses(host):
        return re.findall(r"inet6? ([0-9a-f.:]+)/", host.ns.ip("addr show dev nic0").stdout)

    # --- Traffic ---

    def ping(self, family=4, mode="tunnel", count=3, size=64, host=None, check=True):
        """From west to east (or from `host`), with a text that must not be seen on the wire."""
        side = 1 if host is self.east else 0
        ends = INNER[family] if mode == "tunnel" else OUTER[family]
        before = [suite.counters(host) for host in self.hosts]
        result = self.hosts[side].ns.run(
            ["ping", "-n", "-c", str(count), "-i", "0.05", "-W", str(int(2 * suite.SLOWNESS)), "-s",
             str(size), "-p", MARK.hex(), "-I", ends[side], ends[1 - side]], check=False)
        if check:
            self.assertIn(f" {count} received", result.stdout, [
                suite.difference(was, suite.counters(host)) for was, host in zip(before, self.hosts)])
        return result.returncode == 0

    def ping_until(self, **kwargs):
        self.wait_for(lambda: self.ping(count=1, check=False, **kwargs), "a ping's answer", 15)

    def check_traffic(self, family=4, mode="tunnel", secret=True):
        """Pings and datagrams pass both ways, sealed, and nothing is dropped. Not `secret`: the
        algorithm authenticates and hides nothing."""
        before = [suite.counters(host) for host in self.hosts]
        with self.watched(secret=secret) as watch:
            self.ping(family, mode)
            self.ping(family, mode, host=self.east, size=1200)
            self.datagrams(family, mode)
        self.assertGreaterEqual(watch.esp, 12)
        for host, counts in zip(self.hosts, before):
            self.assertEqual(suite.difference(counts, suite.counters(host)), {}, host.name)

    def datagrams(self, family=4, mode="tunnel", seconds=0.3):
        flows = self.flows(family, mode)
        self.wait_for(lambda: all(f.sent > seconds * f.rate for f in flows), "datagrams", 10)
        self.finish(flows)

    def flows(self, family=4, mode="tunnel", rate=500):
        ends = INNER[family] if mode == "tunnel" else OUTER[family]
        flows = [Flow(self.west.ns, self.east.ns, ends, rate),
                 Flow(self.east.ns, self.west.ns, ends[::-1], rate)]
        for flow in flows:
            flow.into.settimeout(0.15 * suite.SLOWNESS)
            flow.start()
        return flows

    def finish(self, flows, lossless=True):
        for flow in flows:
            flow.done.set()
        for flow in flows:
            flow.finish()
        figures = {"sent": sum(f.sent for f in flows), "lost": sum(f.lost for f in flows),
                   "doubled": sum(f.doubled for f in flows)}
        self.assertGreater(figures["sent"], 0)
        self.assertEqual(figures["doubled"], 0)
        if lossless:
            self.assertEqual(figures["lost"], 0, {h.name: suite.counters(h) for h in self.hosts})
        return figures

    def watched(self, **kwargs):
        """The wire at the east end: nothing in clear, nothing but IKE, ESP and neighbours."""
        return Watch(self.east.ns, f"wire{self.wires[1]}", **kwargs)


class StrongswanCase(IkeCase):
    @classmethod
    def start_daemons(cls):
        if have_strongswan():
            raise unittest.SkipTest(have_strongswan())
        # One side runs the daemon of strongswan-starter, the other that of systemd's unit.
        programs = CHARON, CHARON_SYSTEMD if os.path.exists(CHARON_SYSTEMD) else CHARON
        for side, host in enumerate(cls.hosts):
            daemon = cls.add_daemon(Charon(host, side, cls.workdir, programs[side]))
            daemon.start()

    def load(self, **options):
        for side, daemon in enumerate(self.daemons):
            daemon.load(charon_connection(side, **options))

    def tearDown(self):
        for daemon in self.daemons:
            if daemon.process.poll() is None:
                daemon.load({})
        self.daemons[0].down()
        self.wait_for_none()

    def rekeyed(self, old, timeout=10):
        """Waits until other SAs have replaced `old`."""
        self.wait_for(lambda: self.spis(self.west) == self.spis(self.east)
                      and len(self.spis(self.west)) == 2
                      and not self.spis(self.west) & old, "new SAs and no old ones", timeout)
        return self.spis(self.west)


def _bad(result):
    return 0 if result is None else len(result.failures) + len(result.errors)


def have_strongswan():
    """What is missing, or None."""
    if labkit.have("swanctl") or not os.path.exists(CHARON):
        return "strongswan-charon or strongswan-swanctl is not installed"
    return None
