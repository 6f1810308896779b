"""The targets of the project, each checked against the rows of one run.
`check` yields one Answer for each figure of a target. A row that was not measured results in an
answer without a figure; it does not count as met.
"""

from dataclasses import dataclass
from typing import Optional

import machine as machines
from dpdk import row_name
from stats import speedup, speedup_by_round

DIRECTIONS = ("out", "in")


@dataclass
class Answer:
    target: str
    case: str
    figure: Optional[float]
    unit: str
    need: float
    at_least: bool = True
    rounds: Optional[tuple] = None  # lowest and highest of single rounds

    @property
    def met(self):
        if self.figure is None:
            return None
        return self.figure >= self.need if self.at_least else self.figure <= self.need

    def to_json(self):
        return {"target": self.target, "case": self.case, "figure": self.figure, "unit": self.unit,
                "need": self.need, "at_least": self.at_least, "met": self.met,
                "rounds": self.rounds}


def _esp(rows, stage, direction, size):
    return rows.get(f"esp_bench:{stage}/{direction}/{size}")


def _faster(target, case, ours, theirs, need):
    rounds = speedup_by_round(ours, theirs) if ours and theirs else None
    return Answer(target, case, speedup(ours, theirs), "x", need, rounds=rounds)


def _simd(flags):
    """SIMD widths to compare at, and the suffix of our engines' names for that width."""
    return [("avx512", ""), ("avx2", "_avx2")] if "avx512f" in flags else [("avx2", "")]


def _librte_ipsec(rows, simd, direction, size):
    """The faster one of its two devices."""
    peers = [rows.get(row_name(simd, "cpu", device, "gcm128", 1, direction, size))
             for device in ("aesni_gcm", "aesni_mb")]
    return min((p for p in peers if p), key=lambda p: p.figure, default=None)


def _esp_alone(rows, machine):
    for simd, suffix in _simd(machine["flags"]):
        for size in ("64", "imix", "1400"):
            for direction in DIRECTIONS:
                yield _faster("ESP alone against librte_ipsec", f"{simd} {direction} {size}",
                              _esp(rows, f"transform/software{suffix}", direction, size),
                              _librte_ipsec(rows, simd, direction, size), 2.0)


def _pipeline(rows, machine):
    """Port, Ethernet, policies and guard included, against ESP alone of librte_ipsec. The shares are
    those of a CPU without AVX-512."""
    for simd, suffix in _simd(machine["flags"]):
        for size, need in (("64", 1.0), ("imix", 0.82), ("1400", 0.62)):
            for direction in DIRECTIONS:
                ratio = speedup(_esp(rows, f"pipeline/software{suffix}", direction, size),
                                _librte_ipsec(rows, simd, direction, size))
                yield Answer("whole pipeline, of librte_ipsec's time for ESP alone",
                             f"{simd} {direction} {size}", 1 / ratio if ratio else None, "x", need,
                             at_least=False)


def _stack_only(rows, _machine):
    for direction in DIRECTIONS:
        for size in ("64", "1400"):
            ours = _esp(rows, "transform/offload", direction, size)
            theirs = rows.get(row_name("", "inline", "", "", 1, direction, size))
            ratio = speedup(ours, theirs)
            yield Answer("stack only, of librte_ipsec's inline", f"{direction} {size}",
                         1 / ratio if ratio else None, "x", 0.6, at_least=False)


def _difference(rows, machine, target, more, less, need):
    """Difference of two stages of esp_bench, in ns."""
    per_ns = (machine.get("tsc_hz") or 0) / 1e9
    for direction in DIRECTIONS:
        for size in ("64", "590", "1400"):
            a, b = more(direction, size), less(direction, size)
            figure = (a.figure - b.figure) / per_ns if a and b and per_ns else None
            yield Answer(target, f"{direction} {size}", figure, "ns", need[direction],
                         at_least=False)


def _engine_row(rows, direction, size):
    """The fastest engine on this CPU, which the transform uses too."""
    found = [row for row in rows.of("esp") if row.name.startswith("esp_bench:engine/")
             and row.name.endswith(f"/{direction}/{size}")]
    return min(found, key=lambda row: row.figure, default=None)


def _overhead(rows, machine):
    yield from _difference(rows, machine, "ESP above the raw engine",
                           lambda d, s: _esp(rows, "transform/software", d, s),
                           lambda d, s: _engine_row(rows, d, s), {"out": 15, "in": 18})
    yield from _difference(rows, machine, "full pipeline above ESP",
                           lambda d, s: _esp(rows, "pipeline/software", d, s),
                           lambda d, s: _esp(rows, "transform/software", d, s),
                           {"out": 33, "in": 33})


def _engine(rows, machine):
    needs = {"avx2": {"64": 2.1, "1400": 2.0}, "avx512": {"64": 2.1, "1400": 1.15}}
    for simd, suffix in _simd(machine["flags"]):
        for alg in ("gcm128", "gcm256"):
            for size, need in needs[simd].items():
                for direction in DIRECTIONS:
                    tail = f"{suffix}/{alg}/{direction}/{size}/64"
                    yield _faster("own AES-GCM against ipsec-mb", f"{simd} {alg} {direction} {size}",
                                  rows.get(f"engine_bench:vaes_gcm{tail}"),
                                  rows.get(f"engine_bench:ipsec_mb{tail}"), need)


