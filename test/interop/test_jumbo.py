#!/usr/bin/python3
"""Jumbo frames by every way that a packet can take: AF_XDP, a look-aside engine, a driver and an engine
in a process of their own. Two hosts with MTU 9000.
"""

import os
import shutil
import tempfile
import unittest

import suite
import test_size


class Ways(test_size.Pair):
    """One packet that fills the wire, datagrams that are cut, and a TCP stream."""

    mtu = 9000
    offload = False
    seen = True  # a packet socket on the wire sees what is sent

    def check(self, family):
        self.use("tunnel", family, self.offload)
        size = self.explained_mtu() - test_size.HEADER[family] - 8
        self.ping(3, f"-M do -c 3 -s {size}")
        if self.seen:
            self.assertEqual({self.mtu - len(packet) < 4 for packet in self.outer_packets(3)}, {True})
        self.send_and_receive(os.urandom(self.mtu - 28 if family == 4 else size))
        if family == 4:
            self.ping(3, "-s 20000 -c 3")
        self.counted({})
        self.megabyte()

    def where(self):
        return {half["effective"] for sa in self.west.show("sa") for half in sa["placements"]}


class OnAfXdp(Ways):
    seen = False
    device = {"driver": "af_xdp", "offload": "no"}

    def test_af_xdp(self):
        self.assertRegex(self.west.log(), "AF_XDP on wire0: mode (native|generic)")
        for family in (4, 6):
            with self.subTest(family=family):
                self.check(family)


class OnAfXdpBelowACard(OnAfXdp):
    device = {"driver": "sim_nic", "wire_driver": "af_xdp", "offload": "crypto"}
    offload = True


class LookAside(Ways):
    rest = '[look_aside]\nengine = "thread_offload"\nmode = "auto"\nthreads = 1'

    def test_look_aside(self):
        self.check(4)
        self.assertEqual(self.where(), {"look-aside"})


class OwnProcess(Ways):
    library = "src/plugin/isolation/libisolated_soft_driver.so"

    @classmethod
    def setUpClass(cls):
        library = os.path.join(os.environ["CYGNET_BUILD"], cls.library)
        if not os.path.exists(library):
            raise unittest.SkipTest(f"{library} is not built")
        with open(library, "rb") as f:
            if b"san_init" in f.read():
                raise unittest.SkipTest("an isolated plug-in has no run time of sanitizers")
        # Where the process's user can read it, and only root can change it.
        folder = tempfile.mkdtemp(prefix="cygnet-isolated.", dir="/var/lib")
        cls.addClassCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        cls.use_library(shutil.copy(library, folder))
        super().setUpClass()

    @classmethod
    def use_library(cls, library):
        cls.device = {"offload": "crypto", "driver": "plugin", "plugin": library, "isolate": True}

    def test_a_driver_in_its_own_process(self):
        self.offload = True
        self.check(4)
        self.assertEqual(self.where(), {"crypto"})


class EngineInItsOwnProcess(OwnProcess):
    library = "src/plugin/modules/libcygnet_builtin_engine.so"
    test_a_driver_in_its_own_process = None

    @classmethod
    def use_library(cls, library):
        cls.rest = (f'[look_aside]\nengine = "plugin"\nmode = "auto"\nplugin = "{library}"\n'
                    'plugin_options = ["engine=openssl"]\nisolate = true')

    def test_an_engine_in_its_own_process(self):
        self.check(4)
        self.assertEqual(self.where(), {"look-aside"})


if __name__ == "__main__":
    suite.main()
