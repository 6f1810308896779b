#!/usr/bin/python3
"""Interfaces of kind xfrm that programs make under the preload shim: Debian's ip and strongSwan's
xfrmi, and what each of their requests answers."""

import json
import os
import re
import signal
import unittest

import labkit
import suite
from labkit import Namespace

XFRMI = "/usr/lib/ipsec/xfrmi"


class LinkCase(suite.Case):
    """Tunnel interfaces only as clients make them, but for one of the configuration."""

    @classmethod
    def config(cls, host):
        path = os.path.join(cls.workdir, f"{host.name}.restart")
        return (f'[daemon]\nrestart_file = "{path}"\n'
                '[[device]]\nname = "nic0"\nwire = "wire0"\npersist = true\n'
                '[[tunnel]]\nname = "fixed"\nif_id = 99\n')

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a = cls.make_host("a")
        cls.a.ns.ip("link add wire0 type veth peer name far")
        for end in ("wire0", "far"):
            cls.a.ns.ip(f"link set {end} up")
        cls.a.start(config=cls.config(cls.a))
        cls.a.ns.ip("addr add 192.0.2.1/24 dev nic0")

    def tearDown(self):
        for tunnel in self.tunnels():
            if "made_by" in tunnel:
                self.link(f"del {tunnel['name']}")

    def under_shim(self, argv, host=None, check=True, timeout=60):
        host = host or self.a
        return host.ns.run([host.cygnet.command, "exec", "--", *argv], check=check, timeout=timeout)

    def with_shim_only(self, argv, host=None, check=True):
        """As in a program that runs while there is no daemon: `cygnet exec` would not start it."""
        shim = os.path.join(os.environ["CYGNET_BUILD"], "src/shim/libcygnet_xfrm.so")
        return (host or self.a).ns.run(["env", f"LD_PRELOAD={os.path.abspath(shim)}", *argv], check=check)

    def link(self, words, host=None, check=True, options=()):
        return self.under_shim(["ip", *options, "link", *words.split()], host, check)

    def tunnels(self, host=None):
        return (host or self.a).show("tunnel")

    def tunnel(self, name, host=None):
        return next((t for t in self.tunnels(host) if t["name"] == name), None)

    def exists(self, name, host=None):
        return (host or self.a).ns.run(["ip", "link", "show", name], check=False).returncode == 0

    def refused(self, words, text):
        answer = self.link(words, check=False)
        self.assertNotEqual(answer.returncode, 0, words)
        self.assertIn(text, answer.stderr, words)


