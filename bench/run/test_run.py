"""Statistics, targets, comparison and tables of tools/bench, with made-up figures."""

import os
import sys
import tempfile
import types
import unittest
import unittest.mock

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [_HERE, os.path.join(_HERE, "..", "e2e"),
                os.path.join(_HERE, "..", "..", "test", "interop")]

import chain_steps  # noqa: E402
import compare  # noqa: E402
import dpdk  # noqa: E402
import machine  # noqa: E402
import opening  # noqa: E402
import scaling  # noqa: E402
import smoke  # noqa: E402
import tables  # noqa: E402
import targets  # noqa: E402
import traffic  # noqa: E402
from gbench import Program  # noqa: E402
from stats import CYCLES, Row, Rows, quantile, speedup, speedup_by_round  # noqa: E402


def timed(name, *best, typical=None):
    return Row("esp", name, CYCLES, True, list(best), list(typical or best))


def rate(name, *values):
    return Row("e2e", name, "Mbit/s", False, list(values), list(values))


HERE = {"model": "CPU", "family": "25", "model_number": "1", "stepping": "1", "cpus": 2,
        "flags": ["aes", "avx2", "vaes"], "virtual": True, "tsc_hz": 2.0e9, "kernel": "6.18"}


class Statistics(unittest.TestCase):
    def test_windows_are_known_by_their_fastest_round(self):
        row = timed("a", 100, 90, 160, typical=[120, 110, 180])
        self.assertEqual((row.figure, row.median), (90, 120))

    def test_throughput_is_known_by_its_median(self):
        self.assertEqual(rate("a", 10, 500, 20).figure, 20)

    def test_one_slow_round_hardly_widens_the_spread(self):
        self.assertLess(timed("a", 100, 101, 102, 101, 100, 100, 300).spread, 0.03)
        self.assertAlmostEqual(timed("a", 100, 150).spread, 0.5)

    def test_speedup_looks_at_what_is_better(self):
        self.assertEqual(speedup(timed("a", 50), timed("b", 100)), 2)
        self.assertEqual(speedup(rate("a", 50), rate("b", 100)), 0.5)
        self.assertIsNone(speedup(timed("a", 50), None))

    def test_a_peer_that_moved_nothing_gives_no_ratio(self):
        self.assertIsNone(speedup(rate("a", 50), rate("b", 0)))

    def test_rounds_are_compared_side_by_side(self):
        ours, theirs = timed("a", 50, 80), timed("b", 100, 240)
        self.assertEqual(speedup_by_round(ours, theirs), (2, 3))

    def test_quantiles_lie_between_neighbours_in_proportion(self):
        self.assertEqual([quantile([4, 1, 2, 3], q) for q in (0, 0.5, 1)], [1, 2.5, 4])
        self.assertEqual(quantile([7], 0.95), 7)

    def test_rows_come_back_from_json(self):
        row = timed("a", 1, 2, typical=[3, 4])
        self.assertEqual(Row.from_json(row.to_json()), row)


class Comparison(unittest.TestCase):
    def changes(self, old, new, threshold=0.1):
        return compare.changes(Rows(old), Rows(new), threshold)

    def test_slower_windows_are_worse(self):
        (change,) = self.changes([timed("a", 100)], [timed("a", 125)])
        self.assertTrue(change.worse)

    def test_more_throughput_is_better(self):
        (change,) = self.changes([rate("a", 100)], [rate("a", 125)])
        self.assertFalse(change.worse)

    def test_within_the_threshold_nothing_is_said(self):
        self.assertEqual(self.changes([timed("a", 100)], [timed("a", 109)]), [])

    def test_within_the_spread_nothing_is_said(self):
        self.assertEqual(self.changes([timed("a", 100, 140)], [timed("a", 125)]), [])

    def test_half_as_fast_is_as_far_as_twice(self):
        self.assertEqual(len(self.changes([rate("a", 100)], [rate("a", 50)], 0.99)), 1)

    def test_the_worst_comes_first(self):
        found = self.changes([timed("a", 100), timed("b", 100), timed("c", 100)],
                             [timed("a", 50), timed("b", 130), timed("c", 200)])
        self.assertEqual([c.name for c in found], ["c", "b", "a"])

    def test_rows_of_one_run_alone_are_told_apart(self):
        self.assertEqual(compare.only_in(Rows([timed("a", 1), timed("b", 1)]),
                                         Rows([timed("a", 1)])), ["b"])

    def test_another_cpu_is_refused(self):
        self.assertIn("flags", compare.difference(HERE, {**HERE, "flags": ["aes"]}))
        self.assertIn("counter", compare.difference(HERE, {**HERE, "tsc_hz": 2.1e9}))

    def test_another_kernel_is_not(self):
        self.assertIsNone(compare.difference(HERE, {**HERE, "kernel": "7.0", "tsc_hz": 2.001e9}))


