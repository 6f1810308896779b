#!/usr/bin/python3
"""Follows the how-to pages to the letter on both ends of a wire, and tests the units that they install."""

import json
import os
import re
import signal
import subprocess
import unittest

import ikekit
import labkit
import suite
import unitkit

VARIABLES = [{"WIRE": "wire0", "LOCAL": "192.0.2.1", "PEER": "192.0.2.2",
              "LOCAL_NET": "10.1.0.0/16", "PEER_NET": "10.2.0.0/16"},
             {"WIRE": "wire0", "LOCAL": "192.0.2.2", "PEER": "192.0.2.1",
              "LOCAL_NET": "10.2.0.0/16", "PEER_NET": "10.1.0.0/16"}]
INNER = ("10.1.0.1", "10.2.0.1")


class Units(suite.Case):
    """systemd's own check of the unit file."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if labkit.have("systemd-analyze"):
            raise unittest.SkipTest("no systemd-analyze")
        cls.folder = os.path.join(os.environ["CYGNET_BUILD"], "systemd")

    def unit(self, name):
        """The unit, with a program that exists."""
        with open(os.path.join(self.folder, name), encoding="utf-8") as f:
            text = re.sub(r"^(Exec\w+=)\S+", rf"\g<1>{suite.cygnet().daemon}", f.read(),
                          flags=re.M)
        path = os.path.join(self.workdir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def analyze(self, *words):
        return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True,
                              check=False)

    def test_no_key_is_unknown_or_misspelt(self):
        for name in ("cygnetd.service", "cygnet-web.service"):
            result = self.analyze("verify", "--man=no", self.unit(name))
            self.assertNotRegex(result.stderr, rf"{name}:\d+")
            self.assertEqual(result.returncode, 0, result.stderr)

    def values(self, name, key):
        """The settings that systemd combines from a unit and a drop-in."""
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        folder = self.folder if name.endswith(".service") else os.path.join(root, "systemd")
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            return " ".join(re.findall(rf"^{key}=(.*)$", f.read(), re.M)).split()

    def test_bpf_is_for_those_who_ask_for_it(self):
        for key, word in (("CapabilityBoundingSet", "CAP_BPF"), ("SystemCallFilter", "bpf"),
                          ("RestrictAddressFamilies", "AF_XDP")):
            self.assertNotIn(word, self.values("cygnetd.service", key))
            self.assertEqual([word], self.values("af-xdp.conf", key))

    def test_memory_is_nobodys_and_stays_in_memory(self):
        """Its own memory never reaches swap space or a core file, and it cannot read that of other processes."""
        self.assertEqual(["0"], self.values("cygnetd.service", "MemorySwapMax"))
        self.assertEqual(["0"], self.values("cygnetd.service", "LimitCORE"))
        words = self.values("cygnetd.service", "SystemCallFilter")
        self.assertEqual(["@system-service", "~process_vm_readv", "process_vm_writev"], words)

    def test_the_page_has_the_one_capability_that_its_reader_needs(self):
        self.assertEqual(["cygnet-web"], self.values("cygnet-web.service", "User"))
        for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
            self.assertEqual(["CAP_NET_ADMIN"], self.values("cygnet-web.service", key))
        self.assertEqual(["yes"], self.values("cygnet-web.service", "NoNewPrivileges"))

    def test_it_is_nobody_else(self):
        self.assertEqual(["cygnet"], self.values("cygnetd.service", "User"))
        held = self.values("cygnetd.service", "AmbientCapabilities")
        self.assertEqual(held, self.values("cygnetd.service", "CapabilityBoundingSet"))
        self.assertEqual({"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_AUDIT_WRITE"}, set(held))
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../systemd/sysusers.conf"),
                  encoding="utf-8") as f:
            self.assertRegex(f.read(), r"(?m)^u cygnet ")

    def test_a_reload_is_answered(self):
        self.assertRegex(" ".join(self.values("cygnetd.service", "ExecReload")), "/cygnet reload$")

    def test_exposure_is_low(self):
        result = self.analyze("security", "--offline=yes", "--no-pager", "--threshold=35",
                              self.unit("cygnetd.service"))
        self.assertEqual(result.returncode, 0, result.stdout[-2000:])


    def test_the_early_unit_is_understood(self):
        with open(os.path.join(self.folder, "cygnet-fence.service"), encoding="utf-8") as f:
            text = re.sub(r"^(Exec\w+=)\S+", r"\g<1>/bin/true", f.read(), flags=re.M)
        path = os.path.join(self.workdir, "cygnet-fence.service")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        result = self.analyze("verify", "--man=no", path)
        self.assertNotRegex(result.stderr, "cygnet-fence.service:\\d+")
        self.assertEqual(result.returncode, 0, result.stderr)
        before = self.values("cygnet-fence.service", "Before")
        self.assertIn("network-pre.target", before)
        self.assertIn("nftables.service", self.values("cygnet-fence.service", "After"))
        self.assertEqual(["cygnet-fence.service"], self.values("cygnetd.service", "Also"))
        self.assertEqual(["0"], self.values("cygnetd.service", "StartLimitIntervalSec"))


class Howto:
    """Follows `page` on both hosts and then checks traffic."""

    page = ""
    service = ""
    package = ""
    programs = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        missing = [p for p in cls.programs if not os.path.exists(p)]
        if missing:
            raise unittest.SkipTest(f"no {', '.join(missing)}")
        if reason := unitkit.why_not():
            raise unittest.SkipTest(reason)
        cls.hosts = [cls.own(unitkit.ServiceHost(name, cls.workdir, cls.package))
                     for name in ("west", "east")]
        labkit.connect(*cls.hosts)
        for host, inner, variables in zip(cls.hosts, INNER, VARIABLES):
            unitkit.follow(host, cls.page, variables, os.environ["CYGNET_BUILD"])
            host.ns.ip(f"addr add {inner}/32 dev lo")

    def sas(self, host):
        return json.loads(host.shell("cygnet -j sa"))

    def ping(self):
        """The first packets negotiate; they may be lost."""
        west = self.hosts[0]
        return "1 received" in west.shell(f"ping -n -c 1 -W 1 -I {INNER[0]} {INNER[1]}", check=False)

    def check_traffic(self, seconds=30, after=lambda: None):
        """Pings pass within that time after `after()`; from its start on, none leaves in clear."""
        west, east = self.hosts
        path = os.path.join(self.workdir, "wire.pcap")
        wire = suite.start_capture(west.ns, "wire0", path)
        tries = west.ns.popen(["ping", "-n", "-i", "0.05", "-I", INNER[0], INNER[1]],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after()
        self.wait_for(self.ping, "a ping through the tunnel", seconds)
        labkit.end(tries)
        sent = west.shell(f"ping -n -c 5 -i 0.1 -W 2 -I {INNER[0]} {INNER[1]}")
        self.assertIn(" 5 received", sent)
        suite.end_capture(wire, path)
        text = subprocess.run(labkit.tcpdump_command(path), capture_output=True, text=True,
                              check=False).stdout
        self.assertIn("ESP", text)
        self.assertNotIn("ICMP echo", text)
        for host in (west, east):
            halves = [half for sa in self.sas(host) for half in sa["placements"]]
            self.assertEqual({half["direction"] for half in halves}, {"in", "out"}, host.name)
            self.assertEqual({half["device"] for half in halves}, {"nic0"}, host.name)

    def test_1_traffic_is_protected(self):
        self.check_traffic()

    def test_2_the_ike_daemon_is_restarted(self):
        self.check_traffic(60, lambda: self.hosts[0].shell(f"systemctl restart {self.service}"))

    def test_3_cygnetd_is_restarted(self):
        west = self.hosts[0]
        self.check_traffic(60, lambda: west.shell("systemctl restart cygnetd"))

    def test_5_the_machine_is_restarted(self):
        """The NIC is late, and the distribution gives it its former addresses."""
        west, east = self.hosts
        drawer = self.own(labkit.Namespace("drawer"))
        west.shell("systemctl stop cygnetd")  # nothing else removes the TAP during the search
        west.ns.ip(f"link set wire0 netns {drawer.holder.pid}")
        west.boot()
        self.wait_for(lambda: "waiting for wire0" in west.logs(), "cygnetd to wait", 20)
        path = os.path.join(self.workdir, "boot.pcap")
        far = suite.start_capture(east.ns, "wire0", path)
        drawer.ip(f"link set wire0 netns {west.ns.holder.pid}")
        west.ns.ip("link set wire0 up")
        west.ns.ip(f"addr add {VARIABLES[0]['LOCAL']}/24 dev wire0")
        west.ns.ip(f"route add {VARIABLES[0]['PEER_NET']} via {VARIABLES[0]['PEER']} dev wire0",
                   check=False)
        west.shell(f"ping -n -c 3 -i 0.2 -W 1 -I {INNER[0]} {INNER[1]}", check=False)
        self.wait_for(lambda: "wire0 still has addresses" in west.logs(), "cygnetd to say so", 20)
        west.shell(f"ping -n -c 3 -i 0.2 -W 1 -I {INNER[0]} {INNER[1]}", check=False)
        west.ns.ip("addr flush dev wire0")
        self.wait_for(lambda: west.shell("cygnet -j dev", check=False), "cygnetd to serve", 30)
        west.networkd("wire0")
        west.networkd("nic0")
        self.wait_for(self.ping, "a ping through the tunnel", 60)
        suite.end_capture(far, path)
        text = subprocess.run(labkit.tcpdump_command(path), capture_output=True, text=True,
                              check=False).stdout
        self.assertIn("ESP", text)
        self.assertNotIn("ICMP echo", text)

    def test_4_without_the_shim_the_daemon_does_not_run(self):
        """The loader only warns about a library that it cannot read."""
        west = self.hosts[0]
        folder = f"/etc/systemd/system/{self.service}.service.d"
        west.shell("printf '[Service]\\nEnvironment=LD_PRELOAD=/nowhere/libcygnet_xfrm.so\\n' "
                   f"> {folder}/zz.conf")
        west.shell(f"systemctl restart {self.service}", check=False)
        self.assertIn(": inactive", west.shell(f"systemctl status {self.service}"))
        west.shell(f"rm {folder}/zz.conf")
        self.check_traffic(60, lambda: west.shell(f"systemctl restart {self.service}"))


class StrongSwan(Howto, suite.Case):
    page = "strongswan.md"
    service = "strongswan"
    programs = ("/usr/sbin/charon-systemd", "/usr/sbin/swanctl")


class Libreswan(Howto, suite.Case):
    """Debian's package as a layer over the file system, as it conflicts with strongSwan's."""

    page = "libreswan.md"
    service = "ipsec"
    package = ikekit.LIBRESWAN
    programs = (f"{ikekit.LIBRESWAN}/usr/libexec/ipsec/pluto",)


class ByHand(suite.Case):
    """The README's "Use it by hand", on two machines that had the wire's addresses before."""

    page = "../README.md"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hosts = [cls.make_host(name) for name in ("west", "east")]
        labkit.connect(*cls.hosts)
        keys = ["0x" + os.urandom(20).hex() for _ in range(2)]
        for host, inverse, variables in zip(cls.hosts, (1, -1), VARIABLES):
            host.ns.ip(f"addr add {variables['LOCAL']}/24 dev wire0")
            cls.follow(host, {**variables, "KEY_OUT": keys[::inverse][0], "KEY_IN": keys[::inverse][1]})

    @classmethod
    def programs(cls, host):
        """A folder with `cygnet` and `cygnetd`; the daemon prints its name and ends with its shell."""
        folder = os.path.join(cls.workdir, host.name)
        os.makedirs(folder)
        os.symlink(os.path.abspath(host.cygnet.command), os.path.join(folder, "cygnet"))
        with open(os.path.join(folder, "cygnetd"), "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\necho $$ > {folder}/pid\nexec setpriv --pdeathsig KILL '
                    f'{os.path.abspath(host.cygnet.daemon)} "$@"\n')
        os.chmod(os.path.join(folder, "cygnetd"), 0o755)
        return folder

    @classmethod
    def follow(cls, host, variables):
        folder = cls.programs(host)
        block, = unitkit.commands_of(cls.page)
        with open(host.log_path, "w", encoding="utf-8") as log:
            host.shell = host.ns.popen(["sh", "-e", "-c", block + "\necho followed\nwait"], stdout=log, stderr=log,
                                       env={**os.environ, **variables,
                                            "PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"})
        cls.addClassCleanup(cls.end, host, folder)
        labkit.wait_for(lambda: "followed" in host.log() or host.shell.poll() is not None, 20 * suite.SLOWNESS,
                        f"{host.name} to follow")
        if host.shell.poll() is not None:
            raise AssertionError(host.log())

    @staticmethod
    def end(host, folder):
        with open(os.path.join(folder, "pid"), encoding="ascii") as f:
            os.kill(int(f.read()), signal.SIGTERM)
        host.shell.wait(20)

    def test_what_the_two_say_is_protected(self):
        west = self.hosts[0]
        path = os.path.join(self.workdir, "wire.pcap")
        wire = suite.start_capture(west.ns, "wire0", path)
        for host, variables in zip(self.hosts, VARIABLES):
            sent = host.ns.run(f"ping -n -c 3 -i 0.1 -W 2 {variables['PEER']}").stdout
            self.assertIn(" 3 received", sent)
        def last_two():  # SPI and number of the last packet each way
            with open(path, "rb") as f:
                return f.read().count(bytes.fromhex("00001001" "00000006")) == 2
        labkit.wait_for(last_two, 5 * suite.SLOWNESS, "the capture of the last packets")
        suite.end_capture(wire, path)
        text = subprocess.run(labkit.tcpdump_command(path), capture_output=True, text=True, check=False).stdout
        self.assertEqual(text.count("ESP(spi=0x00001001"), 12, text)
        self.assertEqual([line for line in text.splitlines() if " IP " in line and "ESP" not in line], [])
        for host in self.hosts:
            halves = [half for sa in host.show("sa") for half in sa["placements"]]
            self.assertEqual({(half["direction"], half["device"]) for half in halves},
                             {("in", "nic0"), ("out", "nic0")}, host.name)
            self.assertNotIn("wire0", host.ns.ip("-o -4 addr").stdout)


if __name__ == "__main__":
    suite.main()
