"""The SDK as its users have it: installed into a folder of its own, and each example that asks for it built out of tree.

Where cygnet-conformance is built, each example is put to it as well. No network, nothing outside a temporary folder.
"""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["CYGNET_BUILD"])
CONFORMANCE = BUILD / "src/conformance/cygnet-conformance"
EXAMPLES = sorted(p.parent for p in (ROOT / "examples").glob("*/CMakeLists.txt") if "cygnet-sdk" in p.read_text())


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


class Sdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="cygnet-sdk-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.top = pathlib.Path(cls.folder.name)
        cls.prefix = cls.top / "installed"
        run("cmake", "--install", BUILD, "--component", "sdk", "--prefix", cls.prefix)

    def test_only_headers_and_package_files_are_installed(self):
        files = {p.relative_to(self.prefix).as_posix() for p in self.prefix.rglob("*") if p.is_file()}
        self.assertIn("include/cygnet/driver.h", files)
        self.assertIn("include/cygnet/types.h", files)
        self.assertEqual([f for f in files if not f.startswith(("include/cygnet/", "lib"))], [])

    def test_units_follow_the_prefix(self):
        prefix = self.top / "elsewhere"
        # Only this folder's rules: the whole tree need not be built.
        run("cmake", f"-DCMAKE_INSTALL_PREFIX={prefix}", "-P", BUILD / "systemd/cmake_install.cmake")
        files = sorted(p.relative_to(prefix).as_posix() for p in prefix.rglob("*") if p.is_file())
        self.assertEqual(files, ["lib/systemd/system/cygnet-fence.service", "lib/systemd/system/cygnet-web.service",
                                 "lib/systemd/system/cygnetd.service", "lib/sysusers.d/cygnet-web.conf",
                                 "lib/sysusers.d/cygnet.conf", "share/cygnet/af-xdp.conf",
                                 "share/cygnet/alerts.yml", "share/cygnet/cygnet.json",
                                 "share/cygnet/ike-daemon.conf"])
        for name in files:
            text = (prefix / name).read_text()
            self.assertNotIn("/usr/local/", re.sub(r"(?m)^#.*$", "", text), name)
        self.assertIn(f"ExecStart={prefix}/sbin/cygnetd ", (prefix / files[2]).read_text())

    def test_headers_are_c_and_cxx(self):
        for header in sorted((self.prefix / "include/cygnet").glob("*.h")):
            text = f"#include <cygnet/{header.name}>\nint main(void) {{ return 0; }}\n"
            for words in (("gcc", "-std=c11", "-pedantic", "-x", "c"), ("g++", "-std=c++11", "-x", "c++")):
                with self.subTest(header=header.name, compiler=words[0]):
                    run(*words, "-Wall", "-Wextra", "-Werror", "-I", self.prefix / "include", "-fsyntax-only", "-", input=text)

    def test_pkg_config_names_the_headers(self):
        where = next(self.prefix.rglob("pkgconfig"))
        flags = run("pkg-config", "--cflags", "cygnet-sdk", env={**os.environ, "PKG_CONFIG_PATH": str(where)})
        includes = [pathlib.Path(f[2:]).resolve() for f in flags.split() if f.startswith("-I")]
        self.assertEqual(includes, [(self.prefix / "include").resolve()])

    def test_examples_build_out_of_tree(self):
        self.assertGreaterEqual(len(EXAMPLES), 2)
        for example in EXAMPLES:
            with self.subTest(example=example.name):
                out = self.top / example.name
                run("cmake", "-S", example, "-B", out, f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_BUILD_TYPE=Release")
                run("cmake", "--build", out)
                library = next(out.glob("lib*.so"))
                symbols = run("nm", "-D", "--defined-only", library).split()
                entries = [s for s in symbols if s.endswith("_entry")]
                self.assertEqual(len(entries), 1, symbols)
                self.conformance(library, entries[0])

    def test_the_page_can_be_followed(self):
        command = BUILD / "src/cli/cygnet"
        if not (CONFORMANCE.exists() and command.exists()):
            self.skipTest("cygnet or cygnet-conformance is not built")
        page = (ROOT / "doc/writing_a_driver.md").read_text()
        blocks = re.findall(r"^```sh run\n(.*?)^```", page, re.M | re.S)
        self.assertGreaterEqual(len(blocks), 4)
        folder = self.top / "page"
        folder.mkdir()
        script = "".join(blocks).replace("$CYGNET/build/release", str(BUILD))
        run("sh", "-euc", script, cwd=folder, env={**os.environ, "CYGNET": str(ROOT)})
        self.assertIn('"conforms": true', (folder / "report.json").read_text())

    def conformance(self, library, entry):
        if not CONFORMANCE.exists():
            return
        kind = "--driver" if entry == "cygnet_driver_entry" else "--engine"
        run(CONFORMANCE, kind, library)


if __name__ == "__main__":
    unittest.main()
