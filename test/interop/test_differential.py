#!/usr/bin/python3
"""The running kernel as the judge: every case of differential/ is sent to its NETLINK_XFRM and, through
the shim, to cygnetd. The replies must be equal to the last field. differential/differences.toml lists
intended differences, and features that this kernel lacks, with their reasons; an unlisted difference
fails, and so does a listed one that no longer exists.
"""

import difflib
import fnmatch
import json
import os
import re
import sys
import tomllib
import unittest

import suite
from labkit import LabError, Namespace
from rawwire import Peer, sysctl

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = os.path.join(HERE, "differential", "run.py")
LISTED = os.path.join(HERE, "differential", "differences.toml")
# Features of the kernels that the list was made with; without them there are fewer cases.
FEATURES = {"sa_dir", "sa_pcpu", "sub_policy", "migrate", "default", "spi_per_proto"}
NEWER = {"migrate_state"}  # of kernels after those


class Listed:
    """One entry of the list: which part of which transcripts may differ, and how."""

    def __init__(self, entry):
        self.cases = entry["cases"]
        self.kernel = re.compile(entry.get("kernel", ""), re.DOTALL)
        self.cygnet = re.compile(entry.get("cygnet", ""), re.DOTALL)
        self.without = entry.get("without")  # holds only where the kernel has no such feature
        self.reason = entry["reason"]
        self.used = set()  # by these cases

    def fits(self, name, kernel, cygnet):
        return (any(fnmatch.fnmatchcase(name, pattern) for pattern in self.cases)
                and self.kernel.fullmatch("\n".join(kernel)) is not None
                and self.cygnet.fullmatch("\n".join(cygnet)) is not None)


def hunks(kernel, cygnet):
    """The lines that differ, [(here, there)]."""
    matcher = difflib.SequenceMatcher(None, kernel, cygnet, autojunk=False)
    return [(kernel[a:b], cygnet[c:d]) for tag, a, b, c, d in matcher.get_opcodes()
            if tag != "equal"]