class Targets(unittest.TestCase):
    def answers(self, rows, name, flags=("avx2",)):
        found = targets.check(Rows(rows), {**HERE, "flags": list(flags)})
        return {a.case: a for a in found if a.target.startswith(name)}

    def test_not_measured_is_not_met(self):
        for answer in targets.check(Rows(), HERE):
            self.assertIsNone(answer.met)

    def test_esp_is_held_against_the_faster_device(self):
        name = [dpdk.row_name("avx2", "cpu", d, "gcm128", 1, "out", "64")
                for d in ("aesni_gcm", "aesni_mb")]
        found = self.answers([timed("esp_bench:transform/software/out/64", 100),
                              timed(name[0], 190), timed(name[1], 260)], "ESP alone")
        self.assertAlmostEqual(found["avx2 out 64"].figure, 1.9)
        self.assertFalse(found["avx2 out 64"].met)

    def test_with_avx512_both_widths_are_required(self):
        found = self.answers([], "ESP alone", ("avx2", "avx512f"))
        self.assertEqual({case.split()[0] for case in found}, {"avx2", "avx512"})

    def test_overhead_is_in_ns(self):
        found = self.answers([timed("esp_bench:transform/software/in/64", 130),
                              timed("esp_bench:engine/a/in/64", 100),
                              timed("esp_bench:engine/b/in/64", 400)], "ESP above")
        self.assertAlmostEqual(found["in 64"].figure, 15)
        self.assertTrue(found["in 64"].met)

    def test_engines_are_compared_at_one_width(self):
        found = self.answers([timed("engine_bench:vaes_gcm_avx2/gcm128/out/1400/64", 100),
                              timed("engine_bench:ipsec_mb_avx2/gcm128/out/1400/64", 210),
                              timed("engine_bench:ipsec_mb/gcm128/out/1400/64", 90)],
                             "own AES-GCM against", ("avx2", "avx512f"))
        self.assertTrue(found["avx2 gcm128 out 1400"].met)
        self.assertIsNone(found["avx512 gcm128 out 1400"].figure)

    def test_a_rate_of_the_reference_cpu_applies_to_it_alone(self):
        rows = [timed("engine_bench:vaes_gcm/gcm128/out/1400/64", 280)]
        self.assertAlmostEqual(self.answers(rows, "own AES-GCM-128")["out 1400"].figure, 10)
        other = targets.check(Rows(rows), {**HERE, "family": "26"})
        self.assertNotIn("own AES-GCM-128, rate", {a.target for a in other})

    def test_stack_only_is_a_share(self):
        found = self.answers([timed("esp_bench:transform/offload/out/64", 30),
                              timed(dpdk.row_name("", "inline", "", "", 1, "out", "64"), 40)],
                             "stack only")
        self.assertAlmostEqual(found["out 64"].figure, 0.75)
        self.assertFalse(found["out 64"].met)


    def test_the_pipeline_is_a_share_of_the_peer_of_its_width(self):
        rows = [timed("esp_bench:pipeline/software/out/1400", 60),
                timed("esp_bench:pipeline/software_avx2/out/1400", 90)]
        rows += [timed(dpdk.row_name(simd, "cpu", "aesni_gcm", "gcm128", 1, "out", "1400"), figure)
                 for simd, figure in (("avx512", 100), ("avx2", 300))]
        found = self.answers(rows, "whole pipeline", ("avx2", "avx512f"))
        self.assertAlmostEqual(found["avx512 out 1400"].figure, 0.6)
        self.assertAlmostEqual(found["avx2 out 1400"].figure, 0.3)
        self.assertTrue(found["avx512 out 1400"].met)

    def test_a_new_flow_is_held_against_a_cached_one_with_ten_policies(self):
        found = self.answers([timed("scale_bench:policies/cached/10", 100),
                              timed("scale_bench:policies/new/10", 180),
                              timed("scale_bench:policies/new/100000", 240)], "first packet")
        self.assertAlmostEqual(found["10 policies"].figure, 1.8)
        self.assertFalse(found["10 policies"].met)
        self.assertTrue(found["100000 policies"].met)

    def test_the_control_plane_is_held_against_the_kernel_and_latency_against_itself(self):
        rows = Rows([rate("control:policies/100000/add/cygnet", 70),
                     rate("control:policies/100000/add/kernel", 100)])
        for meanwhile, us in (("alone", 50), ("sas change", 90), ("policies change", 120)):
            rows.add("control", f"control:forwarding/latency10/p99/{meanwhile}", "µs", us)
        for what, seconds in (("restored", 1.5), ("restart", 3), ("migrated", 1.9)):
            rows.add("control", f"control:sas/100000/{what}", "s", seconds)
        found = {a.case: a for a in targets.check(rows, HERE)}
        self.assertTrue(found["add"].met)
        self.assertIsNone(found["dump"].met)
        self.assertTrue(found["sas"].met)
        self.assertTrue(found["restored"].met)
        self.assertTrue(found["migrated"].met)
        self.assertFalse(found["restart"].met)
        self.assertFalse(found["policies"].met)


