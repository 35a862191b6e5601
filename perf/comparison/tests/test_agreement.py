"""Whether two results agree, judged by ratios with known rounds."""

import copy
import unittest

from comparison import agreement
from comparison.tests.results import result, run


def with_rival(*costs):
    """The result with other costs of HAProxy; ringway needs 15, 14 and 15 µs."""
    out = copy.deepcopy(result())
    out["scenarios"]["64b"]["runs"]["haproxy"] = [run(cost) for cost in costs]
    return out


class Agreement(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        (ratio,) = agreement.compared(result(), with_rival(30.0, 28.0, 60.0))
        self.assertEqual((ratio.scenario, ratio.what), ("64b", "ringway ÷ haproxy"))
        self.assertEqual((ratio.one, ratio.two), ([0.75, 1.4, 0.75], [0.5, 0.5, 0.25]))
        self.assertFalse(ratio.agrees)

    def test_a_median_within_the_rounds_of_the_other_agrees(self):
        # The other's rounds are 0.65, 0.70 and 0.75; those of this one 0.75, 0.75 and 1.4.
        (ratio,) = agreement.compared(result(), with_rival(15 / 0.65, 14 / 0.7, 15 / 0.75))
        self.assertTrue(ratio.agrees)
        (ratio,) = agreement.compared(result(), with_rival(15 / 0.65, 14 / 0.7, 15 / 0.74))
        self.assertFalse(ratio.agrees)

    def test_medians_next_to_each_other_agree_however_narrow_their_rounds_are(self):
        ratio = lambda other: agreement.Ratio("64b", "", [1.0] * 5, [other] * 5)
        self.assertTrue(ratio(1.04).agrees and ratio(0.96).agrees)
        self.assertFalse(ratio(1.06).agrees or ratio(0.94).agrees)

    def test_more_rounds_do_not_make_the_spread_wider(self):
        self.assertEqual(agreement.spread([3, 1, 2, 5, 4]), (1, 5))
        self.assertEqual(agreement.spread([3, 1, 2, 5, 4, 99, 6, 7]), (2, 7))

    def test_a_target_met_by_one_result_only_is_named(self):
        text = "\n".join(agreement.turned(result(), with_rival(10.0, 10.0, 10.0)))
        self.assertIn("- 64b: CPU/request ≤ 0.75 × haproxy: met, then not met (0.75; 1.50)", text)
        self.assertEqual(list(agreement.turned(result(), result())), [])

    def test_contenders_of_ringway_alone_are_held_against_their_base(self):
        out = result()
        found = out["scenarios"]["64b"]
        found["base"], found["runs"] = "still", {"still": [run(10.0)], "churn": [run(12.0)]}
        (ratio,) = agreement.compared(out, out)
        self.assertEqual((ratio.what, ratio.one), ("churn ÷ still", [1.2]))

    def test_what_only_one_has_is_left_out(self):
        other = result()
        other["scenarios"] = {"1k": other["scenarios"]["64b"]}
        self.assertEqual(agreement.compared(result(), other), [])
        self.assertEqual(agreement.compared(result(), with_rival()), [])

    def test_the_report_counts(self):
        text = "\n".join(agreement.report(agreement.compared(result(), with_rival(30, 28, 60))))
        self.assertIn("| 64b | ringway ÷ haproxy | 0.75 (0.75–1.40) | 0.50 (0.25–0.50) | **no** |",
                      text)
        self.assertIn("0 of 1 ratios agree", text)


if __name__ == "__main__":
    unittest.main()
