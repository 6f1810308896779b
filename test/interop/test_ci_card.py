#!/usr/bin/python3
"""Follows doc/ci_card.md: Cygnet as the offload card of another project's CI."""

import os
import re
import subprocess
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


class Container(suite.Case):
    """What the image holds. test/long/fresh_machine.sh follows the Containerfile."""

    def test_the_runtime_packages_are_complete(self):
        last = _read("etc/Containerfile").rsplit("\nFROM ", 1)[1]
        named = set(re.findall(r"[a-z][a-z0-9.+-]+", last))
        brought = _with_dependencies(named & _packages())
        for program in (suite.cygnet().daemon, suite.cygnet().command):
            libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
            for path in re.findall(r"=> (/\S+)", libraries):
                with self.subTest(path):
                    self.assertIn(_package_of(path), brought, path)


def _package_of(path):
    for place in (os.path.realpath(path), path, "/usr" + path):
        found = subprocess.run(["dpkg", "-S", place], capture_output=True, text=True, check=False).stdout
        if found:
            return found.split(":")[0]
    return None


def _with_dependencies(names):
    """The packages, and those that they need."""
    listed = subprocess.run(
        ["apt-cache", "depends", "--recurse", "--installed", "--no-recommends", "--no-suggests", "--no-conflicts",
         "--no-breaks", "--no-replaces", "--no-enhances", *sorted(names)],
        capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(?m)^[a-z0-9][^\s:]*", listed))


def _packages():
    return set(subprocess.run(["dpkg-query", "-W", "-f", "${Package}\n"], capture_output=True, text=True,
                          check=True).stdout.split())


if __name__ == "__main__":
    suite.main()
