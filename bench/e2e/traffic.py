"""Traffic over a system: iperf3's TCP, numbered packets, and the rate without loss."""

import json
import os
import subprocess
import time

import labkit
from labkit import LabError

SIZES = ("64", "256", "590", "1420", "imix")
_TRIES = 2       # a rate fails only if it loses packets twice, because a neighbour may have had the CPU
_MOST_LAG = 0.2  # time to drain queues after sending ends, as a fraction of the run: more means a queue hid loss
_PRECISION = 1.06
_LOWEST, _HIGHEST = 500, 4_000_000


def tcp(system, streams, reverse, seconds):
    """Mbit/s received."""
    west, east = system.ends
    server = east.popen(["iperf3", "-s", "-1", "-B", system.addresses[1]],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        labkit.wait_for(lambda: ":5201" in east.run("ss -Htln").stdout, 10, "iperf3's server")
        argv = ["iperf3", "-J", "-c", system.addresses[1], "-B", system.addresses[0], "-P",
                str(streams), "-t", str(seconds), *(["-R"] if reverse else [])]
        result = west.run(argv, check=False, timeout=seconds + 30)
        report = json.loads(result.stdout)
    except (ValueError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{system.name}: iperf3: {error}") from None
    finally:
        labkit.end(server, timeout=2)
    received = report.get("end", {}).get("sum_received")
    if "error" in report or received is None:
        raise LabError(f"{system.name}: iperf3: {report.get('error', 'nothing received')}")
    return received["bits_per_second"] / 1e6


class Generator:
    """pktgen between the ends of a system. `cpu`: where all of its threads run."""

    def __init__(self, build, cpu=None):
        self.program = os.path.join(build, "bench", "e2e", "pktgen")
        self.prefix = [] if cpu is None else ["taskset", "-c", str(cpu)]

    def send(self, system, size, rate, seconds):
        result = subprocess.run(
            [*self.prefix, self.program, *system.generator(), "--size", size, "--rate",
             f"{rate:.0f}", "--seconds", str(seconds)],
            capture_output=True, text=True, timeout=seconds + 30, check=False)
        if result.returncode != 0:
            raise LabError(f"{system.name}: {result.stderr.strip()}")
        return json.loads(result.stdout)

    def lossless(self, system, size, seconds, hint=None):
        """(highest rate without loss, its result). With `hint`, an earlier rate, the search is
        short."""

        def passes(rate):
            best = None
            for _ in range(_TRIES):
                best = self.send(system, size, rate, seconds)
                if best["lost"] == 0 and best["lag_ms"] <= 1000 * _MOST_LAG * seconds:
                    return best
                time.sleep(0.05)
            return None

        return search(passes, hint)


def search(passes, hint=None):
    """(rate, result) of the highest rate for which `passes` returns a result: doubles or halves to a
    bracket, then bisects it. A generator that stays below the requested rate has reached its own
    limit; then the rate that it sent counts."""
    low, low_result, high = 0, None, None
    rate = hint or 16_000
    while _LOWEST <= rate <= _HIGHEST:
        result = passes(rate)
        if result is None:
            high = rate
        else:
            low, low_result = rate, result
            if result["sent_pps"] < 0.9 * rate:
                return result["sent_pps"], result
        if high is None:
            rate = low * (1.25 if hint else 2)
        elif low == 0:
            rate = high / (1.25 if hint else 2)
        elif high / low > _PRECISION:
            rate = (high * low) ** 0.5
        else:
            break
    return low, low_result
