#!/usr/bin/python3
"""Each alert of etc/prometheus/alerts.yml, by promtool, with metrics recorded from a run in which the thing happens: before
it no alert fires, after it this one does. CYGNET_RECORD=FILE keeps the record: test/prometheus/alerts.json, which CTest's
`alerts` gives to promtool.
"""

import json
import os
import re
import subprocess
import time
import unittest

import labkit
import suite
from test_web import PROMTOOL
from webkit import Server
from wirehost import HOST, INNER_PEER, PEER, SPI_OUT, WireHost, udp

RULES = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../etc/prometheus/alerts.yml"))
SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)$")
BEFORE, AFTER = 20, 80  # samples, one each 15 seconds: 5 minutes before, 20 after


def samples(text):
    """Series with their values, as Prometheus keeps them: those that the rules ask for."""
    with open(RULES, encoding="utf-8") as f:
        asked = set(re.findall(r"\bcygnet_[a-z_]+", f.read()))
    found = {}
    for line in text.splitlines():
        name, labels, value = SAMPLE.match(line).groups() if not line.startswith("#") else (None, None, None)
        if name in asked:
            found[f'{name}{{{labels + "," if labels else ""}instance="gw"}}'] = float(value)
    return found


def series(before, after):
    rows = []
    for name in sorted(before | after):
        values = [f"{before[name]:g}+0x{BEFORE - 1}" if name in before else f"_x{BEFORE}"]
        values.append(f"{after[name]:.17g}+0x{AFTER}" if name in after else "stale")
        rows.append({"series": name, "values": " ".join(values)})
    return rows


def minutes(text):
    return int(text.rstrip("m")) if text else 0


def rules():
    """Alert name: how long its condition must hold."""
    with open(RULES, encoding="utf-8") as f:
        blocks = f.read().split("- alert: ")[1:]
    return {block.split()[0]: minutes((re.findall(r"\bfor: (\w+)", block) or [""])[0]) for block in blocks}


@unittest.skipUnless(PROMTOOL, "promtool is not there")
class Alerts(WireHost, suite.Case):
    offload = True
    device_keys = {"offload": "crypto", "sa_limit": 10}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.web = cls.own(Server(cls.host, history=False))
        cls.runs = {}

    def tearDown(self):
        """The daemon has ended."""

    def record(self):
        time.sleep(1.1)  # a look may be one second old
        return samples(self.web.text("/metrics"))

    def until(self, name, what):
        """The metrics once `what` is true of the sum of a family."""
        def found():
            now = samples(self.web.text("/metrics"))
            return now if what(sum(v for k, v in now.items() if k.startswith(name))) else None
        return labkit.wait_for(found, 15 * suite.SLOWNESS, f"{name}")

    def replace_outbound(self, extra, offload=True):
        self.host.xfrm(f"state delete src {HOST} dst {PEER} proto esp spi {SPI_OUT:#x}")
        self.offload = offload
        self.host.xfrm(self.sa(False, SPI_OUT, self.out, extra=extra))
        self.offload = True

    def send_out(self, count=1):
        for _ in range(count):
            self.udp.sendto(b"x", (INNER_PEER, 9))

    def test_alerts(self):
        self.good()
        quiet = self.record()
        runs = dict.fromkeys(("CygnetReplayWindowShort", "CygnetNumbersRunningOut", "CygnetRekeyFailing",
                              "CygnetTableNearlyFull"), self.worn_out())
        runs["CygnetNumbersNotGiven"] = self.last_number()
        runs["CygnetOffloadLost"] = runs["CygnetDeviceDown"] = self.device_down()
        runs["CygnetGuardHit"] = self.unsealed_packet()
        # A device that keeps what it should have erased: the software NIC does not play that.
        runs["CygnetKeyAtUntrustedHolder"] = {
            name: 0.0 if name.startswith("cygnet_device_trusted") else value for name, value in quiet.items()}
        self.host.ended_by_test = True
        labkit.end(self.host.daemon)
        runs["CygnetDaemonAway"] = self.until("cygnet_daemon_up", lambda up: up == 0)
        self.assertEqual(set(runs), set(rules()), "each alert has a run")
        self.check(quiet, runs)

    def check(self, quiet, runs):
        tests = [self.case(quiet, runs[name], name, hold) for name, hold in rules().items()]
        path = os.path.join(self.workdir, "tests.yml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"rule_files": [RULES], "evaluation_interval": "15s", "tests": tests}, f)
        done = subprocess.run([PROMTOOL, "test", "rules", path], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-4000:])
        if record := os.environ.get("CYGNET_RECORD"):
            with open(record, "w", encoding="utf-8") as f:
                json.dump({"rule_files": ["../../etc/prometheus/alerts.yml"], "evaluation_interval": "15s",
                           "tests": tests}, f, indent=0)
                f.write("\n")
        # The test can fail: without the event no alert fires.
        tests[0]["input_series"] = series(quiet, quiet)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"rule_files": [RULES], "evaluation_interval": "15s", "tests": tests[:1]}, f)
        done = subprocess.run([PROMTOOL, "test", "rules", path], capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0)

    @staticmethod
    def case(quiet, after, name, hold):
        return {"interval": "15s", "input_series": series(quiet, after), "promql_expr_test": [
            {"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": "4m45s", "exp_samples": []},
            {"expr": f'count(count by (alertname) (ALERTS{{alertstate="firing",alertname="{name}"}}))',
             "eval_time": f"{5 + hold + 2}m", "exp_samples": [{"labels": "{}", "value": 1}]}]}

    # --- What happens ---

    def worn_out(self):
        """Late packets, an SA near its last number, one past its soft limit, and a table that is full."""
        self.send(self.sealed(udp(), seq=500), self.sealed(udp(), seq=100))
        self.replace_outbound("limit packet-soft 1")
        self.send_out(3)
        suite.xfrm_batch(self.host, [self.sa(False, SPI_OUT + 1 + i, self.out, extra="replay-oseq 0xe0000000")
                                     for i in range(9)])
        return self.until('cygnet_device_sa_slots_used{device="nic0",direction="out"', lambda n: n >= 10)

    def last_number(self):
        self.replace_outbound("replay-oseq 0xffffffff", offload=False)
        self.send_out()
        return self.until('cygnet_drops_total{reason="out-sequence"', lambda n: n > 0)

    def device_down(self):
        self.host.text("sim", "dev", "nic0", "down")
        try:
            return self.until("cygnet_sa_halves_not_offloaded", lambda n: n > 0)
        finally:
            self.host.text("sim", "dev", "nic0", "up")
            self.until("cygnet_device_up", lambda n: n == 1)

    def unsealed_packet(self):
        self.install()
        self.until("cygnet_sa_halves_not_offloaded", lambda n: n == 0)
        self.host.text("sim", "dev", "nic0", "skip-seal", "1")
        self.send_out()
        return self.until("cygnet_guard_stopped_total", lambda n: n > 0)


if __name__ == "__main__":
    suite.main()