class Chain(unittest.TestCase):
    def rows(self):
        rows = Rows()
        for inside, tap in ((300, 100), (200, 100), (240, 120)):
            rows.add("chain", "chain:udp/64/rate/cygnet-inside", "packets/s", inside,
                     less_is_better=False)
            rows.add("chain", "chain:udp/64/rate/cygnet-tap", "packets/s", tap, less_is_better=False)
        return rows

    def test_ratios_are_those_of_rounds(self):
        (line,) = tables.ratio_table(self.rows(), "chain")[2]
        self.assertEqual(line, ["udp/64/rate: cygnet-inside against cygnet-tap", "2.00", "2.00",
                                "2.90", "3"])

    def test_the_inside_path_is_held_against_the_tap_path_and_the_kernel(self):
        rows = self.rows()
        for system, us in (("cygnet-inside", 26), ("kernel", 20)):
            rows.add("chain", f"chain:udp/64/latency10/p50/{system}", "µs", us)
        found = {(a.target.split(",")[0], a.case): a for a in targets.check(rows, HERE)}
        self.assertAlmostEqual(found["inside path against TAP path", "64 bytes"].figure, 2.4)
        self.assertTrue(found["inside path's latency", "p50, 64 bytes"].met)
        self.assertIsNone(found["inside path against TAP path", "1400 bytes"].figure)

    def test_without_idle_time_the_cpu_time_is_unknown(self):
        def stat(idle):
            return unittest.mock.mock_open(read_data=f"cpu 9 9 9 {idle} 0 0 0 0 0 0\n")
        clock = [0.0, 1.0]
        for idle_ticks, seconds in ((0, None), (50, os.cpu_count() - 0.5)):
            with unittest.mock.patch("time.monotonic", side_effect=clock), \
                 unittest.mock.patch("os.sysconf", return_value=100):
                with unittest.mock.patch("builtins.open", stat(0)):
                    busy = chain_steps.Busy()
                with unittest.mock.patch("builtins.open", stat(idle_ticks)):
                    self.assertEqual(busy.seconds(), seconds)


