#!/usr/bin/python3
"""The AppArmor profiles against what the programs do. The programs are traced through their lives; each file, lock,
mapping and kind of socket must have a rule. A kernel that has AppArmor is not needed.
"""

import os
import re
import shutil
import tempfile
import unittest

import aaprofile
import labkit
import suite
import webkit
from clusterkit import ClusterCase
from wirehost import WireHost

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MULTIARCH = "/usr/lib/x86_64-linux-gnu"
OWNED = ("/var/lib/cygnet/", "/run/cygnet/", "/var/lib/cygnet-web/", "/tmp/")
PROGRAMS = {"src/daemon/cygnetd/cygnetd": "/usr/sbin/cygnetd", "src/cli/cygnet": "/usr/bin/cygnet",
            "src/web/cygnet-web": "/usr/bin/cygnet-web", "src/shim/libcygnet_xfrm.so": f"{MULTIARCH}/cygnet/libcygnet_xfrm.so",
            "src/plugin/isolation/child/cygnet-plugin-host": "/usr/libexec/cygnet/cygnet-plugin-host", "src/": "/usr/"}


def why_not():
    missing = labkit.have("strace", "apparmor_parser")
    return f"not installed: {', '.join(missing)}" if missing else ""


class Traced(labkit.Cygnet):
    """The built programs; cygnetd, cygnet-web and `traced_command` write down what they do."""

    def __init__(self, build, workdir, places):
        super().__init__(build)
        self.started = {}
        # What begins so is there on an installed system; the first that fits.
        self.places = [*places.items(), *((f"{build}/{mine}", installed) for mine, installed in PROGRAMS.items())]
        self.folder = tempfile.mkdtemp(prefix="traces-", dir=workdir)
        self.daemon = self._trace("cygnetd", self.daemon)
        self.web = self._trace("web", self.web)
        self.traced_command = self._trace("command", self.command)

    def _trace(self, name, program):
        self.started[name] = program
        path = os.path.join(self.folder, f"run-{name}")
        aaprofile.write_tracer(path, os.path.join(self.folder, name), program)
        return path

    def place(self, path):
        for mine, installed in self.places:
            if path.startswith(mine):
                return installed + path[len(mine):]
        return path

    def accesses(self, program):
        # systemd starts the program; that is not an access of its own.
        found = aaprofile.accesses_of(self.folder, program, self.place)
        return found - {("file", self.place(self.started[program]), aaprofile.EXECUTE)}


class Judged(suite.Case):
    """A class that makes its hosts with traced programs."""

    @classmethod
    def setUpClass(cls):
        if reason := why_not():
            raise unittest.SkipTest(reason)
        super().setUpClass()

    @classmethod
    def make_host(cls, name="host"):
        host = super().make_host(name)
        for folder in ("state", "run", "web"):
            os.makedirs(f"{cls.workdir}/{folder}", exist_ok=True)
        host.cygnet = Traced(os.environ["CYGNET_BUILD"], cls.workdir, {
            f"{cls.workdir}/state/": "/var/lib/cygnet/", f"{cls.workdir}/run/": "/run/cygnet/",
            f"{cls.workdir}/web/": "/var/lib/cygnet-web/", **cls.more_places(), f"{cls.workdir}/": "/etc/cygnet/"})
        return host

    @classmethod
    def more_places(cls):
        return {}

    def judge(self, traced, program, at_least=(), profile="cygnetd"):
        """All that was traced has a rule, and `at_least` was traced."""
        accesses = traced.accesses(program)
        rules = aaprofile.Profile(os.path.join(ROOT, "debian/apparmor", profile))
        self.assertEqual(rules.complaints(accesses, OWNED), [])
        seen = {what for _, what, _ in accesses}
        self.assertEqual([path for path in at_least if path not in seen], [], sorted(seen))
        return accesses