class Differential(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kernel = cls.own(Namespace("kernel"))
        cls.kernel.ip("link add nic0 type veth peer name far")
        cls.kernel.ip("link set far up")
        cls.host = cls.make_host()
        peer = cls.own(Peer(cls.host))
        cls.host.start([{}])
        for ns in (cls.kernel, cls.host.ns):
            # Only the cases' own packets may match their policies.
            sysctl(ns, "net.ipv6.conf.all.disable_ipv6", 1)
            for command in ("link set nic0 up", "addr add 192.0.2.1/24 dev nic0",
                            *(f"neigh add 192.0.2.{n} lladdr {peer.mac.hex(':')} dev nic0 nud "
                              "permanent" for n in (2, 3))):
                ns.ip(command)

    def run_cases(self, namespace, prefix, *options):
        result = namespace.run([*prefix, "/usr/bin/python3", RUN, "--slowness", str(suite.SLOWNESS),
                                *options], check=False, timeout=200 * suite.SLOWNESS)
        if result.returncode != 0:
            self.fail(f"{namespace.name}: {result.stderr[-3000:]}")
        if result.stderr:
            print(f"{namespace.name}: {result.stderr}", file=sys.stderr)
        return json.loads(result.stdout)

    def probe(self):
        """Features of this kernel; none at all without XFRM."""
        probe = self.kernel.run(["/usr/bin/python3", "-c", "import socket\n"
                                 "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)"], check=False)
        if probe.returncode != 0:
            raise unittest.SkipTest("this kernel has no NETLINK_XFRM to compare with")
        other = self.own(Namespace("probe"))  # some cases need an unused one
        return set(self.run_cases(other, [], "--features"))

    def test_answers_are_the_kernels(self):
        features = self.probe()
        lacking = (FEATURES | NEWER) - features
        options = ["--lacking", ",".join(lacking), "--only",
                   os.environ.get("CYGNET_DIFFERENTIAL", "*")]
        kernel = self.run_cases(self.kernel, [], *options)["cases"]
        answered = self.run_cases(self.host.ns, [self.host.cygnet.command, "exec", "--"], *options)
        cygnet, needs = answered["cases"], answered["needs"]
        self.assertEqual(list(cygnet), list(kernel))
        with open(LISTED, "rb") as f:
            listed = [Listed(entry) for entry in tomllib.load(f)["difference"]]
        listed = [entry for entry in listed if entry.without not in features]
        verdict = Verdict(listed, features)
        for name, lines in kernel.items():
            verdict.judge(name, lines, cygnet[name])
        verdict.report(len(needs) - len(kernel), lacking)
        self.assertFalse(verdict.unlisted, "differ without standing in differences.toml: "
                         + "\n".join(verdict.unlisted))
        if options[-1] == "*" and not lacking & FEATURES:
            stale = [f"{entry.cases}: {entry.reason}" for entry in listed if not entry.used]
            self.assertFalse(stale, "listed in differences.toml but no longer differ")


class Verdict:
    """The result of each case."""

    def __init__(self, listed, features):
        self.listed = listed
        self.features = features
        self.equal = []
        self.excused = []
        self.unjudged = []
        self.unlisted = []

    def judge(self, name, kernel, cygnet):
        if kernel == cygnet:
            self.equal.append(name)
            return
        if "esp" in self.features and name.startswith("esp."):
            # The list was made with a kernel without ESP: the answers of a kernel with it are printed,
            # for a person to check.
            self.unjudged.append(self.text(name, hunks(kernel, cygnet)))
            return
        left = []
        for here, there in hunks(kernel, cygnet):
            fitting = [entry for entry in self.listed if entry.fits(name, here, there)]
            for entry in fitting[:1]:
                entry.used.add(name)
            if not fitting:
                left.append((here, there))
        if left:
            self.unlisted.append(self.text(name, left))
        else:
            self.excused.append(name)

    @staticmethod
    def text(name, differing):
        lines = [f"\n{name}:"]
        for here, there in differing:
            lines += [f"  kernel {line}" for line in here or ["nothing"]]
            lines += [f"  cygnet {line}" for line in there or ["nothing"]]
        return "\n".join(lines)

    def report(self, left_out, lacking):
        for entry in self.listed:
            if entry.used:
                print(f"{len(entry.used):4} cases: {entry.reason}")
        if self.unjudged:
            print(f"this kernel has ESP; {len(self.unjudged)} cases differ, which fails nothing:"
                  + "".join(self.unjudged))
        if left_out:
            print(f"{left_out} cases left out; this kernel lacks: {', '.join(sorted(lacking))}")
        total = len(self.equal) + len(self.excused) + len(self.unjudged) + len(self.unlisted)
        print(f"cases {total}, equal {len(self.equal)}, listed differences {len(self.excused)}, "
              f"unlisted {len(self.unlisted)}, not judged {len(self.unjudged)}")


class TheListItself(unittest.TestCase):
    """Proves that the comparison can fail."""

    @staticmethod
    def verdict(*entries):
        return Verdict([Listed({"reason": "because", **entry}) for entry in entries], set())

    def test_unlisted_difference_is_found(self):
        verdict = self.verdict({"cases": ["a.*"], "kernel": "< x", "cygnet": "< y"})
        for name, kernel, cygnet in (("a.one", ["< x"], ["< y"]), ("a.two", ["< x"], ["< z"]),
                                     ("b.one", ["< x"], ["< y"]), ("a.same", ["< x"], ["< x"]),
                                     ("a.more", ["> q", "< x", "> r"], ["> q", "< y", "> r", "* e"])):
            verdict.judge(name, kernel, cygnet)
        self.assertEqual((verdict.equal, verdict.excused), (["a.same"], ["a.one"]))
        self.assertEqual(len(verdict.unlisted), 3)

    def test_entry_that_is_no_more_is_seen(self):
        verdict = self.verdict({"cases": ["a"], "kernel": "1", "cygnet": "2"})
        verdict.judge("a", ["1"], ["1"])
        self.assertEqual(verdict.listed[0].used, set())


if __name__ == "__main__":
    try:
        suite.main()
    except LabError as error:
        print(f"skipped: {error}", file=sys.stderr)
        sys.exit(suite.SKIPPED)
