#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""runner_test.py BIN: test/bench/run measures the programs in BIN, proves the filters first, and writes table and JSON. What
it measures is looked at for shape alone: a time is not a test."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

BIN = os.path.abspath(sys.argv[1])
RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run")
QUICK = ["--bin", BIN, "--rounds", "1", "--seconds", "0.2", "--peers", "", "--filters", "60", "--idle", "20", "--sizes", "4k",
         "--connections", "2"]


def run(*options):
    return subprocess.run([RUN, *options], capture_output=True, text=True, timeout=900)


class RunnerTest(unittest.TestCase):
    def test_everything_once(self):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            done = run(*QUICK, "--json", file.name)
            self.assertEqual(done.returncode, 0, done.stderr)
            result = json.load(file)
        self.assertEqual([(row["set"], row["size"], row["connections"]) for row in result["cases"]],
                         [("none", "4k", 2), ("header-20", "4k", 2), ("header-60", "4k", 2), ("body-20", "100k", 2), ("dictionary-20", "100k", 10),
                          ("dictionary-60", "100k", 10), ("separate-60", "100k", 10),
                          ("mixed-20", "4k", 10), ("mixed-20", "100k", 10)])
        for row in result["cases"]:
            self.assertGreater(row["rounds"][0]["own"]["messages"], 0)
            self.assertGreater(row["rss_kib"], 0)
            self.assertLessEqual(row["p50_us"], row["p99_us"])
        self.assertGreater(result["idle"]["posternd"]["rss_kib"], 0)
        steps = {name: int(agreed["steps"], 0) for name, agreed in result["negotiated"].items()}
        no_body = 0x10
        self.assertTrue(steps["posternd header-20"] & no_body)
        self.assertFalse(steps["posternd body-20"] & no_body)
        self.assertIn("| posternd | header-20 | 4k | 2 |", done.stdout)
        self.assertIn("RSS with 20 idle connections", done.stdout)

    def test_one_case_to_standard_output(self):
        done = run(*QUICK, "--only", "none/4k/2", "--json", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([row["set"] for row in json.loads(done.stdout)["cases"]], ["none"])

    def test_usage(self):
        self.assertEqual(run("--help").returncode, 0)
        self.assertNotEqual(run("--no-such-option").returncode, 0)
        missing = run("--bin", "/nonexistent")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("build it with", missing.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
