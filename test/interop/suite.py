"""Shared by the integration tests: start and end of a test program, a host that is checked when it
stops, SAs and policies in bulk.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import labkit
from labkit import Cygnet, Host, LabError

SKIPPED = 77  # exit status that CTest knows
# Sanitizers make everything slower by about this factor; waits are multiplied by it.
SLOWNESS = float(os.environ.get("CYGNET_SLOWNESS", "1"))
_REPORT = re.compile(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:).*")


def main():
    """Runs the tests of the calling file: --build DIR, or CYGNET_BUILD; the rest is unittest's."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--build", default=os.environ.get("CYGNET_BUILD", "build/release"))
    args, rest = parser.parse_known_args()
    os.environ["CYGNET_BUILD"] = os.path.abspath(args.build)
    try:
        labkit.reexec_in_user_namespace()
    except LabError as error:
        print(f"skipped: {error}", file=sys.stderr)
        sys.exit(SKIPPED)
    cygnet()  # there, or an error
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


def cygnet():
    return Cygnet(os.environ["CYGNET_BUILD"])


class Case(unittest.TestCase):
    """Hosts and namespaces of one class; a class passes everything else that it opens to `own`."""

    longMessage = True
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.workdir = tempfile.mkdtemp(prefix="cygnet-test-")
        cls.addClassCleanup(shutil.rmtree, cls.workdir, ignore_errors=True)

    @classmethod
    def own(cls, thing):
        """Registers something to be closed at the end of the class, the last first."""
        cls.addClassCleanup(thing.close)
        return thing

    @classmethod
    def make_host(cls, name="host"):
        host = Host(name, cygnet(), cls.workdir)
        cls.addClassCleanup(close_host, host)
        return host

    def assert_counted(self, host, before, expected, message=None):
        """Drop and XFRM counters of the host grew by `expected`; a busy machine counts a little later."""
        def counted():
            return difference(before, counters(host))

        with contextlib.suppress(LabError):
            labkit.wait_for(lambda: counted() == expected, 2 * SLOWNESS, "counters")
        self.assertEqual(counted(), expected, message)

    def wait_for(self, condition, what, timeout=10):
        try:
            return labkit.wait_for(condition, timeout * SLOWNESS, what)
        except LabError as error:
            self.fail(str(error))


def close_host(host):
    """Ends the daemon and the namespace. A daemon that crashed, or in which a sanitizer found an error,
    fails the test that it served."""
    log = host.log() if os.path.exists(host.log_path) else ""
    died = host.daemon is not None and host.daemon.poll() is not None
    status = host.stop()
    log = host.log() if os.path.exists(host.log_path) else ""
    host.ns.close()
    report = _REPORT.search(log)
    if report:
        raise AssertionError(f"{host.name}: {report.group(0)}\n{log[-6000:]}")
    if died and not getattr(host, "ended_by_test", False):
        raise AssertionError(f"{host.name}: cygnetd ended by itself, status {status}\n{log[-3000:]}")
    if status not in (None, 0) and not died:
        raise AssertionError(f"{host.name}: cygnetd stopped with status {status}\n{log[-3000:]}")


def xfrm_batch(host, lines):
    """Many `ip xfrm` commands by one unmodified `ip -batch`."""
    path = os.path.join(host.workdir, f"{host.name}.batch")
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(f"xfrm {line}\n" for line in lines)
    host.ns.run([host.cygnet.command, "exec", "--", "ip", "-batch", path])


def start_capture(namespace, interface, path, expression=""):
    """The real tcpdump, writing to `path`, ready when this returns."""
    proc = namespace.popen(labkit.capture_command(interface, path, expression),
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in proc.stderr:
        if "listening on" in line or line.startswith("File:"):
            return proc
    raise LabError(f"no capture of {interface}")


def end_capture(proc, path, last=b"", timeout=5):
    """The captured packets; waits until `last` is among them."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while time.monotonic() < deadline:
        with open(path, "rb") as f:
            if last in f.read():
                break
        time.sleep(0.05)
    labkit.end(proc)
    proc.stderr.close()
    with open(path, "rb") as f:
        return f.read()


def counters(host):
    """All drop and XFRM counters that are not zero: {"in-no-state": 1, "XfrmInNoStates": 1}."""
    stat = host.show("stat")
    return {k: v for part in ("drops", "xfrm") for k, v in stat[part].items() if v}


def difference(before, after):
    return {k: after.get(k, 0) - before.get(k, 0)
            for k in {*before, *after} if after.get(k, 0) != before.get(k, 0)}


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data = bytes(data) + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
