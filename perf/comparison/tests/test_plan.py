"""What would be run: scenarios by name, manifests, churn, the command line."""

import contextlib
import io
import itertools
import pathlib
import tempfile
import unittest

from comparison import churn, churning, cli, figures, generator, manifests, memory, scenarios


class Figures(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        ours, theirs = [{"cpu_us": c} for c in (10, 30, 10)], [{"cpu_us": c} for c in (20, 60, 10)]
        # The medians' ratio would be 0.5 as well, the means' 0.56; the third round says 1.
        self.assertEqual(figures.ratio(ours, theirs), 0.5)
        self.assertEqual(figures.ratio([{"cpu_us": 9}], [{"cpu_us": 3}]), 3)
        self.assertIsNone(figures.ratio(ours, []))

    def test_the_order_turns(self):
        self.assertEqual([figures.turned("abc", n) for n in range(4)],
                         ["abc", "bca", "cab", "abc"])

    def test_half_of_the_slowest(self):
        runs = {"a": [{"rate": 900.0}], "b": [{"rate": 301.0}, {"rate": 500.0}], "c": []}
        self.assertEqual(figures.half_of_slowest(runs), 200)
        self.assertIsNone(figures.half_of_slowest({}))


class Scenarios(unittest.TestCase):
    def test_names_and_globs(self):
        self.assertEqual(scenarios.chosen("upload-*, 64b"), ["64b", "upload-16k", "upload-1m"])
        self.assertEqual(scenarios.chosen("*"), list(scenarios.NAMES))
        with self.assertRaisesRegex(ValueError, "65b"):
            scenarios.chosen("65b")

    def test_names_are_unique_and_quick_ones_exist(self):
        self.assertEqual(len(set(scenarios.NAMES)), len(scenarios.NAMES))
        self.assertLessEqual(set(scenarios.QUICK), set(scenarios.NAMES))

    def test_who_contends(self):
        churned = next(s for s in scenarios.ALL if s.churns)
        self.assertEqual(scenarios.contending(churned, ["haproxy"]), [])
        self.assertEqual(len(scenarios.contending(churned, ["ringway"])), 2)


class Manifests(unittest.TestCase):
    def test_every_endpoint_has_an_address_of_its_own_in_each_generation(self):
        every = {manifests.address(i, g) for i in range(10_000) for g in (0, 1)}
        self.assertEqual(len(every), 20_000)
        for address in every:
            self.assertTrue(all(0 <= int(part) <= 255 for part in address.split(".")))

    def test_as_many_as_asked(self):
        with tempfile.TemporaryDirectory() as name:
            place = pathlib.Path(name)
            manifests.write_endpoints(place, 1000, 80)
            text = "".join(f.read_text() for f in place.glob("slice-*.yaml"))
            self.assertEqual(text.count("addresses:"), 1000)
            manifests.write_routes(place, 1000, 80)
            text = "".join(f.read_text() for f in place.glob("routes-*.yaml"))
            self.assertEqual(text.count("kind: HTTPRoute"), 1000)
            self.assertEqual(list(place.glob(".*")), [])


class Churn(unittest.TestCase):
    def test_each_update_moves_one_endpoint(self):
        before = {n: set() for n in range(3)}
        for number, moved in itertools.islice(churn.updates(3, 4), 30):
            self.assertEqual(len(moved ^ before[number]), 1)
            self.assertTrue(all(number * 4 <= e < number * 4 + 4 for e in moved))
            before[number] = set(moved)

    def test_a_moved_endpoint_has_its_other_address(self):
        text = manifests.slice_text(0, 80, {3})
        self.assertIn(manifests.address(3, 1), text)
        self.assertNotIn(f"[{manifests.address(3)}]", text)

    def test_updates_are_counted_within_the_window(self):
        self.assertEqual(churning.within("1.0\n2.0\n3.0\n4.0\n", 1.5, 3.0), 2)


class CommandLine(unittest.TestCase):
    def refused(self, *arguments):
        out = io.StringIO()
        with contextlib.redirect_stderr(out), self.assertRaises(SystemExit):
            cli.measuring(arguments)
        return out.getvalue()

    def test_mistakes_are_explained(self):
        self.assertIn("apache", self.refused("--only", "apache"))
        self.assertIn("matches none", self.refused("--scenarios", "nothing*"))
        self.assertIn("a core each", self.refused("--cores", "1,1"))
        self.assertIn("at least 1", self.refused("--rounds", "0"))

    def test_a_full_run_fits_in_half_an_hour_and_a_quick_one_in_six(self):
        self.assertLess(cli.minutes(cli.measuring([])[0]), 28)
        self.assertLess(cli.minutes(cli.measuring(["--quick"])[0]), 6)

    def test_given_figures_win_over_quick_ones(self):
        setting, _ = cli.measuring(["--quick", "--rounds", "4", "--latency-rounds", "0"])
        self.assertEqual((setting.rounds, setting.latency_rounds, setting.seconds), (4, 0, 1.0))

    def test_the_load_of_an_upload_at_a_rate(self):
        setting, _ = cli.measuring([])
        upload = next(s for s in scenarios.ALL if s.name == "upload-16k")
        line = " ".join(generator.command(upload, 8080, 2.0, setting, rate=500))
        for part in ("--body-size 16384", "-R 500", "--warmup 250ms", "-c 64",
                     "http://127.0.0.1:8080/64"):
            self.assertIn(part, line)


    def test_the_load_of_streams_and_calls(self):
        setting, _ = cli.measuring(["--scenarios", "h2*,grpc*"])
        lines = {s.name: " ".join(generator.command(s, 8080, 2.0, setting))
                 for s in setting.scenarios}
        self.assertIn("-m 10 -c 16", lines["h2-16x10"])
        self.assertIn("-m 10 --grpc -c 16", lines["grpc-unary"])
        self.assertIn("--body-size 64", lines["grpc-unary"])


class Idle(unittest.TestCase):
    def test_the_answer_to_a_request_of_http2(self):
        settings, head = memory.frame(4, 0, 0), memory.frame(1, 4, 1, b"\x88")
        data, end = memory.frame(0, 0, 1, b"ab"), memory.frame(0, 1, 1, b"c")
        whole = settings + head + data + end
        for at in range(len(whole)):
            self.assertFalse(memory.answered_h2(whole[:at], b"abc"))
        self.assertTrue(memory.answered_h2(whole, b"abc"))
        self.assertFalse(memory.answered_h2(whole, b"abd"))


if __name__ == "__main__":
    unittest.main()
