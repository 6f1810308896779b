#!/usr/bin/python3
"""What can be said of the Debian packages without building them: their lists hold what is installed, their scripts
leave what they should, their profiles parse, their versions sort. test/long/test_packages.py builds and installs them.
"""

import fnmatch
import glob
import os
import re
import subprocess
import tempfile
import unittest

import labkit
import suite
import unitkit

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
DEBIAN = os.path.join(ROOT, "debian")
PACKAGES = ("cygnet", "cygnet-web", "cygnet-dpdk", "libcygnet-dev")
# Libraries for tests only: a package is built without its test programs.
FOR_TESTS = {"libgtest-dev", "libgmock-dev", "libbenchmark-dev", "librapidcheck-dev"}


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def lines(*path):
    """Without comments; none if the file does not exist."""
    if not os.path.exists(os.path.join(ROOT, *path)):
        return []
    return [line for line in read(*path).splitlines() if line.strip() and not line.startswith("#")]


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, check=False, **more)


class Lists(suite.Case):
    """debian/*.install against `cmake --install` of this build."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        result = run("cmake", "--install", os.environ["CYGNET_BUILD"], "--prefix", "/usr",
                     env={**os.environ, "DESTDIR": cls.workdir})
        if result.returncode != 0:
            raise AssertionError(result.stderr)
        cls.installed = set()
        for folder, _, names in os.walk(cls.workdir):
            for name in names:
                cls.installed.add(cls.place(os.path.relpath(os.path.join(folder, name), cls.workdir)))

    @staticmethod
    def place(path):
        """Where it is with the folders of a Debian package, which this build was not configured for."""
        path = re.sub(r"^usr/etc/", "etc/", path)
        return re.sub(r"^usr/lib/(?!systemd/|sysusers\.d/)", "usr/lib/x86_64-linux-gnu/", path)

    def patterns(self, package):
        return [line.split()[0] for line in lines(DEBIAN, f"{package}.install")]

    def matched(self, pattern):
        return {path for path in self.installed
                if fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path, pattern + "/*")}

    def test_each_file_is_in_one_package(self):
        owner = {}
        for package in PACKAGES:
            for pattern in self.patterns(package):
                for path in self.matched(pattern):
                    self.assertNotIn(path, owner, f"{package} and {owner.get(path)}")
                    owner[path] = package
        left_out = set().union(*(self.matched(p) for p in lines(DEBIAN, "not-installed")))
        self.assertEqual(self.installed - set(owner) - left_out, set())
        self.assertEqual(left_out & set(owner), set())

    def test_nothing_is_listed_that_does_not_exist(self):
        without_dpdk = not any("cryptodev" in path for path in self.installed)
        for package in PACKAGES:
            for pattern in self.patterns(package):
                if pattern.startswith("debian/"):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, pattern)), pattern)
                elif not (package == "cygnet-dpdk" and without_dpdk):
                    self.assertTrue(self.matched(pattern), f"{package}: {pattern}")
        for package in PACKAGES:
            for path in lines(DEBIAN, f"{package}.examples") + lines(DEBIAN, f"{package}.docs"):
                self.assertTrue(glob.glob(os.path.join(ROOT, path)), f"{package}: {path}")

    def test_the_build_needs_what_the_tests_install(self):
        """tools/lib.sh and debian/control name the same libraries."""
        text = re.search(r'^BUILD_PACKAGES="([^"]*)"', read("tools/lib.sh"), re.M)[1]
        libraries = {name for name in text.split() if name.endswith("-dev")} - FOR_TESTS
        field = re.search(r"^Build-Depends:(.*?)^\S", read("debian", "control"), re.M | re.S)[1]
        named = {re.split(r"[\s(:<]", part.strip())[0] for part in field.split(",")}
        self.assertEqual(libraries - named, set(), "in tools/lib.sh, not in debian/control")
        self.assertEqual({name for name in named if name.endswith("-dev")} - libraries, {"libdpdk-dev"})


class Scripts(suite.Case):
    """The maintainer scripts as dpkg calls them, on a host with a file system of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if reason := unitkit.why_not():
            raise unittest.SkipTest(reason)
        cls.host = cls.own(unitkit.ServiceHost("host", cls.workdir))

    def script(self, name, *words, variables=None):
        return self.host.shell(f"sh -e {DEBIAN}/{name} {' '.join(words)} 2>&1", variables)

    def test_they_are_shell(self):
        for name in os.listdir(DEBIAN):
            if name.endswith((".postinst", ".prerm", ".postrm")):
                with self.subTest(name):
                    self.assertEqual(run("dash", "-n", os.path.join(DEBIAN, name)).stderr, "")
                    self.assertIn("\n#DEBHELPER#\n", read("debian", name))
                    self.assertIn("\nset -e\n", read("debian", name))

    def test_a_removal_keeps_configuration_and_state(self):
        self.fill()
        self.script("cygnet.postrm", "remove")
        self.assertIn("cygnetd.toml", self.host.shell("ls /etc/cygnet"))
        self.assertIn("ledger.jsonl.key", self.host.shell("ls /var/lib/cygnet"))

    def test_a_purge_leaves_nothing_and_overwrites_keys(self):
        self.fill()
        # A second name of the same file shows what became of its bytes.
        self.host.shell("ln /var/lib/cygnet/ledger.jsonl.key /var/lib/second")
        self.script("cygnet.postrm", "purge")
        self.script("cygnet-web.postrm", "purge")
        self.assertEqual("", self.host.shell("ls -d /etc/cygnet /var/lib/cygnet /var/lib/cygnet-web /run/cygnet 2>/dev/null || true"))
        self.assertNotIn("PRIVATE", self.host.shell("cat -v /var/lib/second"))

    def test_a_purge_of_nothing_succeeds(self):
        self.host.shell("rm -rf /etc/cygnet /var/lib/cygnet /run/cygnet")
        self.script("cygnet.postrm", "purge")
        self.script("cygnet-web.postrm", "purge")

    def fill(self):
        self.host.shell("mkdir -p /etc/cygnet /var/lib/cygnet /var/lib/cygnet-web /run/cygnet && cd /var/lib/cygnet && "
                        "echo PRIVATE > ledger.jsonl.key && touch ledger.jsonl numbers numbers.lock /run/cygnet/restart "
                        "/etc/cygnet/cygnetd.toml /var/lib/cygnet-web/history.db")

    def upgrade(self, accepted, before=":"):
        """What an upgrade does to a cygnetd that runs; the program is a stand-in that (does not) accept. `before` is run
        first."""
        self.fill()
        answer = "exit 0" if accepted else "echo device nic0: unknown key >&2; exit 1"
        self.host.shell(
            "mkdir -p /run/systemd/system && id cygnet >/dev/null 2>&1 || useradd --system cygnet; chown cygnet /var/lib/cygnet; "
            f"printf '#!/bin/sh\\n{answer}\\n' > /usr/sbin/cygnetd; chmod 755 /usr/sbin/cygnetd; "
            "printf '#!/bin/sh\\necho \"$@\" >> /run/asked\\n' > /usr/local/bin/deb-systemd-invoke; "
            "chmod 755 /usr/local/bin/deb-systemd-invoke; cp /usr/local/bin/deb-systemd-invoke /usr/local/bin/systemctl; "
            ": > /run/asked")
        self.host.shell(before)
        said = self.script("cygnet.postinst", "configure", "0.0.1")
        return said, self.host.shell("cat /run/asked")

    def test_an_upgrade_restarts_without_waiting(self):
        said, asked = self.upgrade(accepted=True)
        self.assertEqual("", said)
        self.assertEqual("--system daemon-reload\n-- try-restart cygnetd.service --no-block\n", asked)

    def test_an_upgrade_that_refuses_the_configuration_leaves_the_daemon(self):
        said, asked = self.upgrade(accepted=False)
        self.assertIn("unknown key", said)
        self.assertIn("systemctl restart cygnetd", said)
        self.assertEqual("--system daemon-reload\n", asked)

    def test_an_upgrade_on_a_full_disk_leaves_the_daemon(self):
        """A restarted cygnetd would have to record the keys of its SAs, and could not."""
        try:
            said, asked = self.upgrade(True, "mount -t tmpfs -o size=8k,mode=777 tmpfs /var/lib/cygnet; "
                                             "head -c 8k /dev/zero > /var/lib/cygnet/all-of-it")
        finally:
            self.host.shell("umount /var/lib/cygnet")
        self.assertIn("make room, then: systemctl restart cygnetd", said)
        self.assertEqual("--system daemon-reload\n", asked)

    def test_a_first_installation_starts_nothing(self):
        self.upgrade(accepted=True)
        self.host.shell(": > /run/asked")
        self.script("cygnet.postinst", "configure", '""')
        self.assertEqual("", self.host.shell("cat /run/asked"))


