#!/usr/bin/python3
"""A cluster whose store forgets, lies or loses answers, whose clock steps, whose numbers end, and whose
entries are not what they should be: what is not safe is refused by name.
"""

import base64
import os
import shutil
import subprocess
import time
import unittest

import suite
from clusterkit import SPI_IN, SPI_OUT, ClusterCase
from clusterproxy import Proxy
from etcdkit import PREFIX
from labkit import LabError

# Shifts CLOCK_REALTIME by the seconds in the file that CLOCK_SHIFT names.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec* ts) {
  static int (*real)(clockid_t, struct timespec*);
  if (!real) real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(id, ts);
  FILE* f = id == CLOCK_REALTIME ? fopen(getenv("CLOCK_SHIFT"), "r") : NULL;
  long shift = 0;
  if (f && fscanf(f, "%ld", &shift) == 1) ts->tv_sec += shift;
  if (f) fclose(f);
  return result;
}
"""


class Faults(ClusterCase):
    rate = 500

    def begin(self, **traffic):
        self.start_both()
        self.traffic(**traffic)
        self.flows_pass()

    def assert_silent(self):
        """The old SAs seal and accept nothing any more."""
        self.wait_for(lambda: self.still(0.5), "both flows to end", 15)
        self.assertTrue(self.still(1.0))

    def still(self, seconds):
        before = self.audited.sealed, self.host.arrived.unique
        time.sleep(seconds * suite.SLOWNESS)
        return before == (self.audited.sealed, self.host.arrived.unique)

    def rekey(self):
        """Key management brings new SAs; the audit goes on with them."""
        self.judge()
        self.new_keys()
        for gateway in self.gateways.values():
            suite.xfrm_batch(gateway, ["state flush", "policy flush"] + self.sa_lines())
        self.traffic()
        self.flows_pass(15)
        self.judge()


class StoreGoesBack(Faults):
    """Restored from an older copy, wiped, or wiped and grown again."""

    def restore(self, snapshot):
        server = self.store.servers[0]
        server.kill()
        server.wipe()
        server.ctl("snapshot", "restore", snapshot, "--name", server.name, "--data-dir", server.data,
                   "--initial-cluster", f"{server.name}=https://{server.address}:2380",
                   "--initial-advertise-peer-urls", f"https://{server.address}:2380")
        self.store.start()

    def snapshot(self):
        path = os.path.join(self.workdir, f"{self._testMethodName}.snapshot")
        self.store.servers[0].ctl("snapshot", "save", path)
        return path

    def wiped(self):
        server = self.store.servers[0]
        server.kill()
        server.wipe()
        self.store.start()

    def move_on(self):
        """The store gives more numbers: another start of the owner."""
        self.gateways["gw1"].kill()
        self.wait_owner("gw2")
        self.flows_pass()
        self.start("gw1")
        self.wait_ready("gw1")

    def test_restored_while_the_gateways_run(self):
        self.begin()
        snapshot = self.snapshot()
        self.move_on()
        self.restore(snapshot)
        self.assert_silent()
        self.assertRegex(self.gateways["gw2"].log(), "store .*(went back|older)")
        self.rekey()

    def test_wiped_while_the_gateways_run(self):
        self.begin()
        self.wiped()
        self.assert_silent()
        self.rekey()

    def test_wiped_and_grown_while_the_gateways_are_away(self):
        """The revision says nothing then. A key of before must not get its numbers again."""
        self.begin()
        revision = self.store.any().post("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        for gateway in self.gateways.values():
            gateway.kill()
        self.wiped()
        key = base64.b64encode(b"/other").decode()
        for _ in range(int(revision) + 50):
            self.store.servers[0].post("/v3/kv/put", {"key": key, "value": key})
        for name in self.gateways:
            try:
                self.start(name)
            except Exception as error:  # pylint: disable=broad-except
                print(f"    {name}: {error}", flush=True)  # it may refuse the SAs
        time.sleep(3)
        self.judge_ivs()

    def judge_ivs(self):
        """Where numbers begin anew, the IVs are others."""
        self.end_traffic()
        figures = self.figures()
        print("   ", figures, flush=True)
        for what in ("repeated IVs", "accepted twice", "in clear", "forged"):
            self.assertEqual(figures[what], 0, what)


class AnswersAreLost(Faults):
    """The transaction is done, and its answer does not come."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxies = {name: cls.own(Proxy(gateway.ns, cls.store.servers[0].address))
                       for name, gateway in cls.gateways.items()}

    def config(self, name):
        return super().config(name).replace(self.store.servers[0].url, "https://127.0.0.1:2379")

    def test_every_fifth_answer_is_lost(self):
        self.begin()
        for proxy in self.proxies.values():
            proxy.loss = 0.2
        time.sleep(8 * suite.SLOWNESS)
        for proxy in self.proxies.values():
            proxy.loss = 0.0
        self.wait_for(lambda: self.store.owner(), "an owner", 15)
        self.flows_pass(20)
        withheld = sum(proxy.withheld for proxy in self.proxies.values())
        passed = sum(proxy.passed for proxy in self.proxies.values())
        print(f"    answers lost: {withheld} of {withheld + passed}", flush=True)
        self.assertGreater(withheld, 10)
        self.judge()


