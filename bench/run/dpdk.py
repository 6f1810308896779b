"""dpdk_ipsec_bench: librte_ipsec, one order and one answer at a time."""

import contextlib
import json
import os
import subprocess

from stats import CYCLES

SIZES = ("64", "256", "590", "1400", "imix")
_PACKETS = 64
_EAL = ["--no-huge", "--no-pci", "--no-shconf", "-m", "512", "--no-telemetry",
        "--vdev=crypto_aesni_mb", "--vdev=crypto_aesni_gcm", "--log-level=3"]


class Harness:
    """One process. `simd`: "avx512" as ipsec-mb chooses, "avx2" if forced to that."""

    def __init__(self, build, cpu, simd, forced):
        self.simd = simd
        env = dict(os.environ)
        env.pop("CYGNET_BENCH_AVX2", None)
        if forced:
            env["CYGNET_BENCH_AVX2"] = "1"
        self.errors = []
        self.process = subprocess.Popen(
            ["taskset", "-c", cpu, path(build), "-l", cpu, *_EAL], env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.alive = True
        self._answer()  # the greeting

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"dpdk_ipsec_bench ended: {self.process.stderr.read()[-500:]}")

    def measure(self, rows, mode, size, device="aesni_gcm", alg="gcm128", sas=1, windows=200):
        """Windows of 64 packets, as in esp_bench, with librte_ipsec's best burst size. With crypto, 64
        takes 3 % fewer cycles than 32; without, 15 % more."""
        if not self.alive:
            return
        burst = 32 if mode == "inline" else 64
        order = (f"mode={mode} dev=crypto_{device} alg={alg} size={size} sas={sas} burst={burst} "
                 f"packets={_PACKETS} windows={max(windows, sas // _PACKETS * 4)}")
        try:
            self.process.stdin.write(order + "\n")
            answer = self._answer()
        except (OSError, RuntimeError) as error:
            self.alive = False
            self.errors.append(f"{order}: {error}")
            return
        for direction in ("out", "in"):
            name = row_name(self.simd, mode, device, alg, sas, direction, size)
            if answer["failed"]:
                self.errors.append(f"{name}: {answer['failed']} packets failed")
            rows.add("peers", name, CYCLES, answer[direction]["p5"], answer[direction]["median"])

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(10)


def row_name(simd, mode, device, alg, sas, direction, size):
    what = "inline" if mode == "inline" else f"cpu/{simd}/{device}/{alg}"
    return f"librte_ipsec:{what}/{sas}sa/{direction}/{size}"


def path(build):
    return os.path.join(build, "bench", "peers", "dpdk_ipsec_bench")


def start(build, cpu, flags):
    """The harnesses that make sense on this CPU; none if the program is not built."""
    if not os.path.exists(path(build)):
        return []
    widths = [("avx512", False), ("avx2", True)] if "avx512f" in flags else [("avx2", False)]
    return [Harness(build, cpu, simd, forced) for simd, forced in widths]


def orders(quick):
    """(size, keywords of `measure`), so that they run beside esp_bench's rows of that size."""
    devices = ("aesni_gcm",) if quick else ("aesni_gcm", "aesni_mb")
    for size in SIZES:
        for alg in ("gcm128", "gcm256"):
            for device in devices:
                yield size, {"mode": "cpu", "device": device, "alg": alg}
        yield size, {"mode": "inline"}
    for sas in (256, 2048):
        for size in ("64", "imix"):
            yield size, {"mode": "cpu", "sas": sas}
        yield "64", {"mode": "inline", "sas": sas}