def _engine_rate(rows, machine):
    """The fastest known rate on the reference CPU. The number does not apply to other CPUs."""
    if machines.microarchitecture(machine) != "Zen 3 (Milan)":
        return
    for direction in DIRECTIONS:
        row = rows.get(f"engine_bench:vaes_gcm/gcm128/{direction}/1400/64")
        figure = 1400 * machine["tsc_hz"] / row.figure * 1e-9 if row else None
        yield Answer("own AES-GCM-128, rate", f"{direction} 1400", figure, "GB/s", 8.5)


def _end_to_end(rows, _machine):
    for direction in DIRECTIONS:
        ours = rows.get(f"e2e:tcp/1/{direction}/cygnet")
        for peer, need in (("wireguard-go", 5.0), ("kernel-libipsec", 10.0)):
            yield _faster(f"end to end TCP against {peer}", f"1 stream {direction}", ours,
                          rows.get(f"e2e:tcp/1/{direction}/{peer}"), need)
    idle = rows.get("e2e:idle/cpu/cygnet")
    yield Answer("idle daemon", "CPU", idle.figure if idle else None, "%", 1.0, at_least=False)
    ours = rows.get("e2e:udp/64/rate/cygnet")
    for peer in ("wireguard-go", "kernel-libipsec"):
        yield _faster("UDP 64 bytes, no peer ahead", peer, ours,
                      rows.get(f"e2e:udp/64/rate/{peer}"), 1.0)


def _chain(rows, _machine):
    for size in ("64", "1400"):
        yield _faster("inside path against TAP path", f"{size} bytes",
                      rows.get(f"chain:udp/{size}/rate/cygnet-inside"),
                      rows.get(f"chain:udp/{size}/rate/cygnet-tap"), 2.0)
    for size in ("64", "512", "1400"):
        ours, theirs = (rows.figure(f"chain:udp/{size}/latency10/p50/{system}")
                        for system in ("cygnet-inside", "kernel"))
        yield Answer("inside path's latency, of the kernel's forwarding", f"p50, {size} bytes",
                     ours / theirs if ours and theirs else None, "x", 1.3, at_least=False)


def _kept(rows, target, stem, base, counts):
    """The fraction of a small table's rate that a large table keeps."""
    for count, need in counts:
        yield _faster(target, f"{stem.split('/')[-1]} {count}",
                      rows.get(f"scale_bench:{stem}/{count}"),
                      rows.get(f"scale_bench:{stem}/{base}"), need)


def _new_flows(rows):
    """The first packet of a flow, against a packet of a known flow with ten policies."""
    for count, need in ((10, 1.7), (100000, 2.5)):
        ratio = speedup(rows.get(f"scale_bench:policies/new/{count}"),
                        rows.get("scale_bench:policies/cached/10"))
        yield Answer("first packet of a flow, of a cached one", f"{count} policies",
                     1 / ratio if ratio else None, "x", need, at_least=False)


def _control(rows, _machine):
    for what, need in (("add", 0.6), ("add by ip -batch", 0.6), ("dump", 0.5)):
        name = f"control:policies/100000/{what}"
        yield _faster("100,000 policies, of the kernel's rate", what, rows.get(f"{name}/cygnet"),
                      rows.get(f"{name}/kernel"), need)
    yield Answer("SAs through the socket", "add 100,000",
                 rows.figure("control:sas/100000/add/cygnet"), "a second", 60000)
    restart = "100,000 SAs over a restart"
    for what, case in (("restored", restart), ("restart", restart), ("migrated", "100,000 SAs by MIGRATE")):
        yield Answer(case, what, rows.figure(f"control:sas/100000/{what}"), "s",
                     2.0, at_least=False)
    alone = rows.figure("control:forwarding/latency10/p99/alone")
    for kind in ("sas", "policies"):
        meanwhile = rows.figure(f"control:forwarding/latency10/p99/{kind} change")
        yield Answer("p99 latency while tables change, of that alone", kind,
                     meanwhile / alone if meanwhile and alone else None, "x", 2.0, at_least=False)


def _scale(rows, _machine):
    for direction in DIRECTIONS:
        yield from _kept(rows, "many SAs: rate of one SA kept", f"sas/{direction}", 1,
                         ((256, 0.8), (65536, 0.5), (1000000, 0.4)))
    for direction in ("outbound", "inbound"):
        yield Answer("memory of an SA", direction,
                     rows.figure(f"scale_memory:SAs_{direction}:bytes"), "B", 1024, at_least=False)
    yield Answer("memory of a policy", "100000", rows.figure("scale_memory:policies:bytes"), "B", 512,
                 at_least=False)
    yield from _new_flows(rows)
    yield from _kept(rows, "policies: rate of ten kept", "policies/cached", 10, ((100000, 0.8),))
    yield from _kept(rows, "policies: rate of ten kept", "policies/new", 10, ((100000, 0.5),))
    yield from _kept(rows, "policies: rate of ten kept", "policies/lookup", 10,
                     ((1000, 0.5), (100000, 0.5)))
    for direction in DIRECTIONS:
        yield from _kept(rows, "one SA, two workers", f"workers/{direction}", 1, ((2, 1.9),))
    yield from _kept(rows, "one tunnel, packet offload, two workers", "inner_rss/packet", 1,
                     ((2, 1.8),))


def check(rows, machine):
    for part in (_esp_alone, _overhead, _pipeline, _stack_only, _engine, _engine_rate, _scale, _control,
                 _end_to_end, _chain):
        yield from part(rows, machine)
