#!/usr/bin/python3
"""SIGHUP and `cygnet reload` read the configuration again without losing an SA; the form of log lines in
a journal."""

import os
import re
import signal
import socket
import struct

import suite
from rawwire import inside
from test_placement import HOST, PEER, Placement

# A header of IKEv2 and nothing more: IKE_SA_INIT, by its initiator.
IKE = struct.pack(">QQBBBBII", 0x0102030405060708, 0, 0, 0x20, 34, 0x08, 0, 28)


class Reload(Placement):
    devices = [{"offload": "crypto"}]

    @classmethod
    def make_host(cls, name="host"):
        """Its log is a stream that JOURNAL_STREAM names, as under systemd."""
        host = super().make_host(name)
        with open(host.log_path, "w", encoding="utf-8"):
            status = os.stat(host.log_path)
        os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
        cls.addClassCleanup(os.environ.pop, "JOURNAL_STREAM")
        return host

    @classmethod
    def write(cls, daemon="", device="", rest=""):
        with open(os.path.join(cls.workdir, "host.toml"), "w", encoding="utf-8") as f:
            f.write(f'[daemon]\n{daemon}\n[[device]]\nname = "nic0"\nwire = "wire0"\n{device}\n{rest}\n')

    def reload(self):
        result = self.host.ns.run([self.host.cygnet.command, "reload"], check=False)
        return result.returncode, result.stdout, result.stderr

    def sent_to_log(self, act, expected):
        before = len(self.host.log())
        act()
        return self.wait_for(lambda: re.search(expected, self.host.log()[before:]), expected)

    def tearDown(self):
        self.write()
        self.reload()
        super().tearDown()

    def test_sas_and_traffic_stay_and_what_needs_a_restart_is_named(self):
        self.policies()
        out, into = self.add(0x1001), self.add(0x2001, "in")
        self.goes_out(out)
        self.write(daemon='log_level = "warning"\nworkers = 2', device="trusted = false",
                   rest='[audit]\nlinux_audit = false\n[[placement]]\nname = "r"\nreqid = 9\nmode = "no"')
        status, text, _ = self.reload()
        self.assertEqual(status, 0)
        self.assertIn("applied: audit.linux_audit daemon.log_level device nic0.trusted placement\n", text)
        self.assertIn("needs a restart of cygnetd: daemon.workers\n", text)
        self.assertNotIn("replay_window_min", text)
        self.assertEqual(self.half(0x1001), ("crypto", "software", "not-trusted"))
        self.assertEqual(self.held(), [])
        self.goes_out(out)
        self.comes_in(into)
        self.write(device="trusted = true")
        self.assertEqual(self.reload()[0], 0)
        self.assertEqual(self.half(0x1001)[1], "crypto")
        self.goes_out(out)
        self.comes_in(into)

    def test_a_rule_of_the_file_moves_its_sas(self):
        out = self.add(0x1001)
        self.policies()
        self.write(rest='[[placement]]\nname = "r"\nreqid = 1\nmode = "no"')
        self.assertEqual(self.reload()[0], 0)
        self.assertEqual(self.half(0x1001)[:2], ("no", "software"))
        self.goes_out(out)

    def test_sighup_does_the_same(self):
        self.add(0x1001)
        self.write(device="trusted = false")
        self.sent_to_log(lambda: self.host.daemon.send_signal(signal.SIGHUP),
                         r"<6>reload: applied device nic0\.trusted\n")
        self.assertEqual(self.half(0x1001)[1], "software")

    def test_a_file_with_a_fault_changes_nothing(self):
        self.add(0x1001)
        for fault, said in ((dict(daemon="log_level = 7", device="trusted = false"), "log_level"),
                            (dict(device="trusted = false\nspelt = 1"), "spelt"),
                            (dict(device="trusted = false",
                                  rest='[fips]\nmode = "on"\nboundary = "/nowhere"'), "/nowhere"),
                            (dict(device="trusted = false", rest="[["), "host.toml")):
            with self.subTest(fault):
                self.write(**fault)
                status, text, error = self.reload()
                self.assertEqual((status, text), (2, ""))
                self.assertIn(said, error)
                self.assertEqual(self.half(0x1001)[1], "crypto")
        self.sent_to_log(lambda: self.host.daemon.send_signal(signal.SIGHUP),
                         r"<3>reload: nothing was changed, the configuration is invalid: .*host\.toml")
        os.unlink(os.path.join(self.workdir, "host.toml"))
        self.assertEqual(self.reload()[0], 2)
        self.assertEqual(self.half(0x1001)[1], "crypto")

    def leaves(self, sock):
        self.peer.wire.drain()
        sock.sendto(IKE, (PEER, 500))
        return bool(self.peer.wire.frames(lambda f: f.endswith(IKE), timeout=suite.SLOWNESS))

    def test_ike_in_clear_ends_with_the_key(self):
        """A flow that was let through is decided again."""
        self.host.xfrm("policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out action block")
        with inside(self.host.ns):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.bind((HOST, 500))
            for bypass in ("true", "false", "true"):
                self.write(daemon=f"ike_bypass = {bypass}")
                self.assertEqual(self.reload()[0], 0)
                self.assertEqual(self.leaves(sock), bypass == "true")

    def test_signals_that_mean_nothing_end_nothing(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE):
            self.host.daemon.send_signal(number)
        self.assertEqual(self.host.show("dev")[0]["name"], "nic0")
        self.assertIsNone(self.host.daemon.poll())

    def test_each_line_has_a_priority_and_no_time(self):
        for line in self.host.log().splitlines():
            self.assertRegex(line, r"^<[3467]>(?!\d{4}-)")
        self.assertIn("<6>ready", self.host.log())


if __name__ == "__main__":
    suite.main()
