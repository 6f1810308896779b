"""Before and after: the statistics with seeded noise like that of a shared machine, the turns of both
builds, the limit, and the reading of callgrind's files."""

import contextlib
import io
import os
import random
import sys
import unittest

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _HERE)

import against  # noqa: E402
import callgrind  # noqa: E402
from pairs import DOUBT, Pairs, rounds_needed  # noqa: E402
from stats import CYCLES, Rows  # noqa: E402


def noisy(random_, slow_share=0.3, width=0.01):
    """Another tenant makes the machine 1.6 times as slow for a while, and no two runs are equal."""
    return (1.6 if random_.random() < slow_share else 1.0) * random_.gauss(1, width)


def run_of(random_, rounds, rows, slower=1.0, unit=CYCLES, less=True, width=0.01):
    """The verdicts of a run in which `after` takes `slower` times as long."""
    pairs = Pairs()
    for _ in range(rounds):
        for row in range(rows):
            found = Rows(), Rows()
            for rows_, factor in zip(found, (1.0, slower)):
                time = 100 * factor * noisy(random_, width=width)
                rows_.add("esp", f"row{row}", unit, time if less else 1e6 / time, less_is_better=less)
            pairs.add(*found)
    return pairs.verdicts()


class Statistics(unittest.TestCase):
    def test_unchanged_code_is_called_so_in_nearly_every_run(self):
        random_ = random.Random(1)
        runs = 150
        wrong = sum(any(v.word != "not told apart" for v in run_of(random_, 16, 30))
                    for _ in range(runs))
        self.assertLessEqual(wrong, 2 * DOUBT * runs)

    def test_three_percent_are_seen_through_the_noise(self):
        for verdict in run_of(random.Random(2), 60, 5, slower=1.03, width=0.004):
            self.assertEqual(verdict.word, "slower")
            self.assertTrue(verdict.low <= 1.03 <= verdict.high)

    def test_faster_is_told_from_slower_for_rates_too(self):
        for less in (True, False):
            (verdict,) = run_of(random.Random(3), 20, 1, slower=0.5, less=less)
            self.assertEqual((verdict.word, round(verdict.ratio, 1)), ("faster", 0.5))

    def test_the_true_ratio_is_in_the_interval(self):
        random_ = random.Random(4)
        inside = 0
        for _ in range(200):
            (verdict,) = run_of(random_, 12, 1, slower=1.2)
            inside += verdict.low <= 1.2 <= verdict.high
        self.assertGreaterEqual(inside, (1 - 2 * DOUBT) * 200)

    def test_the_limit_counts_only_what_is_certain(self):
        (verdict,) = run_of(random.Random(5), 40, 1, slower=1.05, width=0.002)
        self.assertTrue(verdict.beyond(0.02))
        self.assertFalse(verdict.beyond(0.1))
        (verdict,) = run_of(random.Random(6), 8, 1, slower=1.05, width=0.2)
        self.assertFalse(verdict.beyond(0.02))

    def test_too_few_rounds_say_so(self):
        for rows in (1, 40):
            enough = rounds_needed(rows)
            words = [{v.word for v in run_of(random.Random(7), rounds, rows, slower=2.0, width=0.0)}
                     for rounds in (enough - 1, enough)]
            self.assertEqual(words[0], {"too few rounds"})
            self.assertNotIn("too few rounds", words[1])

    def test_rows_that_begin_alike_are_judged_together(self):
        random_, pairs = random.Random(9), Pairs()
        for _ in range(16):
            for row in range(12):
                found = Rows(), Rows()
                for rows_, factor in zip(found, (1.0, 1.014)):
                    rows_.add("esp", f"esp_bench:pipeline/row{row}", CYCLES,
                              factor * noisy(random_, slow_share=0.05))
                pairs.add(*found)
        *single, together = pairs.verdicts()
        self.assertEqual((together.name, together.word), ("esp_bench:pipeline/…", "slower"))
        self.assertTrue(together.low <= 1.014 <= together.high)
        self.assertLess(sum(verdict.word == "slower" for verdict in single), 12)

    def test_a_pair_without_one_of_the_two_counts_for_nothing(self):
        pairs = Pairs()
        before, after = Rows(), Rows()
        before.add("esp", "a", CYCLES, 1.0)
        pairs.add(before, after)
        after.add("esp", "a", CYCLES, 0.0)
        pairs.add(before, after)
        self.assertEqual(pairs.verdicts(), [])


