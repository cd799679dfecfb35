#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What holds while mail is signed: no private key in any process but fipsd's nor on any disk, nothing lost and nothing unsigned when
fipsd is killed or hangs, and after zeroising mail that needs a key waits while other mail flows. Real Postfix, real fipsd, real
token; signatures judged by libopendkim and python3-dkim."""
import base64
import glob
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import dkim_verify, smtp  # noqa: E402
from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.world import World  # noqa: E402

DKIM_VERIFY = os.environ.get("POSTERN_DKIM_VERIFY", "")
MEMORY_SCAN = os.environ.get("POSTERN_MEMORY_SCAN", "")
CONFIG = {
    "dkim": {"example.org": {"domain": "example.org", "keys": [{"selector": "r2026", "key": "dkim-rsa"}, {"selector": "e2026", "key": "dkim-ed"}]}},
    "flows": [{"name": "outbound", "when": {"client": ["127.0.0.2"]}, "sign": ["example.org"]}, {"name": "inbound"}],
}
OUTSIDE, INSIDE = "127.0.0.1", "127.0.0.2"


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=True).stdout


def message(number, size=3000):
    line = "Twenty lines like this one make a letter of usual length, more or less so.\r\n"
    return (f"From: Ann <ann@example.org>\r\nTo: bob@partner.example\r\nSubject: letter {number}\r\nDate: Thu, 01 Jan 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{number}@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" +
            line * (size // len(line))).encode()


def der_integers(der):
    """The INTEGERs of an RSAPrivateKey (RFC 8017 A.1.2)."""
    def length(at):
        if der[at] < 0x80:
            return der[at], at + 1
        count = der[at] & 0x7F
        return int.from_bytes(der[at + 1:at + 1 + count], "big"), at + 1 + count
    _, at = length(1)
    found = []
    while at < len(der):
        assert der[at] == 2
        size, at = length(at + 1)
        found.append(der[at:at + size].lstrip(b"\0"))
        at += size
    return found


def descendants(pid):
    """`pid` and every process below it."""
    children = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                text = file.read()
        except OSError:
            continue
        children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(text.split()[0]))
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children.get(one, [])
    return found


class Custody(unittest.TestCase):
    def setUp(self):
        self.world = World(config=CONFIG, start=False)
        self.fipsd = Fipsd(os.path.join(self.world.mta.directory, "fipsd"))
        self.fipsd.start().initialise()
        self.world.daemon.write({**CONFIG, "keys": {"socket": self.fipsd.milter_socket}})
        self.secrets = os.path.join(self.world.mta.directory, "..", os.path.basename(self.world.mta.directory) + "-secrets")
        os.makedirs(self.secrets, mode=0o700)
        self.make_keys()
        self.world.daemon.start()
        self.world.mta.start()

    def tearDown(self):
        try:
            self.world.close()
        finally:
            self.fipsd.discard()
            shutil.rmtree(self.secrets, ignore_errors=True)
            shutil.rmtree(self.fipsd.directory, ignore_errors=True)

    def make_keys(self):
        """Keys made outside, so that the test knows them, and brought in by the officer; their public halves in a key file."""
        self.patterns = os.path.join(self.secrets, "patterns")
        secret_parts = []
        for name, make in (("dkim-rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), ("dkim-ed", ["-algorithm", "ED25519"])):
            pem = os.path.join(self.secrets, name + ".pem")
            openssl("genpkey", *make, "-out", pem)
            der = openssl("pkey", "-in", pem, "-outform", "DER")
            if name == "dkim-rsa":
                numbers = der_integers(openssl("rsa", "-in", pem, "-traditional", "-outform", "DER"))
                parts = numbers[3:]  # d, p, q, dp, dq, qinv: what is not public
            else:
                parts = [der[-32:]]
            for part in parts:
                secret_parts += [part, part[::-1]]  # as it is written, and as OpenSSL's numbers lie in memory
            begin = min(der.find(part) for part in parts)
            text = base64.b64encode(der).decode()
            secret_parts.append(text[-(-begin * 4 // 3) + 4:].rstrip("=").encode())
            self.fipsd.fipsconfig("key", "import", name, pem, "--use", "dkim", password=PASSWORD)
        with open(self.patterns, "wb") as file:
            for part in secret_parts:
                file.write(struct.pack(">I", len(part)) + part)
        self.keys = os.path.join(self.secrets, "keys")
        with open(self.keys, "w") as file:
            for selector, name in (("r2026", "dkim-rsa"), ("e2026", "dkim-ed")):
                record = self.fipsd.fipsconfig("key", "dnstxt", name).stdout.decode()
                value = "".join(record.split('"')[1::2])
                file.write(f"{selector}._domainkey.example.org {value}\n")

    def send(self, number, source=INSIDE, **options):
        """The last reply to one message, or None when the connection was lost."""
        try:
            replies = smtp.send(self.world.mta.port, "ann@example.org", ["bob@partner.example"], message(number), source=source, **options)
        except (OSError, smtp.Lost):
            return None
        return replies.get("message") or replies.get("data")

    def check_signed(self, deliveries):
        """Both verifiers accept both signatures of every delivery."""
        files = []
        for index, delivery in enumerate(deliveries):
            path = os.path.join(self.secrets, f"mail-{index}.eml")
            with open(path, "wb") as file:
                file.write(delivery.data)
            files.append(path)
            found = dkim_verify.results(delivery.data, dkim_verify.read_keys(self.keys))
            self.assertEqual([(selector, outcome) for _, selector, outcome, _ in found], [("r2026", "pass"), ("e2026", "pass")], found)
        done = subprocess.run([DKIM_VERIFY, self.keys, *files], stdout=subprocess.PIPE, check=True, timeout=120)
        rows = [line.split() for line in done.stdout.decode().splitlines()]
        self.assertEqual(len(rows), 2 * len(files))
        self.assertTrue(all(row[4] == "pass" for row in rows), rows)

    def load(self, stop, accepted, refused, senders=4):
        """Senders that go on until `stop` is set; what was accepted and refused is kept."""
        counter = iter(range(1, 1 << 30))
        lock = threading.Lock()

        def sender():
            while not stop.is_set():
                with lock:
                    number = next(counter)
                reply = self.send(number)
                (accepted if reply is not None and reply.ok else refused).append((number, str(reply)))
        threads = [threading.Thread(target=sender) for _ in range(senders)]
        for thread in threads:
            thread.start()
        return threads

    def settle(self, accepted):
        """Waits until everything accepted was delivered, once; returns the deliveries by number."""
        def delivered():
            numbers = [int(re.search(rb"Subject: letter (\d+)", delivery.data)[1]) for delivery in self.world.sink.all()]
            return sorted(numbers)
        wanted = sorted(number for number, _ in accepted)
        wait_until(lambda: len(delivered()) >= len(wanted), lambda: f"{len(wanted)} deliveries: {len(delivered())}")
        got = delivered()
        self.assertEqual(sorted(set(got)), got, "delivered twice")
        self.assertLessEqual(set(wanted), set(got), "accepted and not delivered")
        return self.world.sink.all()

    def test_no_key_outside_fipsd(self):
        os.unlink(os.path.join(self.secrets, "dkim-rsa.pem"))
        os.unlink(os.path.join(self.secrets, "dkim-ed.pem"))
        stop, accepted, refused = threading.Event(), [], []
        threads = self.load(stop, accepted, refused)
        try:
            wait_until(lambda: len(accepted) >= 20, "some signed mail")
            scanned = set()
            for _ in range(3):
                pids = [self.world.daemon.pid, *descendants(self.world.mta.process.pid)]
                targets = [f"pid:{pid}" for pid in pids]
                # A process of the mail server may have ended in between; posternd may not.
                done = subprocess.run([MEMORY_SCAN, self.patterns, *targets], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
                rows = [line.split() for line in done.stdout.decode().splitlines()]
                self.assertTrue(any(row[0] == f"pid:{self.world.daemon.pid}" for row in rows), done.stderr)
                self.assertEqual([row for row in rows if row[1] != "0"], [])
                scanned |= {row[0] for row in rows}
            self.assertGreaterEqual(len(scanned), 4, scanned)  # posternd, master, smtpd, cleanup at the least
            trace = subprocess.Popen([os.path.join(os.environ["POSTERN_BIN"], "postern"), "trace", "-c", self.world.daemon.config_file,
                                      "--client-ip", INSIDE, "--from", "ann@example.org", "--rcpt", "b@partner.example", "-"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            subprocess.run([MEMORY_SCAN, self.patterns, f"pid:{trace.pid}"], stdout=subprocess.PIPE, check=True, timeout=60)
            trace.communicate(message(0), timeout=60)
        finally:
            stop.set()
            for thread in threads:
                thread.join(120)
        # On disk it is nowhere in clear: the token's files hold it encrypted.
        files = [f"file:{os.path.join(folder, name)}" for root in (self.world.mta.directory, self.fipsd.directory)
                 for folder, _, names in os.walk(root) for name in names if os.path.isfile(os.path.join(folder, name))]
        self.assertTrue(any(self.fipsd.tokens in name for name in files))
        done = subprocess.run([MEMORY_SCAN, self.patterns, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        self.assertEqual([line for line in done.stdout.decode().splitlines() if line.split()[1] != "0"], [])
        self.assertEqual(done.returncode, 0, done.stderr)
        # The scanner itself finds it where it must be: in a copy.
        with open(os.path.join(self.secrets, "copy"), "wb") as copy, open(self.patterns, "rb") as file:
            copy.write(file.read()[4:])
        done = subprocess.run([MEMORY_SCAN, self.patterns, "file:" + os.path.join(self.secrets, "copy")], stdout=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.check_signed(self.settle(accepted))

    def test_kill_and_hang_under_load(self):
        stop, accepted, refused = threading.Event(), [], []
        threads = self.load(stop, accepted, refused)
        recoveries = []
        try:
            for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
                before = len(accepted)
                wait_until(lambda: len(accepted) >= before + 10, "mail to flow")
                refused_before = len(refused)
                if number == signal.SIGKILL:
                    self.fipsd.kill()
                else:
                    self.fipsd.process.send_signal(number)
                wait_until(lambda: len(refused) > refused_before, "mail to be deferred")
                # posternd itself answers meanwhile.
                self.assertGreaterEqual(self.world.daemon.status()["generation"], 1)
                reply = self.send(1_000_000 + len(recoveries), source=OUTSIDE)
                self.assertTrue(reply is not None and reply.ok, str(reply))
                accepted.append((1_000_000 + len(recoveries), str(reply)))
                if number == signal.SIGKILL:
                    self.fipsd.start()
                else:
                    self.fipsd.process.send_signal(signal.SIGCONT)
                begun, before = time.monotonic(), len(accepted)
                wait_until(lambda: len(accepted) > before, "mail to flow again", 60)  # five seconds are promised; twelve times that is a hang
                recoveries.append(time.monotonic() - begun)
        finally:
            stop.set()
            for thread in threads:
                thread.join(120)
        self.assertTrue(all(text.startswith("4") for _, text in refused), [text for _, text in refused if not text.startswith("4")])
        deliveries = self.settle(accepted)
        self.check_signed([delivery for delivery in deliveries if b"Subject: letter 100000" not in delivery.data])
        print(f"accepted {len(accepted)}, deferred {len(refused)}, flowing again after {', '.join(f'{r:.1f}' for r in recoveries)} s")

    def test_zeroised(self):
        self.assertTrue(self.send(1).ok)
        self.fipsd.fipsconfig("zeroise", "--yes", password=PASSWORD)
        reply = self.send(2)
        self.assertEqual(reply.code // 100, 4, str(reply))
        self.assertTrue(self.send(3, source=OUTSIDE).ok)
        deliveries = self.settle([(1, ""), (3, "")])
        self.assertEqual(len(deliveries), 2)
        self.check_signed([delivery for delivery in deliveries if b"Subject: letter 1\r\n" in delivery.data])


if __name__ == "__main__":
    unittest.main()
