"""What is read from /proc, perf, strace, /metrics and the load's report."""

import dataclasses
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from comparison import admin, allocations, copies, generator, precedence, procfs, syscalls
from comparison.process import Broken
from comparison.procfs import Reading, TICK_NS

MS = 10**6


class Proc(unittest.TestCase):
    def test_stat_with_a_blank_and_a_parenthesis_in_the_name(self):
        line = "7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 30 12 5 5 20 0 4 0 99"
        self.assertEqual(procfs.stat_ns(line), 42 * TICK_NS)

    def test_a_reading_of_this_process(self):
        one = procfs.read(os.getpid())
        self.assertGreater(one.stat_ns + one.sched_ns, 0)
        self.assertGreater(procfs.rss_bytes(os.getpid()), 1 << 20)

    def test_between_readings_lies_a_line(self):
        readings = [Reading(10.0, 0, 0, 0, 0), Reading(11.0, 100, 200, 50, 10),
                    Reading(12.0, 100, 400, 50, 10)]
        spent = procfs.between(readings, 10.5, 11.5)
        self.assertEqual(dataclasses.astuple(spent), (1.0, 50, 200, 25, 5))

    def test_beyond_the_readings_the_ends_are_held(self):
        readings = [Reading(10.0, 0, 0, 0, 0), Reading(11.0, 100, 200, 50, 10)]
        self.assertEqual(procfs.between(readings, 9.0, 12.0).sched_ns, 200)

    def test_the_exact_clock_is_used_when_it_agrees(self):
        close = Reading(1.0, 800 * MS, 805 * MS, 0, 0)
        self.assertEqual(procfs.cpu_ns(close), (805 * MS, "schedstat"))

    def test_ticks_are_used_when_threads_have_ended_or_schedstat_is_empty(self):
        for sched in (500 * MS, 0):
            lost = Reading(1.0, 800 * MS, sched, 0, 0)
            self.assertEqual(procfs.cpu_ns(lost), (800 * MS, "stat"))


class Precedence(unittest.TestCase):
    def test_it_is_given_back(self):
        with tempfile.TemporaryDirectory() as name:
            group, enabled = pathlib.Path(name, "autogroup"), pathlib.Path(name, "enabled")
            group.write_text("/autogroup-7 nice 3\n")
            enabled.write_text("1\n")
            with (mock.patch.multiple(precedence, GROUP=group, ENABLED=enabled),
                  precedence.taken([]) as first):
                self.assertTrue(first)
                self.assertEqual(group.read_text(), str(precedence.NICE))
            self.assertEqual(group.read_text(), "3")

    def test_without_the_right_to_it_the_comparison_goes_on(self):
        with (mock.patch.object(precedence, "ENABLED", pathlib.Path("/nonexistent")),
              mock.patch.object(os, "setpriority", side_effect=PermissionError),
              precedence.taken([]) as first):
            self.assertFalse(first)


class Charged(unittest.TestCase):
    def test_only_the_counted_part_of_a_run_is_charged(self):
        # Two seconds of connecting at full CPU, then two that count, at half of it.
        readings = [Reading(0.0, 0, 0, 0, 0), Reading(2.0, 2000 * MS, 2000 * MS, 0, 4000),
                    Reading(4.0, 3000 * MS, 3000 * MS, 600 * MS, 4200)]
        run = generator.charged({"duration_s": 2.0, "requests": 1000}, readings, 4.0)
        self.assertAlmostEqual(run["cpu_us"], 1000.0)
        self.assertAlmostEqual(run["worker_us"], 600.0)
        self.assertAlmostEqual(run["core"], 0.5)
        self.assertAlmostEqual(run["switches"], 0.2)
        self.assertAlmostEqual(run["rate"], 500.0)


class Counters(unittest.TestCase):
    def test_perf(self):
        text = "# started on …\n\n82345,,raw_syscalls:sys_enter,1002003,100.00,,\n"
        self.assertEqual(syscalls.perf_total(text), 82345)
        self.assertIsNone(syscalls.perf_total("<not counted>,,raw_syscalls:sys_enter,0,0,,\n"))

    def test_strace_with_and_without_errors(self):
        row = "100.00    1.234567          12    {}total\n"
        self.assertEqual(syscalls.strace_total(row.format("98765       321 ")), 98765)
        self.assertEqual(syscalls.strace_total(row.format("98765           ")), 98765)
        self.assertIsNone(syscalls.strace_total("nothing"))

    def test_sizes_of_copies(self):
        text = "ringway_compare:copied:  (7f00) size=0x40\nringway_compare:copied: (7f00) size=1400\n"
        self.assertEqual(copies.sizes(text), [64, 1400])
        path, offset = copies.function()
        self.assertTrue(path.startswith("/") and offset > 0)

    def test_metrics_are_summed_over_labels(self):
        text = '# HELP a b\na{x="1 2"} 3\na{x="2"} 4.5\nb 1\n'
        self.assertEqual(admin.summed(text), {"a": 7.5, "b": 1.0})
        with self.assertRaises(Broken):
            admin.counter({}, "a")

    def test_allocations_of_a_look_are_not_a_requests(self):
        def look(made, freed, requests):
            return {"ringway_allocations_total": made, "ringway_deallocations_total": freed,
                    "request_total": requests}
        found = allocations.counted(look(100, 90, 0), look(400, 290, 100),
                                    [look(500, 400, 100), look(700, 500, 100)])
        self.assertEqual((found["allocations"], found["deallocations"]), (1.0, 1.0))
        with self.assertRaises(Broken):
            allocations.counted(look(0, 0, 5), look(9, 9, 5), [look(0, 0, 5), look(0, 0, 5)])


if __name__ == "__main__":
    unittest.main()
