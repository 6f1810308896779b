#!/usr/bin/python3
"""Follows doc/ci_card.md: Cygnet as the offload card of another project's CI."""

import os
import re
import unittest

import suite
import unitkit

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def _read(path):
    with open(os.path.join(_ROOT, path), encoding="utf-8") as f:
        return f.read()


def script():
    """The page's card.sh."""
    text, = re.findall(r"^<!-- file card.sh -->\n```\n(.*?)^```$", _read("doc/ci_card.md"), re.M | re.S)
    return text


class Page(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if why := unitkit.why_not():
            raise unittest.SkipTest(why)
        cls.host = unitkit.ServiceHost("ci", cls.workdir)
        cls.addClassCleanup(cls.host.close)
        install, cls.run_it = unitkit.commands_of("ci_card.md")
        cls.host.shell(install.replace("build/release", os.path.abspath(os.environ["CYGNET_BUILD"])))
        cls.host.shell("cat > /root/card.sh <<'END_OF_SCRIPT'\n" + script() + "END_OF_SCRIPT\n")

    def follow(self, variables=None, check=True):
        return self.host.shell("cd /root && " + self.run_it, variables, check=check)

    def test_the_script_is_short(self):
        self.assertLessEqual(len([line for line in script().splitlines() if not line.startswith(" ")]), 11)

    def test_the_card_takes_the_sa_and_loses_it(self):
        said = self.follow()
        self.assertIn("crypto offload, device nic0 (simulated)", said)
        self.assertIn("device-removed", said)

    def test_a_test_that_fails_fails_the_script(self):
        self.assertNotIn("placement", self.follow({"YOUR_TEST": "false"}, check=False))
        # One that programs nothing leaves no SA on the card.
        self.assertNotIn("device-removed", self.follow({"YOUR_TEST": "true"}, check=False))

    def test_the_features_are_those_of_a_card(self):
        said = self.follow({"YOUR_TEST": "ethtool -k nic0"}, check=False)
        self.assertRegex(said, r"(?m)^esp-hw-offload: on")

    def test_the_faults_of_the_table_exist(self):
        forms = self.host.shell("cygnet help sim && cygnetd --keys")
        faults = re.findall(r"`(?:cygnet sim dev nic0 )?([a-z-]+)(?: [A-Z0-9]+)*`",
                            "\n".join(line for line in _read("doc/ci_card.md").splitlines()
                                      if re.match(r"\| (a full|a reset|packets that)", line)))
        self.assertGreaterEqual(len(faults), 8)
        man = _read("doc/man/cygnet.8.scd")
        for fault in faults:
            self.assertIn(f"*{fault}", man, fault)
        self.assertIn("sim [dev] NAME", forms)


if __name__ == "__main__":
    suite.main()