class Clock(Faults):
    """The time of day steps, back and forth. Leases and heartbeats do not notice."""

    @classmethod
    def setUpClass(cls):
        if shutil.which("gcc") is None:
            raise unittest.SkipTest("gcc is not installed")
        super().setUpClass()
        library, source = f"{cls.workdir}/clock.so", f"{cls.workdir}/clock.c"
        with open(source, "w", encoding="ascii") as f:
            f.write(CLOCK)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        for name, gateway in cls.gateways.items():
            gateway.shift = f"{cls.workdir}/{name}.shift"
            cls.step(gateway, 0)
            program = f"{cls.workdir}/{name}.sh"
            with open(program, "w", encoding="ascii") as f:
                f.write(f'#!/bin/sh\nexec env LD_PRELOAD={library} CLOCK_SHIFT={gateway.shift} '
                        f'{gateway.cygnet.daemon} "$@"\n')
            os.chmod(program, 0o700)
            gateway.cygnet.daemon = program

    @staticmethod
    def step(gateway, seconds):
        with open(gateway.shift + ".new", "w", encoding="ascii") as f:
            f.write(str(seconds))
        os.replace(gateway.shift + ".new", gateway.shift)

    def test_steps(self):
        self.begin()
        before = self.store.owner()
        lost = self.host.sent - self.auditor.arrived.unique
        for seconds in (86400 * 365, -86400 * 365, 3, -3, 0):
            for gateway in self.gateways.values():
                self.step(gateway, seconds)
                time.sleep(0.3)
            time.sleep(0.7)
        self.assertIn(time.strftime("%Y", time.gmtime(time.time() + 86400 * 365)),
                      self.ledger_years(), "the steps reach the process")
        self.assertEqual(self.store.owner(), before, "nobody took over")
        self.flows_pass()
        self.assertLessEqual(self.judge()[0] - lost, 0.05 * self.rate)

    def ledger_years(self):
        """What the process takes for the time: an SA that is added then says it."""
        gateway = self.gateways["gw1"]
        self.step(gateway, 86400 * 365)
        gateway.xfrm(f"state add src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x9999 aead "
                     f"rfc4106(gcm(aes)) 0x{os.urandom(20).hex()} 128")
        self.step(gateway, 0)
        with open(f"{self.workdir}/gw1.jsonl", encoding="utf-8") as f:
            return f.read()


class NumbersEnd(Faults):
    """The counter of the store stands shortly before an edge."""

    def preset(self, number):
        """Gives the outbound SA's row that number: both gateways are stopped meanwhile."""
        self.new_keys()
        self.start("gw1")
        self.wait_owner("gw1")
        rows = self.wait_for(self.rows, "the row of the SA")
        self.gateways["gw1"].stop()
        for key in rows:
            self.store.servers[0].ctl("put", PREFIX + key, str(number))
        self.start("gw1")
        self.wait_owner("gw1")
        self.start("gw2")
        self.wait_ready("gw2")

    def rows(self):
        """Only the outbound SA has used numbers of its own."""
        return [key for key, value in self.store.get("num/").items() if key.endswith("/out") and int(value)]

    def setUp(self):
        super().setUp()
        self.store.servers[0].ctl("del", "--prefix", PREFIX + "num/")


