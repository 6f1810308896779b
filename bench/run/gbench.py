"""Google Benchmark programs of this directory: short runs, their counters as rows."""

import json
import os
import re
import subprocess
import tempfile

from stats import CYCLES

_SUFFIX = re.compile(r"/(manual_time|real_time|process_time|iterations:\d+|min_time:[\d.]+)")
_SHOWN_ELSEWHERE = {"p5", "median", "Gbps_p5", "windows"}
# Fewer windows than this have no useful 5th percentile: a disturbed first window used up the time.
_FEWEST = 8
_OWN_KEYS = {"iterations", "real_time", "cpu_time", "repetitions", "repetition_index", "threads",
             "family_index", "per_family_instance_index"}


class Program:
    def __init__(self, build, name, cpu):
        self.name = name
        self.path = os.path.join(build, "bench", name)
        self.cpu = cpu
        self.tsc_hz = None
        self.errors = []

    @property
    def there(self):
        return os.path.exists(self.path)

    def list(self):
        """Full names of its rows."""
        result = subprocess.run([self.path, "--benchmark_list_tests=true"], capture_output=True,
                                text=True, check=False)
        if result.returncode != 0:
            self.errors.append(f"{self.name}: exit {result.returncode}: {result.stderr[-300:]}")
        return [line for line in result.stdout.splitlines() if "/" in line and " " not in line]

    def run(self, rows, group, pattern=None, min_time=0.02, options=()):
        """One short run; adds an entry to each row that matches `pattern`."""
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            pinned = ["taskset", "-c", self.cpu] if self.cpu else []
            argv = [*pinned, self.path, f"--benchmark_min_time={min_time}",
                    f"--benchmark_out={out.name}", "--benchmark_out_format=json", *options]
            if pattern:
                argv.append(f"--benchmark_filter={pattern}")
            result = subprocess.run(argv, capture_output=True, text=True, check=False)
            text = out.read()
        self._note_rate(result.stdout + result.stderr)
        if result.returncode != 0 or not text.strip():
            if "Failed to match any benchmarks" not in result.stdout + result.stderr:
                self.errors.append(f"{self.name}: exit {result.returncode}: {result.stderr[-300:]}")
            return
        self.read(json.loads(text), rows, group)

    def _note_rate(self, text):
        found = re.search(r"TSC:? ([\d.]+) GHz", text)
        if found:
            self.tsc_hz = float(found.group(1)) * 1e9

    def read(self, report, rows, group):
        for entry in report["benchmarks"]:
            if entry.get("run_type") == "aggregate":
                continue
            name = f"{self.name}:{_SUFFIX.sub('', entry['name'])}"
            if entry.get("error_occurred"):
                self.errors.append(f"{name}: {entry.get('error_message')}")
                continue
            if "/iterations:" not in entry["name"] and entry.get("iterations", _FEWEST) < _FEWEST:
                continue
            if "p5" in entry:
                rows.add(group, name, CYCLES, entry["p5"], entry["median"])
            for key, value in entry.items():
                if (key not in _SHOWN_ELSEWHERE and key not in _OWN_KEYS
                        and isinstance(value, (int, float)) and not isinstance(value, bool)):
                    rows.add(group, f"{name}:{key}", key, value, less_is_better=_less(key))


def _less(counter):
    """True for every counter but rates: fewer bytes, ns or losses are better."""
    return not re.search(r"per_second|rate|Mpps|Gbps|ratio|speedup", counter)
