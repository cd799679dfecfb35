#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""postern doctor compares published DKIM records with the keys in fipsd: each way in which they can differ is found and named."""
import json
import os
import signal
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import dkim_verify  # noqa: E402
from support.dns import DnsServer  # noqa: E402
from support.fake_fipsd import FakeFipsd  # noqa: E402
from support.daemon import BIN, merge  # noqa: E402
from support.world import scratch  # noqa: E402

RSA, ED25519 = "r2026._domainkey.example.org", "e2026._domainkey.example.org"


class DoctorDkim(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = scratch()
        cls.fipsd = FakeFipsd(os.path.join(cls.directory, "fipsd"))
        cls.fipsd.start()
        cls.good = {name: [record.decode()] for name, record in dkim_verify.read_keys(cls.fipsd.keys_file).items()}
        os.mkdir(os.path.join(cls.directory, "postfix"))
        with open(os.path.join(cls.directory, "postfix", "main.cf"), "w") as file:
            file.write("compatibility_level = 3.6\n")
        with open(os.path.join(cls.directory, "postfix", "master.cf"), "w") as file:
            file.write("smtp inet n - n - - smtpd\n")

    @classmethod
    def tearDownClass(cls):
        cls.fipsd.stop()

    def setUp(self):
        self.fipsd.answer()
        self.dns = DnsServer(self.good)
        self.addCleanup(self.dns.close)

    def doctor(self, profile=None, **config):
        path = os.path.join(self.directory, "postern.yaml")
        with open(path, "w") as file:
            yaml.safe_dump(merge({"hostname": "gateway.test", **self.fipsd.config(**(profile or {}))}, config), file)
        run = subprocess.run([os.path.join(BIN, "postern"), "doctor", "--json", "-c", path, "--postfix-config",
                              os.path.join(self.directory, "postfix"), "--dns", self.dns.address], capture_output=True, timeout=120, check=False)
        self.assertIn(run.returncode, (0, 1), run.stderr.decode())
        found = [finding for finding in json.loads(run.stdout)["findings"] if finding["id"].startswith(("dkim-", "fipsd-"))]
        return {finding["id"]: finding["text"] for finding in found}

    def publish(self, record, name=RSA):
        self.dns.records[name] = record if isinstance(record, list) else [record]

    def test_all_is_well(self):
        self.assertEqual(self.doctor(), {})

    def test_a_long_record_comes_over_tcp(self):
        self.publish(self.good[RSA][0] + "; n=" + "x" * 600)
        self.assertEqual(self.doctor(), {})

    def test_profiles_that_no_flow_uses_are_not_looked_at(self):
        self.dns.records = {}
        self.assertEqual(self.doctor(flows=[{"name": "outbound"}]), {})

    def test_no_record(self):
        del self.dns.records[RSA]
        self.publish([], ED25519)
        found = self.doctor()
        self.assertEqual(set(found), {"dkim-record-missing"})

    def test_another_key(self):
        self.publish(self.good[ED25519][0])
        self.assertEqual(self.doctor(), {"dkim-record-different": f"{RSA} publishes another key than dkim-rsa"})

    def test_revoked(self):
        self.publish("v=DKIM1; k=rsa; p=")
        self.assertEqual(set(self.doctor()), {"dkim-record-revoked"})

    def test_testing(self):
        self.publish(self.good[RSA][0] + "; t=y")
        self.assertEqual(set(self.doctor()), {"dkim-record-testing"})

    def test_records_that_are_of_no_use(self):
        key = self.good[RSA][0]
        for record in (["v=spf1 -all"], [key, key], [key + "; h=sha1"], [key + "; s=tlsrpt"], [key + "; k=rsa"]):
            self.publish(record)
            self.assertEqual(set(self.doctor()), {"dkim-record-unusable"}, record)
        self.publish(key + "; t=s")
        self.assertEqual(self.doctor(), {})
        self.assertEqual(set(self.doctor({"identity": "@mail.example.org"})), {"dkim-record-unusable"})

    def test_dns_that_does_not_answer(self):
        self.dns.failing = {RSA}
        found = self.doctor()
        self.assertEqual(set(found), {"dkim-record-unknown"})
        self.dns.silent = True
        self.assertEqual(set(self.doctor()), {"dkim-record-unknown"})

    def test_keys(self):
        missing = {"keys": [{"selector": "r2026", "key": "no-such-key"}]}
        self.assertEqual(set(self.doctor(missing)), {"dkim-key-missing"})
        self.fipsd.answer("zeroised")
        self.assertEqual(set(self.doctor()), {"dkim-key-unusable"})
        wrong = {"keys": [{"selector": "r2026", "key": "tls-p256"}]}
        self.fipsd.answer()
        self.assertEqual(set(self.doctor(wrong)), {"dkim-key-type"})
        weak = {"keys": [{"selector": "weak", "key": "dkim-weak"}]}
        self.publish(self.good["weak._domainkey.example.org"], "weak._domainkey.example.org")
        self.assertEqual(set(self.doctor(weak)), {"dkim-key-weak"})

    def test_fipsd_that_does_not_answer(self):
        self.fipsd.signal(signal.SIGSTOP)
        try:
            self.assertEqual(set(self.doctor()), {"fipsd-unreachable"})
        finally:
            self.fipsd.signal(signal.SIGCONT)
        self.publish("v=DKIM1; k=rsa; p=")
        self.assertEqual(set(self.doctor(keys={"socket": "/nonexistent/milter.sock"})), {"fipsd-unreachable", "dkim-record-revoked"})


if __name__ == "__main__":
    unittest.main()