class Esn(NumbersEnd):
    def test_numbers_cross_2_to_the_32nd(self):
        self.preset((1 << 32) - 3000)
        self.traffic()
        self.audited.top = (1 << 32) - 3000
        self.wait_for(lambda: self.audited.high == 1, "the high half to rise", 20)
        self.gateways["gw1"].kill()
        self.wait_owner("gw2")
        self.flows_pass()
        self.assertEqual(self.audited.high, 1)
        self.judge()


class NoEsn(NumbersEnd):
    sa_words = "replay-window 32"

    def test_numbers_end(self):
        self.preset((1 << 32) - 70000)
        self.traffic()
        self.wait_for(lambda: self.gateways["gw1"].has(), "gw1")
        self.flows_pass()
        self.gateways["gw1"].kill()
        self.wait_owner("gw2")
        time.sleep(2)
        self.end_traffic()
        self.assertEqual(self.audited.repeated + self.audited.repeated_ivs, 0)
        self.assertGreater(self.audited.top, (1 << 32) - 70000)
        print(f"    the last number: {self.audited.top:#x}", flush=True)
        self.assertLess(self.audited.top, 1 << 32)


class Device(Faults):
    """A device that numbers packets by itself can not work for a group."""

    mode = "packet"

    def config(self, name):
        rule = f'[[placement]]\nname = "all"\npeer = "0.0.0.0/0"\nmode = "{self.mode}"\n'
        return super().config(name) + 'offload = "auto"\n' + rule

    def test_packet_offload_is_refused_by_name(self):
        with self.assertRaisesRegex(LabError, "packet offload: shared-numbers: "):
            self.start_both()

    def test_another_place_is_found(self):
        self.mode = "auto"
        self.begin()
        for gateway in self.gateways.values():
            for sa in gateway.show("sa"):
                self.assertNotIn("packet", [half["effective"] for half in sa["placements"]])
        self.judge()


class Entries(Faults):
    """Whole SAs in the store, under a key of the operator."""

    share = "sas"

    def setUp(self):
        super().setUp()
        for part in ("sa/", "policy/"):
            self.store.servers[0].ctl("del", "--prefix", PREFIX + part)

    def spis(self, name):
        return {int(sa["spi"], 16) for sa in self.gateways[name].show("sa")}

    def test_the_other_node_has_them_and_continues(self):
        self.begin()
        self.gateways["gw1"].kill()
        self.wait_owner("gw2")
        self.flows_pass()
        self.start("gw1")
        self.wait_ready("gw1")
        self.judge()

    def test_no_key_is_in_the_store(self):
        self.start_both()
        for key, value in self.store.get("").items():
            for spi, material in self.keys.items():
                for secret in (material, material[:16]):
                    for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:20]):
                        self.assertNotIn(form, value, (key, hex(spi)))

    def test_a_bit_is_wrong(self):
        self.start_both()
        self.gateways["gw2"].stop()
        for key, value in self.store.get("sa/").items():
            spoilt = bytearray(value)
            spoilt[len(spoilt) // 2] ^= 1
            self.store.servers[0].post("/v3/kv/put", {
                "key": base64.b64encode((PREFIX + key).encode()).decode(),
                "value": base64.b64encode(spoilt).decode()})
        self.refused_by("gw2")

    def test_another_wrapping_key(self):
        self.start_both()
        self.gateways["gw2"].stop()
        with open(f"{self.workdir}/kek2", "wb") as f:
            f.write(os.urandom(32))
        os.chmod(f"{self.workdir}/kek2", 0o600)
        config = self.config("gw2").replace("/kek\"", "/kek2\"")
        self.refused_by("gw2", config)

    def refused_by(self, name, config=None):
        gateway = self.gateways[name]
        at = len(gateway.log())
        gateway.start(config=config or self.config(name))
        self.wait_for(lambda: "refused" in gateway.log()[at:], "the refusal")
        print("   ", [line for line in gateway.log()[at:].splitlines() if "refused" in line][:2], flush=True)
        self.assertFalse(self.spis(name) & {SPI_OUT, SPI_IN})


if __name__ == "__main__":
    suite.main()