class Profiles(suite.Case):
    """AppArmor's own parser. Whether they allow what the programs do is only seen under a kernel that has AppArmor."""

    def setUp(self):
        if labkit.have("apparmor_parser"):
            self.skipTest("no apparmor_parser")

    def parse(self, path):
        """Its complaints; the parser also says that this kernel, which is not asked, has no AppArmor."""
        result = run("apparmor_parser", "--skip-kernel-load", "--skip-cache", path)
        complaints = [line for line in result.stderr.splitlines() if line and not line.startswith("Cache read/write disabled")]
        return complaints + ([f"exit {result.returncode}"] if result.returncode else [])

    def test_they_parse(self):
        for name in ("cygnetd", "cygnet-web"):
            with self.subTest(name):
                self.assertEqual(self.parse(os.path.join(DEBIAN, "apparmor", name)), [])

    def test_the_parser_finds_faults(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(read("debian", "apparmor", "cygnetd").replace("capability net_admin,", "capability net_boss,"))
            f.flush()
            self.assertNotEqual(self.parse(f.name), [])

    def test_the_units_ask_for_them(self):
        for unit in ("cygnetd", "cygnet-web"):
            self.assertIn(f"\nAppArmorProfile=-{unit}\n", read("systemd", f"{unit}.service.in"))
            self.assertRegex(read("debian", "apparmor", unit), rf"(?m)^profile {unit} flags=\(complain\) {{$")


class Container(unittest.TestCase):
    """The Containerfile as far as it can be judged without docker; test/long/fresh_machine.sh follows it."""

    def setUp(self):
        text = "\n".join(lines(ROOT, "etc/Containerfile")).replace("\\\n", " ")
        self.steps = [line.split(maxsplit=1) for line in text.splitlines()]

    def of(self, word):
        return [rest for first, rest in self.steps if first == word]

    def test_its_words(self):
        self.assertEqual({word for word, _ in self.steps}, {"FROM", "COPY", "RUN", "WORKDIR"})
        self.assertEqual(self.of("FROM"), ["debian:12 AS build", "debian:12"])
        self.assertEqual([copy.split()[0] for copy in self.of("COPY")], [".", "--from=build"])

    def test_its_commands_are_shell(self):
        for command in self.of("RUN"):
            self.assertEqual(run("dash", "-n", "-c", command).stderr, "")

    def test_the_page_has_its_last_stage(self):
        self.assertIn(re.sub(r" && +rm .*", "", self.of("RUN")[-1]), read("doc", "installing.md"))

    def test_no_builds_of_this_machine_go_in(self):
        self.assertIn("build", lines(ROOT, ".dockerignore"))


class Versions(unittest.TestCase):
    """The version by tag, in repositories of one file."""

    def setUp(self):
        if labkit.have("git"):
            self.skipTest("no git")
        self.folder = tempfile.TemporaryDirectory(prefix="cygnet-version-")
        self.addCleanup(self.folder.cleanup)
        top = self.folder.name
        os.mkdir(f"{top}/tools")
        for name in ("package", "lib.sh"):
            os.symlink(os.path.join(ROOT, "tools", name), f"{top}/tools/{name}")
        self.git("init", "-q")

    def git(self, *words):
        result = run("git", "-C", self.folder.name, "-c", "user.name=a", "-c", "user.email=a@example.org", *words)
        self.assertEqual(result.returncode, 0, result.stderr)

    def commit(self, version):
        with open(f"{self.folder.name}/CMakeLists.txt", "w", encoding="ascii") as f:
            f.write(f"project(cygnet VERSION {version} LANGUAGES C)\n# {os.urandom(4).hex()}\n")
        self.git("add", "CMakeLists.txt")
        self.git("commit", "-qm", version)

    def version(self):
        result = run(f"{self.folder.name}/tools/package", "--print-version")
        return result.stdout.strip() or result.stderr.strip()

    def test_they_sort_as_they_were_made(self):
        made = []
        for step in ("0.1.0", "0.1.0", "tag v0.1.0", "0.1.0", "0.1.0", "0.2.0", "tag v0.2.0"):
            if step.startswith("tag "):
                self.git("tag", step.removeprefix("tag "))
            else:
                self.commit(step)
            made.append(self.version())
        self.assertEqual([made[2], made[6]], ["0.1.0", "0.2.0"])
        self.assertRegex(made[0], r"^0\.1\.0~git\d{8}\.1\.g[0-9a-f]{7}$")
        self.assertRegex(made[4], r"^0\.1\.0\+2\.g[0-9a-f]{7}$")
        for earlier, later in zip(made, made[1:]):
            self.assertEqual(run("dpkg", "--compare-versions", earlier, "lt", later).returncode, 0, (earlier, later))

    def test_a_tag_above_the_project_is_refused(self):
        self.commit("0.1.0")
        self.git("tag", "v0.3.0")
        self.assertIn("set project(cygnet VERSION 0.3.0)", self.version())


class Changelog(unittest.TestCase):
    def parse(self, text, version):
        result = run(os.path.join(ROOT, "tools/debian_changelog.py"), "--version", version, "--date",
                     "Sun, 29 Nov 2026 12:00:00 +0000", input=text)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertLessEqual(max(len(line) for line in result.stdout.splitlines() if line.startswith("  ")), 80)
        with tempfile.NamedTemporaryFile("w", suffix=".changelog") as f:
            f.write(result.stdout)
            f.flush()
            parsed = run("dpkg-parsechangelog", "--all", "-l", f.name)
        self.assertEqual(parsed.stderr, "")
        return result.stdout, parsed.stdout

    def test_of_this_tree(self):
        text, _ = self.parse(read("CHANGELOG.md"), "0.1.0~git1")
        self.assertGreater(text.count("\n  * "), 20)

    def test_releases_are_entries(self):
        text, parsed = self.parse("# C\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n- a [page](doc/x.md)\n"
                                  "  of two lines\n\n## [0.1.0] - 2026-11-01\n\n### Fixed\n- b\n", "0.2.0")
        self.assertTrue(text.startswith("cygnet (0.2.0) bookworm"), text)
        self.assertIn("  * Added: a page of two lines\n", text)
        self.assertIn("cygnet (0.1.0) bookworm", text)
        self.assertIn("Version: 0.2.0", parsed)

    def test_the_one_of_the_tree_is_older_than_any(self):
        version = re.match(r"cygnet \(([^)]+)\)", read("debian", "changelog"))[1]
        project = re.search(r"^project\(cygnet VERSION ([0-9.]+)", read("CMakeLists.txt"), re.M)[1]
        self.assertEqual(version, f"{project}~")


if __name__ == "__main__":
    suite.main()
