"""What is made of a result: verdicts, tables, pictures, and the block in a README."""

import json
import pathlib
import tempfile
import unittest
import xml.etree.ElementTree

from comparison import plot, report, tables, targets
from comparison.process import Broken
from comparison.tests.results import result


def verdict(found, target, scenario=None):
    return next(v for v in targets.verdicts(found)
                if target in v.target and scenario in (None, v.scenario))


class Targets(unittest.TestCase):
    def test_the_limit_itself_is_met(self):
        self.assertEqual(verdict(result(), "0.75 × haproxy"),
                         targets.Verdict("64b", "CPU/request ≤ 0.75 × haproxy", "0.75", True))

    def test_a_little_more_is_not(self):
        found = result()
        found["scenarios"]["64b"]["runs"]["ringway"][0]["cpu_us"] = 15.3
        found["scenarios"]["64b"]["runs"]["ringway"][2]["cpu_us"] = 15.3
        self.assertFalse(verdict(found, "0.75 × haproxy").met)
        found["scenarios"]["64b"]["runs"]["ringway"] = [{"cpu_us": 15.02}]
        missed = verdict(found, "0.75 × haproxy")
        self.assertEqual((missed.met, missed.figure), (False, "0.7510"))

    def test_what_was_not_measured_has_no_verdict(self):
        self.assertIsNone(verdict(result(), "0.72 × nginx").met)
        self.assertIsNone(verdict(result(), "copies").met)
        seen = {"16k": {"ringway": {"pieces": 0.0}}, "upload-16k": {"ringway": {"pieces": 16384.0}}}
        self.assertFalse(verdict({**result(), "copies": seen}, "copies").met)
        del seen["upload-16k"]
        self.assertTrue(verdict({**result(), "copies": seen}, "copies").met)
        empty = {**result(), "scenarios": {}, "idle": {}, "process": {}, "allocations": None}
        self.assertEqual({v.met for v in targets.verdicts(empty)}, {None})

    def test_percentiles_are_held_against_every_rival(self):
        self.assertTrue(verdict(result(), "p50 below").met)
        tail = verdict(result(), "p99.9 below")
        self.assertFalse(tail.met)
        self.assertIn("2.25 × haproxy (64b); not below in 64b; beyond the spread of the rounds in none of them", tail.figure)

    def test_what_is_lost_with_every_round_is_beyond_the_spread(self):
        found = result()
        runs = found["scenarios"]["64b"]["latency"]
        runs["ringway"], runs["haproxy"] = runs["ringway"] * 3, runs["haproxy"] * 3
        self.assertIn("beyond the spread of the rounds in 64b",
                      verdict(found, "p99.9 below").figure)

    def test_memory_and_counts(self):
        self.assertTrue(verdict(result(), "1 KiB of RSS").met)
        self.assertFalse(verdict(result(), "RSS back").met)  # 9 of 8 MiB
        self.assertTrue(verdict(result(), "10 MiB").met)
        self.assertTrue(verdict(result(), "0.0 % CPU").met)
        self.assertTrue(verdict(result(), "4.2 system calls").met)
        self.assertTrue(verdict(result(), "0 heap").met)


class Tables(unittest.TestCase):
    def test_a_row_of_a_scenario(self):
        text = "\n".join(tables.report(result()))
        self.assertIn("| haproxy | 20.0 | 10.0–20.0 | 0.75 | 1,000 | 90% | 0.10 | – |", text)
        self.assertIn("| direct |", text)

    def test_losses_come_from_the_data(self):
        text = "\n".join(tables.losses(result()))
        self.assertIn("RSS back", text)
        self.assertNotIn("needs less CPU", text)
        found = result()
        found["scenarios"]["64b"]["runs"]["haproxy"] = [{"cpu_us": 10.0}] * 3
        text = "\n".join(tables.losses(found))
        self.assertIn("haproxy needs less CPU; ringway is 1.50 × it", text)

    def test_a_failed_run_is_told(self):
        found = result()
        found["scenarios"]["64b"]["failures"] = [["ringway", "it ended\nwith a trace"]]
        text = "\n".join(tables.report(found))
        self.assertIn("A run of ringway failed: it ended", text)
        self.assertIn("- 64b: failed runs of ringway: 1.", text)


    def test_what_was_counted_is_in_the_summary(self):
        text = "\n".join(tables.summary(result()))
        self.assertIn("| system calls | 4.10 |", text)
        self.assertIn("| context switches | 0.10 |", text)
        self.assertIn("Heap allocations a request in ringway: 0.0000", text)
        self.assertIn("met, ", text)

    def test_scenarios_of_ringway_alone_stand_beside_their_base(self):
        found = result()
        alone = found["scenarios"]["64b"]
        alone["base"], alone["runs"] = "still", {"still": alone["runs"]["haproxy"],
                                                 "churn": alone["runs"]["haproxy"]}
        text = "\n".join(tables.own(found))
        self.assertIn("| 64 B, 64 connections: still | 20.0 | 1 |", text)
        self.assertIn("| 64 B, 64 connections: churn | 20.0 | 1.00 |", text)


class Pictures(unittest.TestCase):
    def test_they_are_well_formed_and_name_everybody(self):
        for draw in (plot.cpu, plot.latency):
            text = draw(result())
            xml.etree.ElementTree.fromstring(text)
            for name in ("ringway", "haproxy", "64 B, 64 connections"):
                self.assertIn(name, text)

    def test_without_figures_there_is_none(self):
        self.assertIsNone(plot.cpu({"scenarios": {}}))

    def test_units_of_an_axis(self):
        self.assertEqual([plot.shown(10**n) for n in range(1, 7)],
                         ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"])


class Readme(unittest.TestCase):
    def test_the_block_is_replaced_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            source = report.save(result(), root / "perf" / "results" / "2026-01-02")
            readme = root / "README.md"
            readme.write_text(f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n")
            report.put(report.load(source), source, readme)
            report.put(report.load(source), source, readme)  # a second time changes nothing
            text = readme.read_text()
            self.assertTrue(text.startswith("above\n") and text.endswith("\nbelow\n"))
            self.assertNotIn("old", text)
            self.assertIn("(perf/results/2026-01-02/cpu.svg)", text)
            self.assertIn("| 64 B, 64 connections | 15.0 | 20.0 |", text)

    def test_without_a_block_it_says_what_to_do(self):
        self.assertIsNone(report.replaced("no block", "new"))
        with tempfile.TemporaryDirectory() as name:
            readme = pathlib.Path(name) / "README.md"
            readme.write_text("no block")
            with self.assertRaisesRegex(Broken, "compare:begin"):
                report.put(result(), readme.parent / "compare.json", readme)

    def test_another_format_is_refused(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "compare.json"
            for content in ("[", json.dumps({"environment": {}}), "[]"):
                path.write_text(content)
                with self.assertRaises(Broken):
                    report.load(path)


if __name__ == "__main__":
    unittest.main()