class Requests(LinkCase):
    def test_made_shown_and_deleted(self):
        self.link("add ipsec1 type xfrm dev nic0 if_id 1")
        made = self.tunnel("ipsec1")
        self.assertEqual((made["if_id"], made["device"]), (1, "nic0"))
        self.assertRegex(made["made_by"], r"^ip\[\d+\]$")
        self.assertIn("made by ip[", self.a.text("tunnel"))
        shown = json.loads(self.link("show ipsec1", options=("-d", "-j")).stdout)[0]
        info = shown["linkinfo"]
        self.assertEqual((info["info_kind"], info["info_data"]["if_id"], shown["link"]),
                         ("xfrm", "0x1", "nic0"))
        self.assertNotIn("UP", shown["flags"])  # as the kernel's
        listed = self.link("show type xfrm", options=("-o",)).stdout
        self.assertEqual(sorted(re.findall(r"^\d+: (\w+)@nic0", listed, re.M)), ["fixed", "ipsec1"])
        self.assertIn("tun", self.a.ns.run(["ip", "-d", "link", "show", "ipsec1"]).stdout)
        self.link("set ipsec1 up")
        self.assertIn("UP", self.a.ns.ip("link show ipsec1").stdout)
        self.link("del ipsec1")
        self.assertIsNone(self.tunnel("ipsec1"))
        self.assertFalse(self.exists("ipsec1"))

    def test_forms_of_a_request(self):
        self.link("add t1 mtu 1380 up type xfrm dev nic0 if_id 0x2a")
        self.assertEqual((self.tunnel("t1")["if_id"], self.tunnel("t1")["mtu"]), (42, 1380))
        shown = self.a.ns.ip("link show t1").stdout
        self.assertIn("mtu 1380", shown)
        self.assertIn("UP", shown)
        self.link("add type xfrm dev nic0 if_id 2")  # the name is for the other side to choose
        self.assertEqual(self.tunnel("xfrm0")["if_id"], 2)
        self.link("add t3 type xfrm if_id 3")
        self.link("add t4 type xfrm dev lo if_id 4")  # as libreswan probes
        self.assertEqual([self.tunnel(n)["device"] for n in ("t3", "t4")], ["", ""])
        self.a.ns.ip("link add br5 type bridge")  # over nic0
        self.a.ns.ip("link set nic0 master br5")
        try:
            self.link("add t5 type xfrm dev br5 if_id 5")
            self.assertEqual(self.tunnel("t5")["device"], "nic0")
        finally:
            self.a.ns.ip("link del br5")
        self.link("set t1 mtu 1300")
        self.assertIn("mtu 1300", self.a.ns.ip("link show t1").stdout)
        self.link("add t1 type xfrm dev nic0 if_id 42", check=False)
        self.link("change t1 type xfrm dev nic0 if_id 42")  # changes nothing

    def test_refusals_say_why(self):
        self.link("add t1 type xfrm dev nic0 if_id 1")
        for words, text in (
                ("add t1 type xfrm dev nic0 if_id 2", "t1 exists, with if_id 1"),
                ("add t2 type xfrm dev nic0 if_id 1", "t1 has if_id 1"),
                ("add t2 type xfrm dev nic0 if_id 99", "fixed has if_id 99"),
                ("add nic0 type xfrm if_id 2", "nic0 is an interface of another kind"),
                ("add t2 type xfrm external", "external is not supported"),
                ("add t2 type xfrm dev wire0 if_id 2", "dev wire0 is not the host side"),
                ("add t2 mtu 90000 type xfrm dev nic0 if_id 2", ""),
                ("add t2 netns 1 type xfrm dev nic0 if_id 2", "cygnetd's network namespace"),
                ("change t1 type xfrm dev nic0 if_id 7", "cannot be changed"),
                ("add v1 type vti local 192.0.2.1 remote 192.0.2.2 key 5", "Kind vti is not supported"),
                ("del fixed", "fixed is a [[tunnel]]")):
            with self.subTest(words):
                self.refused(words, text)
        self.assertEqual([t["name"] for t in self.tunnels()], ["fixed", "t1"])
        self.assertFalse(self.exists("t2"))

    def test_what_concerns_no_tunnel_is_the_kernels(self):
        """Byte for byte: the same answers with and without the shim."""
        for words in ("link add br7 type bridge", "-d -o link show br7", "link set br7 mtu 1400",
                      "-j link show nosuch", "link del br7", "link del br7", "-o addr show lo",
                      "route add 10.99.0.0/16 dev nosuch", "link add x type nosuchkind"):
            plain = words.replace("br7", "br8")
            with_shim = self.under_shim(["ip", *words.split()], check=False)
            without = self.a.ns.run(["ip", *plain.split()], check=False)

            def form(answer):
                text = re.sub(r"br[78]|^\d+:|(link/ether|permaddr|bridge_id|designated_root) \S+|"
                              r"gc_timer +\S+", "", answer.stdout + answer.stderr)
                return answer.returncode, text
            self.assertEqual(form(with_shim), form(without), words)

    def test_no_daemon_no_interface(self):
        lonely = self.make_host("c")
        self.addCleanup(suite.close_host, lonely)
        lonely.ns.ip("link set lo up")
        answer = self.with_shim_only("ip link add ipsec1 type xfrm dev lo if_id 1".split(), lonely, check=False)
        self.assertIn("no cygnetd in this network namespace", answer.stderr)
        self.assertFalse(self.exists("ipsec1", lonely))

    def test_strongswans_tool(self):
        if not os.path.exists(XFRMI):
            self.skipTest(f"no {XFRMI}")
        self.under_shim([XFRMI, "--name", "x9", "--id", "9", "--dev", "nic0"])
        self.assertEqual(self.tunnel("x9")["if_id"], 9)
        listed = self.under_shim([XFRMI, "--list"]).stdout
        self.assertRegex(listed, r"x9.*nic0.*0x0*9")

    def test_an_interface_deleted_by_others_is_forgotten(self):
        self.link("add t1 type xfrm dev nic0 if_id 1")
        self.a.ns.ip("link del t1")
        self.link("add t1 type xfrm dev nic0 if_id 1")  # at once
        self.a.ns.ip("link del t1")
        self.wait_for(lambda: self.tunnel("t1") is None, "the tunnel to go")

    def test_one_deleted_elsewhere_is_forgotten_when_it_is_in_the_way(self):
        """In another network namespace, whose events cygnetd does not get."""
        other = Namespace("other")
        self.addCleanup(other.close)
        for again in ("t1", "t2"):  # the name, and the if_id, are free again
            self.link("add t1 type xfrm dev nic0 if_id 1")
            self.a.ns.ip(f"link set t1 netns {other.holder.pid}")
            self.refused(f"add {again} type xfrm dev nic0 if_id 1", "t1")  # it works there
            other.ip("link del t1")
            self.link(f"add {again} type xfrm dev nic0 if_id 1")
            self.link(f"del {again}")
            self.assertEqual([t["name"] for t in self.tunnels()], ["fixed"])

    def test_a_new_one_is_down_until_it_has_its_mark(self):
        """Programs that watch never see it up before they can know it, and it sends nothing by itself."""
        path = os.path.join(self.workdir, "seen")
        with open(path, "w", encoding="utf-8") as f:
            watch = self.a.ns.popen([self.a.cygnet.command, "exec", "--", "ip", "-d", "-o", "monitor", "link"], stdout=f)

        def seen():
            with open(path, encoding="utf-8") as f:
                return [line for line in f if " t1" in line or " end" in line]
        self.wait_for(lambda: self.a.ns.ip("link set lo alias end") and seen(), "the first event")
        for up in ("", "up "):
            self.link(f"add t1 {up}type xfrm dev nic0 if_id 1")
            self.link("del t1")
        self.wait_for(lambda: len([line for line in seen() if line.startswith("Deleted")]) == 2, "the last event")
        labkit.end(watch)
        up = [line for line in seen() if " t1" in line and ",UP" in line]
        self.assertTrue(up)
        for line in up:
            self.assertIn("xfrm if_id 0x1", line)