class Scaling(unittest.TestCase):
    def test_the_page_shows_what_the_simulation_says(self):
        page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "doc", "scaling.md")
        with open(page, encoding="utf-8") as f:
            written = f.read()
        machine, packet = scaling.Machine(), scaling.Packet()
        for title, simulate in (("outbound", scaling.simulate_out), ("inbound", scaling.simulate_in)):
            self.assertIn(scaling.text(title, scaling.table(simulate, machine, packet)), written)

    def test_what_costs_nothing_to_share_scales(self):
        free = scaling.Machine(hand_over=0, jitter=0)
        rows = scaling.table(scaling.simulate_out, free, scaling.Packet(send=0), runs=400)
        self.assertGreater(rows[64][16], 15.5)

    def test_a_slow_wire_sends_one_run_after_the_other(self):
        packet = scaling.Packet(send=100)
        rows = scaling.table(scaling.simulate_out, scaling.Machine(), packet, runs=400)
        self.assertLess(rows[64][16], 1 + (packet.before + packet.crypto) / packet.send)


class Search(unittest.TestCase):
    """The search for the rate without loss, on a link of known capacity."""

    def find(self, capacity, hint=None, most=1e9):
        self.trials = 0

        def passes(wanted):
            self.trials += 1
            sent = min(wanted, most)
            return {"sent_pps": sent} if sent <= capacity else None

        return traffic.search(passes, hint)[0]

    def test_finds_the_capacity_from_below_and_from_above(self):
        for capacity in (3_000, 100_000, 900_000):
            found = self.find(capacity)
            self.assertLessEqual(found, capacity)
            self.assertGreater(found, 0.9 * capacity)

    def test_a_hint_shortens_it(self):
        self.find(700_000)
        without = self.trials
        found = self.find(700_000, hint=680_000)
        self.assertLess(self.trials, without)
        self.assertGreater(found, 0.9 * 700_000)

    def test_a_generator_at_its_end_counts_what_it_sent(self):
        self.assertEqual(self.find(1e9, most=50_000), 50_000)

    def test_nothing_gets_through(self):
        self.assertEqual(self.find(0), 0)


class Reading(unittest.TestCase):
    REPORT = {"benchmarks": [
        {"name": "pipeline/out/64/manual_time", "run_type": "iteration", "p5": 10.0, "median": 12.0,
         "Gbps_p5": 3.0, "iterations": 500, "real_time": 1.0, "cpu_time": 1.0, "bytes_per_sa": 700},
        {"name": "pipeline/in/64/manual_time", "run_type": "iteration", "error_occurred": True,
         "error_message": "packets lost"},
        {"name": "engine/a/out/64/manual_time", "run_type": "iteration", "p5": 7e6, "median": 7e6,
         "iterations": 1, "real_time": 1.0, "cpu_time": 1.0}]}

    def test_counters_become_rows_and_errors_are_kept_and_one_window_is_none(self):
        rows, program = Rows(), Program("/nowhere", "esp_bench", "0")
        program.read(self.REPORT, rows, "esp")
        self.assertEqual([row.name for row in rows], ["esp_bench:pipeline/out/64",
                                                      "esp_bench:pipeline/out/64:bytes_per_sa"])
        self.assertEqual(rows.figure("esp_bench:pipeline/out/64"), 10)
        self.assertEqual(program.errors, ["esp_bench:pipeline/in/64: packets lost"])


