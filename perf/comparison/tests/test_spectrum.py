"""The latency spectrum of the wrk2 kit: what is read from an output, and drawn."""

import importlib.util
import unittest
import xml.etree.ElementTree

from comparison.process import PERF

WHERE = importlib.util.spec_from_file_location("spectrum", PERF / "wrk2" / "spectrum.py")
spectrum = importlib.util.module_from_spec(WHERE)
WHERE.loader.exec_module(spectrum)

OUTPUT = """\
  Latency Distribution (HdrHistogram - Recorded Latency)
 50.000%    1.11ms
 99.900%   14.64ms

  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       0.101     0.000000            1         1.00
       1.106     0.500000          200         2.00
      11.823     0.989062          396        91.43
      14.639     1.000000          400          inf
#[Mean    =        1.874, StdDeviation   =        2.126]
----------------------------------------------------------
  Detailed Percentile spectrum:
       0.001     0.500000            1         2.00
  401 requests in 2.00s, 123.35KB read
"""


class Spectrum(unittest.TestCase):
    def test_the_first_one_is_read(self):
        self.assertEqual(spectrum.spectrum(OUTPUT), [(0.0, 0.101), (0.5, 1.106),
                                                     (0.989062, 11.823), (1.0, 14.639)])

    def test_an_output_without_latency_says_what_to_do(self):
        with self.assertRaisesRegex(spectrum.NoSpectrum, "--latency"):
            spectrum.spectrum("Requests/sec: 1", "a.txt")
        with self.assertRaisesRegex(spectrum.NoSpectrum, "no request"):
            spectrum.spectrum("  Detailed Percentile spectrum:\n\n#[Mean = 0]\n")

    def test_nines(self):
        self.assertAlmostEqual(spectrum.nines(0.9, 5), 1)
        self.assertAlmostEqual(spectrum.nines(0.999, 5), 3)
        self.assertEqual(spectrum.nines(1.0, 5), 5)
        self.assertEqual([spectrum.label(n) for n in range(5)],
                         ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"])

    def test_the_end_of_an_axis(self):
        self.assertEqual([spectrum.rounded_up(v) for v in (0.3, 1, 14.6, 51)], [0.5, 1, 20, 100])

    def test_the_picture_is_well_formed(self):
        text = spectrum.drawn({"a < b": spectrum.spectrum(OUTPUT)}, "a & b")
        xml.etree.ElementTree.fromstring(text)
        self.assertIn("99 %", text)


if __name__ == "__main__":
    unittest.main()