class Gone(LinkCase):
    """An interface ends, and the host's packets for it take another way."""

    def setUp(self):
        self.a.ns.ip("addr add 10.9.0.9/32 dev lo", check=False)
        self.a.ns.ip("route replace default via 192.0.2.2 dev nic0")

    def policy(self, if_id):
        self.a.xfrm(f"policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out if_id {if_id} "
                    "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 1 mode tunnel")
        self.addCleanup(self.a.xfrm, f"policy delete src 10.9.0.0/16 dst 10.8.0.0/16 dir out if_id {if_id}")

    def assert_blocks(self, if_id, name):
        self.wait_for(lambda: next(p for p in self.a.show("policy") if p["if_id"] == if_id).get("unmet"),
                      "the policy to block")
        self.assertIsNone(self.tunnel(name))
        self.assertIn(f"tunnel {name}: its interface was deleted", self.a.log())
        why = self.a.ns.run([self.a.cygnet.command, "why", "10.8.0.1", "src", "10.9.0.9"], check=False)
        self.assertEqual(why.returncode, 3, why.stdout)
        self.assertIn("block", why.stdout)

    def test_one_that_ends_with_its_namespace(self):
        other = Namespace("other")
        self.link("add t1 type xfrm dev nic0 if_id 1")
        self.policy(1)
        self.a.ns.ip(f"link set t1 netns {other.holder.pid}")
        self.assertIsNotNone(self.tunnel("t1"), "it works there")
        other.close()
        self.assert_blocks(1, "t1")

    def test_the_one_of_the_configuration(self):
        self.policy(99)
        self.a.ns.ip("link del fixed")
        self.assert_blocks(99, "fixed")
        self.assertIn("start cygnetd again to have it back", self.a.log())


