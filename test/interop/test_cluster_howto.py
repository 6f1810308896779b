#!/usr/bin/python3
"""Follows doc/high_availability.md to the letter: one etcd, two gateways, a group that moves and is taken over."""

import os
import re
import signal
import subprocess
import unittest

import labkit
import suite
from etcdkit import Switch, missing

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "doc", "high_availability.md")
STORE, VIP, PEER = "10.9.0.1", "192.0.2.1", "192.0.2.2"
GATEWAYS = {"gw1": 11, "gw2": 12}  # last byte of their own addresses


def commands_of(part):
    """The blocks of the page that are marked to be run there."""
    with open(PAGE, encoding="utf-8") as f:
        return "".join(re.findall(rf"^<!-- run: {part} -->\n```\n(.*?)^```$", f.read(), re.M | re.S))


class Machine:
    """A namespace with the programs of the build in its PATH."""

    def __init__(self, name, switch, address, workdir):
        self.name, self.workdir = name, workdir
        self.ns = labkit.Namespace(name)
        switch.plug(self.ns, "mgmt", name, f"{address}/24")
        self.folder = os.path.join(workdir, f"{name}-bin")
        os.makedirs(self.folder)
        cygnet = suite.cygnet()
        os.symlink(os.path.abspath(cygnet.command), f"{self.folder}/cygnet")
        for program, real in (("cygnetd", os.path.abspath(cygnet.daemon)), ("etcd", "/usr/bin/etcd")):
            with open(f"{self.folder}/{program}", "w", encoding="utf-8") as f:
                f.write(f'#!/bin/sh\necho $$ > {self.folder}/{program}.pid\n'
                        f'exec setpriv --pdeathsig KILL {real} "$@"\n')
            os.chmod(f"{self.folder}/{program}", 0o755)
        self.environment = {**os.environ, "PATH": f"{self.folder}:/usr/sbin:/usr/bin:/sbin:/bin",
                            "DIR": f"{workdir}/etc", "STORE": STORE, "NODE": name, "ADDRESS": address,
                            "VIP": VIP, "WIRE": "wire0", "PEER": PEER, "LOCAL_NET": "10.1.0.0/16",
                            "PEER_NET": "10.2.0.0/16"}
        self.log_path = f"{workdir}/{name}.log"

    def follow(self, part, **more):
        """To its end."""
        text = commands_of(part)
        if not text:
            raise AssertionError(f"the page has no part {part}")
        return self.ns.run(["sh", "-e", "-c", text], env={**self.environment, **more}).stdout

    def begin(self, part):
        """It leaves a program running, which ends with this shell."""
        with open(self.log_path, "a", encoding="utf-8") as log:
            shell = self.ns.popen(["sh", "-e", "-c", commands_of(part) + "\necho followed\nwait"],
                                  stdout=log, stderr=log, env=self.environment)
        labkit.wait_for(lambda: "followed" in self.log() or shell.poll() is not None, 20 * suite.SLOWNESS,
                        f"{self.name} to follow {part}")
        if shell.poll() is not None:
            raise AssertionError(self.log())

    def end(self, program, sig=signal.SIGTERM):
        path = f"{self.folder}/{program}.pid"
        if not os.path.exists(path):
            return
        with open(path, encoding="ascii") as f:
            pid = int(f.read())
        os.unlink(path)
        if not os.path.exists(f"/proc/{pid}"):
            return
        os.kill(pid, sig)
        labkit.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 20 * suite.SLOWNESS, f"{program} to end")

    def show(self, *words):
        return self.ns.run(["cygnet", "-j", *words], check=False, env=self.environment).stdout

    def has_vip(self):
        return f" {VIP}/" in self.ns.ip("-4 -o addr show dev nic0", check=False).stdout

    def spis(self):
        return sorted(set(re.findall(r'"spi": *"?(0x[0-9a-f]+|\d+)', self.show("sa"))))

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def close(self):
        for program in ("cygnetd", "etcd"):
            self.end(program)
        self.ns.close()


class Howto(suite.Case):
    @classmethod
    def setUpClass(cls):
        if missing():
            raise unittest.SkipTest(missing())
        super().setUpClass()
        cls.switch = cls.own(Switch("wire0", "mgmt"))
        cls.store = cls.own(Machine("store", cls.switch, STORE, cls.workdir))
        cls.store.follow("once")
        cls.store.begin("store")
        cls.nodes = [cls.own(Machine(name, cls.switch, f"10.9.0.{byte}", cls.workdir))
                     for name, byte in GATEWAYS.items()]
        for node in cls.nodes:
            cls.switch.plug(node.ns, "wire0", node.name)
            node.begin("gateway")
            labkit.wait_for(lambda node=node: node.ns.ip("link set nic0 up", check=False).returncode == 0,
                            20 * suite.SLOWNESS, f"{node.name}: nic0")
            node.ns.ip(f"addr add 192.0.2.{GATEWAYS[node.name]}/24 dev nic0")
        cls.keys = {name: "0x" + os.urandom(20).hex() for name in ("KEY_OUT", "KEY_IN")}

    def test_1_the_preferred_node_owns_it_and_its_sas_are_on_the_other(self):
        one, two = self.nodes
        self.wait_for(one.has_vip, "gw1 to own the group", 20)
        one.follow("owner", **self.keys)
        self.wait_for(lambda: len(two.spis()) == 2, "the SAs on gw2", 10)
        self.assertIn(f"src {VIP} dst {PEER}", two.follow("other"))
        self.assertFalse(two.has_vip())
        policies = two.ns.run(["cygnet", "exec", "--", "ip", "xfrm", "policy"], env=two.environment).stdout
        self.assertEqual(policies.count(f"src {VIP} dst {PEER}"), 1, policies)

    def test_2_no_key_is_in_the_store(self):
        dump = subprocess.run(["sh", "-c", f"cat {self.workdir}/etc/etcd/member/wal/* "
                               f"{self.workdir}/etc/etcd/member/snap/db"], capture_output=True, check=True).stdout
        self.assertIn(b"/cygnet/v1/paris/sa/", dump)
        for key in self.keys.values():
            self.assertNotIn(bytes.fromhex(key[2:])[:8], dump)

    def test_3_it_moves(self):
        one, two = self.nodes
        one.follow("move")
        self.wait_for(lambda: two.has_vip() and not one.has_vip(), "gw2 to have the address", 10)
        self.assertEqual(one.spis(), two.spis())

    def test_4_it_is_taken_over(self):
        one, two = self.nodes
        two.end("cygnetd", signal.SIGKILL)
        self.wait_for(one.has_vip, "gw1 to take it over", 10)
        self.assertEqual(len(one.spis()), 2)


if __name__ == "__main__":
    suite.main()
