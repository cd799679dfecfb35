#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""install_test BUILD: what `cmake --install` puts down, staged in a folder, works there: programs find each other, pages and units are complete.

BUILD is the build folder; DESTDIR keeps everything below a temporary folder.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1))
SOURCE = pathlib.Path(__file__).resolve().parents[2]


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], env={**os.environ, "DESTDIR": str(cls.root)}, check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_scan_finds_its_workers(self):
        sample = self.root / "note.txt"
        sample.write_text("nothing but words\n", encoding="ascii")
        done = subprocess.run([self.root / "usr/bin/postern", "scan", "--json", sample], capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[0]) if done.stdout.startswith("{") else json.loads(done.stdout)[0]
        self.assertEqual((row["type"], row["status"]), ("txt", "scanned"))

    def test_units_name_what_is_there(self):
        units = sorted((self.root / "usr/lib/systemd/system").iterdir())
        self.assertGreaterEqual(len(units), 5)
        for unit in units:
            for program in re.findall(r"^Exec\w+=(/\S+)", unit.read_text(encoding="utf-8"), re.M):
                self.assertTrue(os.access(self.root / program.lstrip("/"), os.X_OK), f"{unit.name}: {program}")

    def test_pages_schemas_and_samples(self):
        for page in (SOURCE / "man").glob("*.scd"):
            self.assertTrue((self.root / "usr/share/man" / f"man{page.stem[-1]}" / page.stem).is_file(), page.stem)
        # What the sample configurations tell editors to check them with.
        for sample in (self.root / "usr/share/doc/postern/conf").rglob("*.yaml"):
            for schema in re.findall(r"\$schema=(\S+)", sample.read_text(encoding="utf-8")):
                self.assertTrue((self.root / schema.lstrip("/")).is_file(), f"{sample.name}: {schema}")


if __name__ == "__main__":
    unittest.main()