class Restarts(LinkCase):
    """Interfaces of clients outlive the daemon, with addresses and routes."""

    def restart(self, how):
        self.a.daemon.send_signal(how)
        self.a.daemon.wait(20)
        self.a.start(config=self.config(self.a))

    def test_interfaces_outlive_the_daemon(self):
        self.link("add up1 mtu 1310 up type xfrm dev nic0 if_id 1")
        self.link("add down2 type xfrm if_id 2")
        self.a.ns.ip("addr add 10.7.0.1/24 dev up1")
        self.a.ns.ip("route add 10.8.0.0/16 dev up1")
        before = self.tunnels()
        for how in (signal.SIGTERM, signal.SIGKILL):
            self.restart(how)
            after = self.tunnels()
            keys = ("name", "if_id", "device", "made_by", "mtu")
            self.assertEqual([[t.get(k) for k in keys] for t in sorted(after, key=lambda t: t["name"])],
                             [[t.get(k) for k in keys] for t in sorted(before, key=lambda t: t["name"])])
            self.assertIn("10.7.0.1/24", self.a.ns.ip("addr show up1").stdout)
            self.assertIn("dev up1", self.a.ns.ip("route get 10.8.1.1").stdout)
            self.assertIn("mtu 1310", self.a.ns.ip("link show up1").stdout)
            self.assertNotIn(",UP", self.a.ns.ip("link show down2").stdout)
        # A policy with its id is taken, so the interface is one that works.
        self.a.xfrm("policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out if_id 1 tmpl src 192.0.2.1 dst "
                    "192.0.2.2 proto esp mode tunnel")
        self.a.xfrm("policy delete src 10.9.0.0/16 dst 10.8.0.0/16 dir out if_id 1")

    def test_what_ended_with_the_daemon_is_gone(self):
        """Deleted while no daemon was there, by a program that would have asked it."""
        self.link("add t1 type xfrm dev nic0 if_id 1")
        self.a.daemon.send_signal(signal.SIGTERM)
        self.a.daemon.wait(20)
        self.with_shim_only("ip link del t1".split())
        self.assertFalse(self.exists("t1"))
        self.restart(signal.SIGTERM)
        self.assertEqual([t["name"] for t in self.tunnels()], ["fixed"])


class Datagrams(LinkCase):
    """What a client that is not ip may send: several messages in a datagram, buffers in pieces."""

    CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "linkclient.py")

    def client(self, *words):
        return json.loads(self.under_shim(["python3", self.CLIENT, *words]).stdout)

    def test_a_batch_is_answered_in_order(self):
        # add t1, get lo, add t1 again, delete t1: one datagram in three buffers.
        answers = self.client("batch")
        self.assertEqual(answers, [[1, 0, ""], [2, "lo"], [3, -17, "t1 exists, with if_id 1"], [4, 0, ""]])

    def test_sizes_asked_for_stay_true(self):
        self.link("add t1 type xfrm dev nic0 if_id 1")
        peeked = self.client("peek", "t1")
        self.assertEqual(peeked["size"], peeked["received"])
        self.assertTrue(peeked["xfrm"])

    def test_without_extended_answers(self):
        self.link("add t1 type xfrm dev nic0 if_id 1")
        for option in ("plain", "capped"):
            self.assertEqual(self.client("refused", option), [7, -17])

    def test_what_ip_never_sends(self):
        answers = self.client("odd")
        for case, error, text in (("no id", -22, "if_id must be non zero"),
                                  ("id 0", -22, "if_id must be non zero"),
                                  ("short id", -34, "IFLA_XFRM_IF_ID is too short"),
                                  ("pattern", -22, "is not a name of an interface"),
                                  ("not shown", -22, '"t_[31m_" is not a name of an interface'),
                                  ("no such dev", -19, "dev does not exist"),
                                  ("index", -95, "index of a tunnel interface cannot be chosen"),
                                  ("alias", -95, "alias of a tunnel interface"),
                                  ("no create", -19, "")):
            with self.subTest(case):
                seq, got, said = answers[case]
                self.assertEqual((seq, got), (5, error))
                self.assertIn(text, said)
        self.assertEqual([t["name"] for t in self.tunnels()], ["fixed"])

    def test_poll_and_threads(self):
        done = [[[1, 0, ""]], [[2, 0, ""]]]
        self.assertEqual(self.client("threads"), [[n, *done] for n in range(1, 7)])


class Many(LinkCase):
    @classmethod
    def setUpClass(cls):
        if "CYGNET_MANY_TUNNELS" not in os.environ:
            raise unittest.SkipTest("a minute: with the long tests")
        super().setUpClass()

    def tearDown(self):
        """They end with their namespace."""

    def test_clients_cannot_have_any_number(self):
        client = ["python3", Datagrams.CLIENT, "many", "1001"]
        made, last = json.loads(self.under_shim(client, timeout=800).stdout)
        self.assertEqual(made, 1000)
        self.assertEqual(last[1], -28)
        self.assertIn("Clients have 1000 tunnel interfaces", last[2])
        self.link("del m1")
        self.link("add m1001 type xfrm if_id 11001")


if __name__ == "__main__":
    suite.main()