class Smoke(unittest.TestCase):
    """The regression guard of CI: ignores noise, but not a loss by an order of magnitude."""

    ENGINE = timed("esp_bench:engine/a/out/64", 50)

    def test_a_machine_under_load_is_no_failure(self):
        rows = Rows([self.ENGINE, timed("esp_bench:pipeline/software/out/64", 1000),
                     timed("esp_bench:pipeline/offload/out/64", 3000)])
        self.assertEqual(smoke.stage_failures(rows), [])

    def test_an_order_of_magnitude_is(self):
        rows = Rows([self.ENGINE, timed("esp_bench:engine/slow/out/64", 500),
                     timed("esp_bench:pipeline/software/out/64", 3500)])
        (failure,) = smoke.stage_failures(rows)
        self.assertIn("70 times", failure)

    def test_a_stack_that_costs_more_without_crypto_is(self):
        rows = Rows([timed("esp_bench:transform/software/in/64", 100),
                     timed("esp_bench:transform/offload/in/64", 600)])
        self.assertEqual(len(smoke.stage_failures(rows)), 1)

    def test_an_allocation_is(self):
        rows = Rows()
        rows.add("esp", "esp_bench:pipeline/software/out/64:allocations", "allocations", 0)
        self.assertEqual(smoke.allocation_failures(rows), [])
        rows.add("esp", "esp_bench:pipeline/software/out/64:allocations", "allocations", 1)
        self.assertEqual(len(smoke.allocation_failures(rows)), 1)


class Storing(unittest.TestCase):
    def test_without_git_the_commit_is_unknown(self):
        with unittest.mock.patch.dict("os.environ", {"PATH": "/nowhere"}):
            self.assertEqual(machine.source(".")["commit"], "unknown")

    def test_a_stored_run_compares_with_itself(self):
        main = _main()
        rows = Rows([timed("esp_bench:engine/x/out/64", 20, 40, 60), rate("e2e:tcp/1/out/veth", 5)])
        run = {"format": main.FORMAT, "machine": HERE, "source": machine.source(main.ROOT),
               "rounds": 3, "quick": True, "load": "3.5 at the start, 1 at the end", "notes": ["a note"], "errors": [],
               "rows": rows, "answers": list(targets.check(rows, HERE))}
        with tempfile.NamedTemporaryFile(suffix=".json") as f:
            main.store(run, f.name)
            again = main.load(f.name)
        self.assertEqual(list(again["rows"]), list(rows))
        self.assertEqual(compare.changes(again["rows"], rows, 0.0), [])
        text = tables.markdown({**run, "rows": again["rows"]})
        self.assertIn("| `engine/x/out` | 10.0 / 20.0 ±200 % |", text)
        self.assertIn("| `tcp/1/out (Mbit/s)` | 5.00 ±0 % |", text)
        self.assertIn("a note", text)
        self.assertGreater(text.index("## Targets that are missed"), text.index("## (e)"))
        self.assertIn("others used the machine", " ".join(text.split()))


class Opening(unittest.TestCase):
    def test_it_says_what_was_measured_and_nothing_else(self):
        rows = Rows([timed(f"esp_bench:pipeline/software/{d}/{size}", 20, 40, 60)
                     for d in ("out", "in") for size in ("64", "1400")])
        run = {"rows": rows, "machine": HERE, "answers": []}
        said = opening.sentences(run)
        self.assertEqual(len(said), 2)
        self.assertIn("10 ns outbound and 10 ns inbound", said[0])
        self.assertIn("1120 Gbit/s outbound", said[1])
        run["answers"] = [targets.Answer("idle daemon", "CPU", 0.5, "%", 1.0, at_least=False),
                          targets.Answer("memory of an SA", "inbound", 2000, "B", 1024, at_least=False)]
        self.assertIn("Of 2 targets that the project set itself, 1 are met and 1 are missed",
                      opening.sentences(run)[2])
        self.assertEqual(opening.sentences({"rows": Rows(), "machine": HERE, "answers": []}), [])


def _main():
    """__main__.py as a module, without running it."""
    module = types.ModuleType("bench_main")
    path = os.path.join(_HERE, "__main__.py")
    module.__file__ = path
    with open(path, encoding="utf-8") as f:
        exec(compile(f.read(), path, "exec"), module.__dict__)  # noqa: S102
    return module


if __name__ == "__main__":
    unittest.main()
