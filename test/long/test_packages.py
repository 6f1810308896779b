#!/usr/bin/python3
"""Builds the Debian packages and lives with them: in a Debian of its own, which systemd boots in namespaces on this
machine's kernel, they are installed, upgraded, booted with, removed and purged (packages/guest.sh has the steps), and
in a virtual machine with Debian's kernel their AppArmor profiles are enforced (packages/confined.sh).

CYGNET_PACKAGES: a folder of packages to test instead of building them. CYGNET_MACHINE: a folder that keeps the
machine's system for the next run. Exit status 77: cannot be done here.
"""

import filecmp
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
HERE = os.path.join(ROOT, "test/long/packages")
SKIPPED = 77
PATIENCE = 600  # seconds; a machine that is busy is slow
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def why_not(*programs):
    """Why no machine, which needs `programs`, can be had here; "": it can."""
    missing = [p for p in ("debootstrap", "unshare", "nsenter", *programs) if shutil.which(p) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.getuid() != 0:
        return "not root (debootstrap, systemd)"
    if not any(os.path.exists(f"{tree}/cgroup.procs") for tree in CGROUPS):
        return "no cgroup2 file system at /sys/fs/cgroup or /sys/fs/cgroup/unified"
    return ""


def run(*words, **more):
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: exit {result.returncode}\n{result.stdout[-4000:]}")
    return result.stdout


def repack(folder, to, version, mark):
    """The same packages as an earlier version, whose AppArmor profiles and units were others."""
    os.makedirs(to)
    for path in glob.glob(f"{folder}/*.deb"):
        if "-dbgsym_" in path:
            continue
        with tempfile.TemporaryDirectory() as work:
            run("dpkg-deb", "-R", path, f"{work}/p")
            control = f"{work}/p/DEBIAN/control"
            with open(control, encoding="utf-8") as f:
                text = f.read()
            now = re.search(r"^Version: (.*)$", text, re.M)[1]
            with open(control, "w", encoding="utf-8") as f:
                f.write(text.replace(now, version))
            for other in glob.glob(f"{work}/p/etc/apparmor.d/cygnet*") + glob.glob(f"{work}/p/lib/systemd/system/*"):
                with open(other, "a", encoding="utf-8") as f:
                    f.write(mark)
            run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", f"{work}/p", to)


def build(output, **more):
    run(os.path.join(ROOT, "tools/package"), "--output", output, **more)


def until_up(inside):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state = subprocess.run([*inside, "systemctl", "is-system-running"], capture_output=True, text=True, check=False).stdout
        if state.strip() in ("running", "degraded"):
            return
        time.sleep(0.5)
    raise AssertionError(f"the machine did not come up: {state}")


class Reproducible(unittest.TestCase):
    """The same commit gives the same bytes at another-place, without the compiler cache."""

    def test_two_builds_are_equal(self):
        with tempfile.TemporaryDirectory(prefix="cygnet-twice-") as top:
            run("git", "clone", "-q", ROOT, f"{top}/another-place")
            first = os.environ.get("CYGNET_PACKAGES") or f"{top}/first"
            if not os.path.exists(first):
                build(first)
            run("sh", "-c", 'umask 077; exec "$0" --output "$1"', f"{top}/another-place/tools/package", f"{top}/second",
                env={**os.environ, "CCACHE_DISABLE": "1", "TZ": "Pacific/Auckland", "LC_ALL": "C"})
            names = sorted(os.path.basename(p) for p in glob.glob(f"{first}/*.deb"))
            self.assertGreaterEqual(len(names), 4)
            for name in names:
                with self.subTest(name):
                    self.assertTrue(filecmp.cmp(f"{first}/{name}", f"{top}/second/{name}", shallow=False))


def packages(top):
    """The packages to be tested, those of the version before, and the folder of the machine; `top` is temporary."""
    built = os.environ.get("CYGNET_PACKAGES") or f"{top}/built"
    if not os.path.exists(built):
        build(built)
    new = f"{top}/new"
    os.makedirs(new)
    for path in glob.glob(f"{built}/*.deb"):
        if "-dbgsym_" not in path:
            shutil.copy(path, new)
    path, = glob.glob(f"{new}/cygnet_*.deb")
    with open(f"{new}/version", "w", encoding="ascii") as f:
        f.write(run("dpkg-deb", "-f", path, "Version"))
    repack(new, f"{top}/old", "0.0.1", "# of the version before\n")
    return new, f"{top}/old", os.environ.get("CYGNET_MACHINE") or f"{top}/machine"


def tell(lines):
    print("\n".join(line[2:] for line in lines if line.startswith("T ")), file=sys.stderr)


class Machine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if why := why_not():
            raise unittest.SkipTest(why)
        folder = tempfile.TemporaryDirectory(prefix="cygnet-machine-", dir="/var/tmp")
        cls.addClassCleanup(folder.cleanup)
        new, old, where = packages(folder.name)
        run(f"{HERE}/make_root.sh", where, old, new)
        cls.lines = [line for number in ("1", "2", "3") for line in cls.boot(f"{where}/root", number)]

    @classmethod
    def boot(cls, root, number):
        """What guest.sh says after that boot; then the machine is off."""
        machine = subprocess.Popen([f"{HERE}/boot.sh", root], stdout=subprocess.PIPE, text=True)
        try:
            pid = machine.stdout.readline().split()[1]
            inside = ["nsenter", "--target", pid, "--all", "--root", "--wd", "--"]
            until_up(inside)
            said = subprocess.run([*inside, "/root/guest.sh", number], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", check=False, timeout=PATIENCE)
            subprocess.run([*inside, "systemctl", "poweroff"], check=False, capture_output=True, timeout=PATIENCE)
            machine.wait(PATIENCE)
        finally:
            machine.terminate()
            machine.wait(PATIENCE)
            machine.stdout.close()
        lines = said.stdout.splitlines()
        tell(lines + said.stderr.splitlines())
        if "T end" not in lines:
            raise AssertionError(f"boot {number} did not come to its end:\n{said.stdout[-3000:]}\n{said.stderr[-3000:]}")
        return lines

    def test_every_step(self):
        self.assertEqual([line for line in self.lines if line.startswith("T bad")], [])
        self.assertGreater(sum(line.startswith("T ok") for line in self.lines), 75)


class Confined(unittest.TestCase):
    """AppArmor's profiles enforced, by the kernel of Debian 12 in a virtual machine."""

    def test_every_step(self):
        if why := why_not(*NEEDS["Confined"]):
            self.skipTest(why)
        with tempfile.TemporaryDirectory(prefix="cygnet-machine-", dir="/var/tmp") as top:
            new, old, where = packages(top)
            run(f"{HERE}/make_root.sh", where, old, new, "vm")
            lines = run(f"{HERE}/boot_vm.sh", f"{where}/root").replace("\r", "").splitlines()
        tell(lines)
        self.assertIn("T end", lines, "\n".join(lines[-30:]))
        self.assertEqual([line for line in lines if line.startswith("T bad")], [])
        self.assertGreater(sum(line.startswith("T ok") for line in lines), 20)


NEEDS = {"Machine": (), "Confined": ("qemu-system-x86_64", "cpio")}

if __name__ == "__main__":
    for part in set(NEEDS) & set(sys.argv[1:]):
        if why := why_not(*NEEDS[part]):
            print(f"skipped: {why}", file=sys.stderr)
            sys.exit(SKIPPED)
    unittest.main(verbosity=2)
