"""Each mutant of the example plug-ins breaks one promise, and the check that is named for it finds it.

The lists *_mutants.txt name number and check of each; the programs are built by src/conformance/CMakeLists.txt.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = pathlib.Path(os.environ["CYGNET_BUILD"]) / "src/conformance"
KINDS = {path.name.split("_")[0]: path for path in sorted(HERE.glob("*_mutants.txt"))}


def mutants(kind):
    for line in KINDS[kind].read_text().splitlines():
        found = re.match(r"(\d+) (\S+) (.*)", line)
        if found:
            yield found.groups()


def mutant(kind, number):
    """Kind of plug-in, library and options of a mutant. Those of packet offload are one library."""
    if kind == "packet":
        return "driver", FOLDER / "packet_mutants.so", "--option", f"mutant={number}"
    return kind, FOLDER / f"{kind}_mutant_{number}.so"


def report(kind, library, *words):
    done = subprocess.run([FOLDER / "cygnet-conformance", f"--{kind}", library, "-j", "--no-rates", *words],
                          capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


class Mutants(unittest.TestCase):
    def test_each_is_found_by_its_check(self):
        for kind in KINDS:
            rows = [row for row in mutants(kind) if row[1] != "conforms"]
            self.assertGreaterEqual(len(rows), 15 if kind == "driver" else 1)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                reports = list(pool.map(
                    lambda row: report(*mutant(kind, row[0]), "--only", row[1]), rows))
            for (number, check, what), (status, found) in zip(rows, reports):
                with self.subTest(kind=kind, mutant=number, check=check, what=what):
                    self.assertEqual(status, 1, found)
                    self.assertEqual([c["name"] for c in found["checks"] if c["verdict"] == "broken"], [check])

    def test_what_the_contract_allows_conforms(self):
        for kind in KINDS:
            for number, check, what in mutants(kind):
                if check != "conforms":
                    continue
                with self.subTest(kind=kind, mutant=number, what=what):
                    status, found = report(*mutant(kind, number))
                    self.assertEqual((status, found["broken"]), (0, 0), found)

    def test_every_check_has_a_mutant(self):
        listed = subprocess.run([FOLDER / "cygnet-conformance", "--list"], capture_output=True, text=True, check=True)
        for kind, lists in (("driver", ("driver", "packet")), ("engine", ("engine",))):
            checks = set(re.findall(rf"^{kind} (\S+):", listed.stdout, re.M))
            self.assertEqual(checks - {check for name in lists for _, check, _ in mutants(name)}, set())


class Examples(unittest.TestCase):
    def test_the_example_conforms(self):
        status, found = report("driver", FOLDER.parent / "plugin/plugin_soft.so")
        skipped = [c["name"] for c in found["checks"] if c["verdict"] == "not-applicable"]
        self.assertEqual((status, found["broken"]), (0, 0), found)
        self.assertTrue(all(name.startswith("packet-") for name in skipped), skipped)
        self.assertRegex(found["sha256"], "^[0-9a-f]{64}$")

    def test_the_null_driver_conforms(self):
        status, found = report("driver", FOLDER.parent / "plugin/plugin_null.so")
        self.assertEqual((status, found["broken"]), (0, 0), found)
        kept = {c["name"] for c in found["checks"] if c["verdict"] == "kept"}
        self.assertEqual(kept, {"capabilities", "clear-passes-out", "clear-passes-in", "broken-frames-pass",
                                "packets-given-back", "close-in-flight", "opens-again", "never-waits", "wakes-worker"})

    def test_the_example_engine_conforms(self):
        status, found = report("engine", FOLDER / "engine_example.so")
        self.assertEqual((status, found["broken"]), (0, 0), found)
        skipped = [c["name"] for c in found["checks"] if c["verdict"] == "not-applicable"]
        self.assertEqual(skipped, ["ragged-is-an-error", "limits-hold"])  # it does AES-GCM only, and names no limit

    def test_our_own_engines_conform(self):
        modules = FOLDER.parent / "plugin/modules"
        own = [("libcygnet_builtin_engine.so", f"engine={name}") for name in ("openssl", "ipsec_mb")]
        own += [("libcygnet_cryptodev.so", f"crypto={name}0") for name in ("crypto_openssl", "crypto_aesni_gcm", "crypto_aesni_mb")]
        for library, option in own:
            if not (modules / library).exists():
                continue
            with self.subTest(library=library, option=option):
                status, found = report("engine", modules / library, "--option", option)
                self.assertEqual((status, found["broken"]), (0, 0), found)

    def test_the_software_nic_keeps_all_of_packet_offload(self):
        words = [word for _, check, _ in mutants("packet") for word in ("--only", check)]
        status, found = report(*mutant("packet", 0), *words)
        self.assertEqual((status, found["broken"], found["not-applicable"]), (0, 0, 0), found)

    def test_the_software_nic_conforms(self):
        status, found = report("driver", FOLDER.parent / "datapath/plugin_sim_nic.so")
        broken = [c["name"] for c in found["checks"] if c["verdict"] == "broken"]
        # The plug-in copies packets, and cannot see which copies the NIC in it has dropped.
        self.assertEqual((status, broken), (1, ["drops-counted"]), found)

    def test_what_cannot_be_loaded_ends_with_2(self):
        status, text = report("driver", FOLDER.parent / "plugin/plugin_bad_version.so")
        self.assertEqual(status, 2)
        self.assertIn("built for version 2", text)


class Isolated(unittest.TestCase):
    FOLDER = FOLDER.parent / "plugin/isolation"  # libraries without sanitizers
    FORBIDDEN = "killed for a system call that an isolated plug-in may not make"

    def test_the_example_conforms_in_a_process_of_its_own(self):
        status, found = report("driver", self.FOLDER / "libisolated_soft_driver.so", "--isolate")
        broken = [(c["name"], c["detail"]) for c in found["checks"] if c["verdict"] == "broken"]
        self.assertEqual((status, broken), (0, []))

    def test_a_forbidden_call_is_named(self):
        forbidden = self.FOLDER / "libforbidden_driver.so"
        words = ("--only", "clear-passes-out")
        self.assertEqual(report("driver", forbidden, *words)[0], 0)
        status, found = report("driver", forbidden, "--isolate", *words)
        self.assertEqual(status, 1, found)
        self.assertIn(self.FORBIDDEN, found["checks"][0]["detail"])
        status, text = report("driver", forbidden, "--isolate", "--option", "in=open", *words)
        self.assertEqual(status, 2, text)
        self.assertIn(self.FORBIDDEN, text)


class Wrecks(unittest.TestCase):
    """Libraries that nothing can be done with: the answer is a sentence and status 2."""

    def assert_refused(self, library, pattern, *words):
        status, text = report("driver", library, *words)
        self.assertEqual(status, 2, text)
        self.assertRegex(text, pattern)

    def test_a_library_that_crashes_is_named_with_the_place(self):
        for fault, pattern in (("constructor", r"the library crashed \(SIGSEGV\) in dlopen"),
                               ("exit", "ended the process with status 7 in cygnet_driver_entry"),
                               ("open", r"the library crashed \(SIGSEGV\) in open"),
                               ("pointer", r"the library crashed \(SIGSEGV\) in caps"),
                               ("count", "names 4294967295 algorithms; at most 256")):
            with self.subTest(fault=fault):
                self.assert_refused(FOLDER.parent / f"plugin/plugin_fault_{fault}.so", pattern)

    def test_a_library_that_never_returns_is_ended(self):
        self.assert_refused(FOLDER.parent / "plugin/plugin_fault_loop.so",
                            "did not return within 1 s in cygnet_driver_entry", "--time-limit", "1")

    def test_a_cut_library_is_refused(self):
        whole = (FOLDER.parent / "plugin/plugin_null.so").read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            for size in (0, 3, 64, 1000, 5000, 9000):
                with self.subTest(size=size):
                    cut = pathlib.Path(folder) / f"cut{size}.so"
                    cut.write_bytes(whole[:size])
                    self.assert_refused(cut, r"cannot be loaded|crashed \(SIG(BUS|SEGV)\) in dlopen")


if __name__ == "__main__":
    unittest.main()