class Life(WireHost, Judged):
    """Files in systemd's folders, SAs, an evidence, a reload, a second start, a client that systemd starts."""

    device_keys = {"offload": "crypto", "verify": 1, "persist": True, "inside": ["lan0"]}
    offload = True

    @classmethod
    def make_host(cls, name="host"):
        host = super().make_host(name)
        host.ns.ip("link add lan0 type veth peer name far0")
        host.ns.ip("link set lan0 up")
        cls.daemon_keys = (
            f'workers = 2\nrestart_file = "{cls.workdir}/run/restart"\n[ledger]\nfile = "{cls.workdir}/state/ledger.jsonl"\n'
            f'[numbers]\nstore = "file"\nfile = "{cls.workdir}/state/numbers"\n[scheduler]\nenabled = true\n'
            '[[tunnel]]\nname = "blue"\nif_id = 8\n')
        return host

    def test_each_access_has_a_rule(self):
        self.good()
        host = self.host
        host.ns.run([host.cygnet.command, "sim", "dev", "nic0", "wrong-icv", "out", "20"])
        self.ping_until(lambda: os.path.exists(f"{self.workdir}/state/evidence-nic0.pcapng"), "an evidence")
        for words in (["reload"], ["exec", "--", "ip", "xfrm", "state"], ["exec", "--", "ip", "link", "show", "dev", "nic0"]):
            host.ns.run([host.cygnet.traced_command, *words])
        host.stop()
        host.start([self.device_keys], self.daemon_keys)
        host.stop()
        host.daemon = None
        accesses = self.judge(host.cygnet, "cygnetd", (
            "/etc/cygnet/host.toml", "/run/cygnet/restart", "/var/lib/cygnet/ledger.jsonl", "/var/lib/cygnet/ledger.jsonl.key",
            "/var/lib/cygnet/numbers", "/var/lib/cygnet/evidence-nic0.pcapng", "/dev/net/tun", "/run/systemd/journal/socket"))
        self.assertIn(("network", "packet", "raw"), accesses)
        self.judge(host.cygnet, "command", ("/usr/bin/cygnet",))
        self.without_a_rule(accesses)

    def tearDown(self):
        """No SAs to take back: the daemon is gone."""

    def ping_until(self, condition, what):
        def send():
            self.udp.sendto(b"x" * 100, ("10.2.0.1", 9))
            return condition()
        self.wait_for(send, what, 15)

    def without_a_rule(self, accesses):
        """The judge sees what is missing: a file, the lock of one, a kind of socket."""
        with open(os.path.join(ROOT, "debian/apparmor/cygnetd"), encoding="utf-8") as f:
            text = f.read()
        for rule, complaint in (("  /dev/net/tun rw,\n", "/dev/net/tun rw"), ("  network packet raw,\n", "network packet raw")):
            self.assertIn(rule, text)
            with tempfile.NamedTemporaryFile("w", suffix=".profile") as f:
                f.write(text.replace(rule, ""))
                f.flush()
                self.assertIn(complaint, aaprofile.Profile(f.name).complaints(accesses, OWNED))


class AfXdp(Judged):
    def test_each_access_has_a_rule(self):
        host, other = self.make_host(), self.own(labkit.Namespace("other"))
        host.ns.ip(f"link add wire0 type veth peer name wire0 netns {other.holder.pid}")
        host.ns.ip("link set wire0 up")
        other.ip("link set wire0 up")
        try:
            host.start([{"driver": "af_xdp", "offload": "no"}])
        except labkit.LabError as error:
            host.daemon.wait()
            host.daemon = None
            self.skipTest(str(error)[-200:])
        self.assertRegex(host.log(), "AF_XDP on wire0: mode (native|generic)")
        host.stop()
        host.daemon = None
        self.assertIn(("network", "xdp", "raw"), self.judge(host.cygnet, "cygnetd"))


class PlugIns(WireHost, Judged):
    """A driver in a process of its own, and DPDK's crypto devices in the daemon."""

    offload = True

    @classmethod
    def more_places(cls):
        return {cls.libraries + "/": f"{MULTIARCH}/cygnet/"}

    @classmethod
    def setUpClass(cls):
        # Where the process's user can read them, and only root can change them.
        cls.libraries = tempfile.mkdtemp(prefix="cygnet-plug-ins.", dir="/var/lib")
        cls.addClassCleanup(shutil.rmtree, cls.libraries)
        os.chmod(cls.libraries, 0o755)
        build = os.environ["CYGNET_BUILD"]
        driver = f"{build}/src/plugin/isolation/libisolated_soft_driver.so"
        engine = f"{build}/src/plugin/modules/libcygnet_cryptodev.so"
        if not os.path.exists(driver):
            raise unittest.SkipTest("the driver is not built")
        cls.device_keys = {"offload": "crypto", "driver": "plugin", "plugin": shutil.copy(driver, cls.libraries), "isolate": True}
        cls.with_engine = os.path.exists(engine)
        if cls.with_engine:
            engine = shutil.copy(engine, cls.libraries)
            cls.daemon_keys = (f'[look_aside]\nengine = "plugin"\nmode = "auto"\nplugin = "{engine}"\n'
                               'plugin_options = ["crypto=crypto_aesni_mb0"]')
        super().setUpClass()

    def test_each_access_has_a_rule(self):
        self.good()
        self.host.stop()
        self.host.daemon = None
        libraries = ["libisolated_soft_driver.so", *(["libcygnet_cryptodev.so"] if self.with_engine else [])]
        self.judge(self.host.cygnet, "cygnetd", ("/usr/libexec/cygnet/cygnet-plugin-host",
                                                 *(f"{MULTIARCH}/cygnet/{name}" for name in libraries)))

    def tearDown(self):
        """No SAs to take back: the daemon is gone."""


