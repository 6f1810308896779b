#!/usr/bin/python3
"""The self-test of a device: what it does wrongly is withdrawn, before an SA goes there and after a
reset, and everything else goes on."""

import errno
import os
import re
import struct
import subprocess

import suite
import xfrmclient as nl
from rawwire import Peer
from test_placement import HOST, PEER, Placement

TUNNEL, PACKET = 1, 4


class SelfTest(Placement):
    devices = [{"offload": "crypto"}]

    @classmethod
    def make_host(cls):
        host = super().make_host()
        cls.daemon_keys = f'[ledger]\nfile = "{cls.workdir}/{host.name}.jsonl"'
        return host

    def tearDown(self):
        super().tearDown()
        self.fault("lie none")
        self.reset()

    def report(self):
        return self.host.show("dev")[0]["self_test"]

    def fault(self, text):
        self.host.text("sim", "dev", "nic0", *text.split())

    def reset(self):
        """Resets the card; returns when its self-test has run since."""
        before = self.host.show("dev")[0]["offload"]["resets"]
        self.fault("reset 20")
        self.wait_for(lambda: self.host.show("dev")[0]["offload"]["resets"] > before
                      and self.host.show("dev")[0]["offload"]["up"], "the card is back")

    def evidence(self):
        return subprocess.run(["tshark", "-r", self.report()["evidence"], "-T", "fields", "-e",
                               "frame.interface_name", "-e", "frame.comment"],
                              check=True, capture_output=True, text=True).stdout

    def where(self, spi):
        for sa in self.host.show("sa"):
            if int(sa["spi"], 16) == spi:
                half = sa["placements"][0]
                return half["effective"], half["reason"]
        return None

    def test_withdraws_what_the_device_does_wrongly(self):
        self.assertTrue(self.report()["ran"])
        self.assertEqual(self.report()["withdrawn"], [])
        self.add(0x1001, extra="flag esn")
        self.add(0x1002)
        self.assertEqual(self.where(0x1001), ("crypto", "requested"))

        self.fault("lie esn")
        self.reset()
        self.wait_for(lambda: self.where(0x1001) == ("software", "withdrawn:esn"), "the SA moved")
        self.wait_for(lambda: self.where(0x1002) == ("crypto", "returned"), "the other one is back")
        withdrawn = self.report()["withdrawn"]
        self.assertEqual([w["capability"] for w in withdrawn], ["esn"])
        self.assertEqual(self.report()["evidence"], f"{self.workdir}/evidence-nic0.pcapng")
        self.assertIn("nic0-device\tself-test of nic0: withdrawn:esn: ", self.evidence())
        self.assertFalse(self.host.show("dev")[0]["offload"]["capabilities"]["esn"])

        text = self.host.text("dev", "nic0")
        self.assertIn("self-test FAILED", text)
        self.assertIn("withdrawn:esn: ", text)
        self.assertIn("cygnet_device_capabilities_withdrawn{device=\"nic0\"} 1",
                      self.host.text("metrics"))

        # An honest card gets the SA back.
        self.fault("lie none")
        self.reset()
        self.wait_for(lambda: self.where(0x1001) == ("crypto", "returned"), "the SA is back")
        self.assertIn("self-test passed", self.host.text("dev", "nic0"))

    def test_packet_offload_fails_with_the_reason(self):
        self.fault("lie tunnel")
        self.reset()
        client = self.own(nl.Client(self.host.ns, [self.host.cygnet.command, "exec", "--"]))
        offload = struct.pack("=iB3x", self.host.show("dev")[0]["ifindex"], PACKET)
        body = nl.sa_info(src=HOST, dst=PEER, spi=0x1003, mode=TUNNEL)
        body += nl.attr("ALG_AEAD", nl.aead(b"k" * 20, 128)) + nl.attr("OFFLOAD_DEV", offload)
        reply = client.ask(client.open(), nl.message("NEWSA", body))
        number, text = reply[0][3][:2]
        self.assertEqual(number, errno.EOPNOTSUPP)
        self.assertIn("packet offload: withdrawn:tunnel", text)


    def offered(self):
        """What `ethtool -k` shows of ESP, with the shim."""
        text = self.host.ns.run([self.host.cygnet.command, "exec", "--", "ethtool", "-k", "nic0"]).stdout
        return "esp-hw-offload: on [fixed]" in text

    def test_what_is_withdrawn_is_not_offered(self):
        self.assertTrue(self.offered())
        self.fault("lie rfc4106(gcm(aes))")
        self.reset()
        self.wait_for(lambda: not self.offered(), "nothing is offered")
        for mode in ("packet", "required"):
            self.assertIn("the self-test of the device has withdrawn rfc4106(gcm(aes))", self.reload(mode))
        self.fault("lie none")
        self.fault("lie packet-offload")
        self.reset()
        self.wait_for(self.offered, "crypto offload is left")
        self.assertIn("withdrawn packet-offload (withdrawn:packet-offload)", self.reload("packet"))
        self.assertEqual(self.host.show("dev")[0]["offload"]["mode"], "crypto")
        self.assertIn("applied: device nic0.offload", self.reload("required"))
        self.assertEqual(self.host.show("dev")[0]["offload"]["mode"], "required")
        self.reload("crypto")

    def reload(self, mode):
        """What `cygnet reload` prints with this mode of the device."""
        path = os.path.join(self.host.workdir, f"{self.host.name}.toml")
        with open(path, encoding="utf-8") as f:
            text = re.sub('offload = "[a-z]+"', f'offload = "{mode}"', f.read())
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        result = self.host.ns.run([self.host.cygnet.command, "reload"], check=False)
        return result.stdout + result.stderr


class AtTheStart(suite.Case):
    """A device that does packet offload wrongly from the start."""

    def test_packet_offload_that_is_withdrawn_is_refused(self):
        host = self.make_host()
        self.own(Peer(host))
        lies, config = (os.path.join(host.workdir, name) for name in ("lies.toml", "cygnetd.toml"))
        with open(lies, "w", encoding="utf-8") as f:
            f.write('[[fault]]\nat = "0ms"\ndo = "lie packet-offload"\n')
        with open(config, "w", encoding="utf-8") as f:
            f.write('[[device]]\nname = "nic0"\nwire = "wire0"\noffload = "packet"\n'
                    f'fault_script = "{lies}"\n')
        result = host.ns.run([host.cygnet.daemon, "--config", config], check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn('offload = "packet": the self-test of the device has withdrawn packet-offload '
                      "(withdrawn:packet-offload)", result.stderr)


if __name__ == "__main__":
    suite.main()
