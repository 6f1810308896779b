"""The steps of one round: short runs of Cygnet and of the peers, side by side."""

import os
import re
import subprocess

import dpdk
from gbench import Program

GROUPS = ("engine", "esp", "scale", "control", "e2e", "chain")
# scale_memory's lines of whole tables; parts of them are indented.
_MEMORY_LINE = re.compile(r"^(SAs, \w+|policies) .* ([\d.]+) us each +(\d+) bytes each$", re.M)
_ENGINE_ROWS = "/(gcm128|gcm256|chacha)/"


class Bench:
    """The programs of one build, and their results."""

    def __init__(self, build, cpu, quick, rounds, flags, peers=True):
        self.quick = quick
        self.rounds = rounds
        self.min_time = 0.004 if quick else 0.02
        self.windows = 80 if quick else 240
        self.esp = Program(build, "esp_bench", cpu)
        self.engine = Program(build, "engine_bench", cpu)
        self.scale = Program(build, "scale_bench", None)  # its workers need more than one CPU
        self.memory = os.path.join(build, "bench", "scale_memory")
        self.memory_errors = []
        self.harnesses = []
        self.notes = []
        if peers:
            self._start_peers(build, cpu, flags)

    def _start_peers(self, build, cpu, flags):
        try:
            self.harnesses = dpdk.start(build, cpu, flags)
            why = "dpdk_ipsec_bench is not built"
        except (OSError, RuntimeError) as error:
            why = str(error).strip()
        if not self.harnesses:
            self.notes.append(f"librte_ipsec was not measured: {why}")

    def steps(self, groups):
        """(name, function of rows); a round calls each once."""
        found = []
        if "engine" in groups:
            found.append(("engine", self._engine))
        if "esp" in groups:
            found += [(f"esp {size}", self._esp_of(size)) for size in dpdk.SIZES]
        if "scale" in groups:
            if self.scale.there:
                found.append(("scale", self._scale))
            else:
                self.notes.append("many SAs and policies were not measured: scale_bench is not built")
        return found

    def _engine(self, rows):
        self.engine.run(rows, "engine", _ENGINE_ROWS, self.min_time)

    def _esp_of(self, size):
        orders = [keywords for of, keywords in dpdk.orders(self.quick) if of == size]

        def step(rows):
            self.esp.run(rows, "esp", f"/(out|in)/{size}(/|$)", self.min_time)
            for keywords in orders:
                for harness in self.harnesses:
                    if keywords["mode"] == "inline" and harness is not self.harnesses[0]:
                        continue  # without crypto the SIMD width does not matter
                    harness.measure(rows, size=size, windows=self.windows, **keywords)

        return step

    def _scale(self, rows):
        """Its tables take long to fill, and its targets are ratios of its own rows. So it runs only
        once, in the first round, and interleaves its rows itself."""
        if rows.of("scale"):
            return
        self.scale.run(rows, "scale", None, self.min_time,
                       [f"--benchmark_repetitions={self.rounds}",
                        "--benchmark_enable_random_interleaving=true",
                        *([] if self.quick else ["--full"])])
        self._memory(rows)

    def _memory(self, rows):
        """The memory of an SA and a policy, all included. Measured once, because it does not vary."""
        result = subprocess.run([self.memory, "20000" if self.quick else "100000"],
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            self.memory_errors.append(f"scale_memory: exit {result.returncode}: {result.stderr[-300:]}")
        for name, us, size in _MEMORY_LINE.findall(result.stdout):
            row = name.replace(",", "").replace(" ", "_")
            rows.add("scale", f"scale_memory:{row}:bytes", "bytes", float(size))
            rows.add("scale", f"scale_memory:{row}:us_to_add", "us", float(us))

    @property
    def tsc_hz(self):
        return self.esp.tsc_hz or self.engine.tsc_hz or self.scale.tsc_hz

    def errors(self):
        programs = (self.esp, self.engine, self.scale, *self.harnesses)
        return sum((p.errors for p in programs), self.memory_errors)

    def close(self):
        for harness in self.harnesses:
            harness.close()