class Turns(unittest.TestCase):
    def test_the_first_of_a_pair_changes_every_round(self):
        order, pairs = [], Pairs()

        def turn(which, rows):
            order.append(which)
            rows.add("esp", "a", CYCLES, (10.0, 20.0)[which])

        step = against.Step("a", turn)
        for number in range(3):
            step.pair(number, pairs)
        self.assertEqual(order, [0, 1, 1, 0, 0, 1])
        (verdict,) = pairs.verdicts()
        self.assertEqual((verdict.before, verdict.after, verdict.ratio), (10, 20, 2))

    def status(self, limit, slower=1.0, errors=(), rows=1):
        run = {"verdicts": run_of(random.Random(8), 20, rows, slower=slower, width=0.001),
               "notes": [], "errors": list(errors), "builds": {"before": "a", "after": "b"}}
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = against.report(run, limit)
        return status, out.getvalue()

    def test_the_status_is_that_of_the_limit(self):
        self.assertEqual(self.status(None, slower=2.0)[0], 0)
        status, text = self.status(0.02, slower=2.0)
        self.assertEqual(status, 1)
        self.assertIn("slower by more than 2 %: row0", text)
        self.assertEqual(self.status(0.02)[0], 0)

    def test_what_could_not_be_measured_does_not_pass(self):
        self.assertEqual(self.status(0.02, errors=["engine_bench: exit 1"])[0], 1)
        self.assertEqual(self.status(0.02, rows=0)[0], 1)


PROFILE = """# callgrind format
events: Ir Dr Dw D1mr D1mw
ob=(1) /build/bench/esp_bench
fl=(1) /build/release/../../src/datapath/worker.cc
fn=(1) cygnet::Worker::RunOnce()
10 100
cfi=(2) /build/release/../../src/net/flow_key.h
cfn=(2) cygnet::ParseIpPacket(std::span<unsigned char const>, cygnet::PacketBatch*)
calls=64 5
+1 600 0 0 2

fl=(2)
fn=(2)
5 300 9 9 2
fi=(3) /build/release/../../src/datapath/seal_proof.h
+2 50
fe=(2)
cob=(2) /usr/lib/libc.so.6
cfi=(4) ./string/memcpy.S
cfn=(3) memcpy
calls=3 1
-1 150

ob=(1)
fl=(5) /build/release/../../src/esp/encapsulate.cc
fn=(4) cygnet::esp::Encapsulate(cygnet::Sad const&)
7 40 0 0 1 1
cob=(2)
cfi=(4)
cfn=(3)
calls=1 1
* 50

ob=(2)
fl=(4)
fn=(3)
1 200
"""


class Instructions(unittest.TestCase):
    def stages(self):
        return {stage: dict(costs) for stage, costs in callgrind.Profile(PROFILE).stages().items()}

    def test_inlined_files_and_callers_decide_about_the_stage(self):
        found = {stage: costs["Ir"] for stage, costs in self.stages().items()}
        self.assertEqual(found, {"runs of a batch": 100, "parse": 300 + 150, "guard and proof": 50,
                                 "ESP and outer headers": 40 + 50})

    def test_misses_follow_their_instructions(self):
        found = self.stages()
        self.assertEqual(callgrind.misses(found["parse"]), 2)
        self.assertEqual(callgrind.misses(found["ESP and outer headers"]), 2)

    def test_arguments_do_not_name_a_stage(self):
        self.assertIsNone(callgrind.stage_of("a:b", "f(cygnet::Worker*)"))
        self.assertEqual(callgrind.stage_of("a:b", "void cygnet::WorkerContext::RunJobs<cygnet::Sad>(int)"),
                         "crypto jobs")

    def test_the_engine_is_not_in_the_sum(self):
        stages = {"crypto engine": {"Ir": 500.0}, "parse": {"Ir": 20.0, "D1mr": 1.0}}
        self.assertEqual(callgrind.total(stages, "Ir"), 20)
        lines = callgrind.table("a row", [stages, stages])[2]
        self.assertEqual([line[0] for line in lines], ["parse", "all but the engine", "crypto engine"])
        self.assertEqual(lines[1][1:], ["20.0", "20.0", "1.00", "1.00"])

    def test_a_cycle_of_callers_ends(self):
        text = "events: Ir\nfn=(1) f\n1 5\ncfn=(2) g\ncalls=1 1\n1 5\nfn=(2)\n1 5\ncfn=(1)\ncalls=1 1\n1 5\n"
        self.assertEqual(callgrind.Profile(text).stages(), {"other": {"Ir": 10}})


if __name__ == "__main__":
    unittest.main()