class Cluster(ClusterCase):
    """Two nodes with keys in the store; one takes over."""

    share = "sas"

    @classmethod
    def setUpClass(cls):
        if reason := why_not():
            raise unittest.SkipTest(reason)
        super().setUpClass()

    @classmethod
    def make_gateway(cls, name):
        gateway = super().make_gateway(name)
        gateway.cygnet = Traced(os.environ["CYGNET_BUILD"], cls.workdir, {
            f"{cls.workdir}/{name}.restart": "/run/cygnet/restart", f"{cls.workdir}/{name}.jsonl": "/var/lib/cygnet/ledger.jsonl",
            f"{cls.workdir}/{name}.cluster": "/var/lib/cygnet/cluster", f"{cls.workdir}/": "/etc/cygnet/"})
        return gateway

    judge_trace = Judged.judge

    def test_each_access_has_a_rule(self):
        self.start_both()
        self.gateways["gw1"].stop()
        self.wait_owner("gw2", 30)
        self.gateways["gw2"].stop()
        for gateway in self.gateways.values():
            self.judge_trace(gateway.cygnet, "cygnetd", ("/etc/cygnet/ca.pem", "/etc/cygnet/node.key", "/etc/cygnet/kek",
                                                         "/etc/cygnet/secret", "/var/lib/cygnet/cluster"))


class Web(WireHost, Judged):
    """The page with its history, then with TLS and a token."""

    def test_each_access_has_a_rule(self):
        key, certificate, token = (os.path.join(self.workdir, name) for name in ("key", "certificate", "token"))
        webkit.make_certificate(key, certificate)
        with open(token, "w", encoding="ascii") as f:
            f.write("ab" * 32 + "\n")
        os.chmod(token, 0o600)
        web = webkit.Server(self.host)
        self.host.cygnet.places.insert(0, (web.folder + "/", "/var/lib/cygnet-web/"))
        self.addCleanup(web.close)
        self.assertIn("cygnet_daemon_up 1", web.text("/metrics"))
        web.text("/")
        web.look()
        self.wait_for(lambda: os.path.exists(f"{web.folder}/history.db"), "the history", 90)
        web.end()
        webkit.Server(self.host, "--certificate", certificate, "--key", key, "--token", token, history=False).end()
        self.judge(self.host.cygnet, "web", ("/var/lib/cygnet-web/history.db", "/etc/cygnet/certificate", "/etc/cygnet/token"),
                   "cygnet-web")


class Units(unittest.TestCase):
    """What systemd gives a unit, its profile allows: a narrower one would stop what the unit's author meant."""

    def words(self, key, *names):
        found = set()
        for name in names:
            with open(os.path.join(ROOT, "systemd", name), encoding="utf-8") as f:
                found |= set(" ".join(re.findall(rf"^{key}=(.*)$", f.read(), re.M)).lower().split())
        return found

    def test_capabilities_and_families(self):
        if reason := why_not():
            self.skipTest(reason)
        for profile, units in (("cygnetd", ("cygnetd.service.in", "af-xdp.conf")), ("cygnet-web", ("cygnet-web.service.in",))):
            rules = aaprofile.Profile(os.path.join(ROOT, "debian/apparmor", profile))
            given = self.words("CapabilityBoundingSet", *units)
            self.assertEqual(given - {f"cap_{name}" for name in rules.capabilities}, set())
            given = self.words("RestrictAddressFamilies", *units)
            self.assertEqual({f"af_{family}" for family, _ in rules.networks}, given)


if __name__ == "__main__":
    suite.main()
