#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Our DKIM signatures before verifiers of other people: libopendkim and python3-dkim must accept every one of them.

    dkim_crosscheck.py DKIM-SIGN-FILES DKIM-VERIFY

Messages with odd headers and bodies are signed in all eight combinations of canonical forms and algorithms, and with both keys at once.
Then a good signature's tags are written with white space in every place and of every kind, allowed or not: both verifiers must read it or
refuse it, and agree.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import dkim_verify  # noqa: E402

HEAD = b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: test\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n" \
       b"Message-ID: <1@example.org>\r\n"

MESSAGES = {
    "plain": HEAD + b"\r\nHello.\r\n",
    "empty-body": HEAD + b"\r\n",
    "blank-lines-only": HEAD + b"\r\n\r\n\r\n\r\n",
    "white-lines-only": HEAD + b"\r\n \r\n\t\r\n  \t \r\n",
    "trailing-blank-lines": HEAD + b"\r\nHello.\r\n\r\n\r\n \t\r\n\r\n",
    "leading-blank-lines": HEAD + b"\r\n\r\n\r\nHello.\r\n",
    "white-space": HEAD + b"\r\n  a  b\t\tc \t d\t\r\n\te   \r\n f\t \t\r\nlast \t \r\n",
    "folds": b"From: =?utf-8?q?J=C3=B6rg?=\r\n\t<joerg@example.org>\r\nTo: a@example.net,\r\n b@example.net\r\n\t,c@example.net\r\n"
             b"Subject:  much   white\tspace \r\n \t folded  twice\r\n   and again  \r\nDate:Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nx\r\n",
    "no-space": b"From:a@example.org\r\nSubject:\r\nTo: \r\nX-Empty:\r\nCc:\t\r\n\r\nbody\r\n",
    "fold-first": b"From:\r\n a@example.org\r\nSubject:\r\n\tstarts on the next line\r\nTo: b@example.net\r\n\r\nbody\r\n",
    "repeated": HEAD + b"Resent-To: 1@x.test\r\nResent-From: a@x.test\r\nResent-To: 2@x.test\r\nResent-From: b@x.test\r\n"
                b"Resent-To: 3@x.test\r\nSubject: another\r\nReferences: <1@x>\r\n\r\nbody\r\n",
    "odd-case": b"FROM: a@example.org\r\nfrOm: b@example.org\r\nsUBJECT: s\r\nMESSAGE-Id: <2@x>\r\nmime-version: 1.0\r\n"
                b"content-TYPE: text/plain\r\n\r\nbody\r\n",
    "eight-bit": HEAD + b"Reply-To: caf\xe9 <r@example.org>\r\nCc: \xc3\xa9@example.org\r\n\r\ncaf\xe9 \xff\xfe\r\n\xc3\xa9\r\n",
    "dots": HEAD + b"\r\n.\r\n..\r\n.x\r\n\r\n.\r\n",
    "long-line": HEAD + b"References: " + b"<" + b"r" * 900 + b">\r\n\r\n" + b"y" * 998 + b"\r\n" + b" z" * 499 + b"\r\n",
    "large": HEAD + b"\r\n" + b"".join(b"line %d  of many \t\r\n" % i for i in range(20000)),
    "mime": HEAD + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\r\none\r\n--b\r\n"
            b"Content-Type: text/html\r\n\r\n<p>two</p>\r\n--b--\r\n\r\nepilogue\r\n",
    "own-signature": b"DKIM-Signature: v=1; a=rsa-sha256; d=other.test; s=x; h=from; bh=AAAA; b=AAAA\r\n" + HEAD + b"\r\nbody\r\n",
    "colons-and-quotes": b"From: \"a: b; c=d\" <a@example.org>\r\nSubject: x=1; b=abc; bh=def\r\nTo: g: a@x.test, b@x.test;\r\n\r\nb=\r\n",
}

# White space put round the parts of a tag: name, '=', value, ';'.
PATTERNS = [
    ("{n}={v}", "as it is"), (" {n}={v}", "before"), ("\t{n}={v}", "tab before"), ("{n} ={v}", "before ="), ("{n}= {v}", "after ="),
    ("{n}={v} ", "after"), ("{n}\t=\t{v}\t", "tabs everywhere"), ("\r\n {n}={v}", "fold before"), ("{n}\r\n ={v}", "fold before ="),
    ("{n}=\r\n {v}", "fold after ="), ("{n}={v}\r\n\t", "fold after"), ("  {n}  \r\n\t =  \r\n   {v}   \r\n ", "all at once"),
]
# The tags of RFC 6376, RFC 8463's values in them, and what a future version or a mistake brings.
TAGS = ["v", "a", "b", "bh", "c", "d", "h", "i", "l", "q", "s", "t", "x", "z", "r", "atps", "atpsh", "unknown"]
assert len(PATTERNS) == 12 and len(TAGS) == 18

failures = []


def check(condition, text):
    if not condition:
        failures.append(text)


def run_verify(program, keys, files):
    found = {}
    run = subprocess.run([program, keys, *files], capture_output=True, text=True, errors="replace", check=False)
    check(run.returncode == 0, f"dkim-verify ended with {run.returncode}: {run.stderr[-500:]}")
    for line in run.stdout.splitlines():
        path, number, domain, selector, outcome = line.split(" ")[:5]
        found.setdefault(path, []).append((int(number), domain, selector, outcome, line))
    return found


def combinations(folder, sign, verify):
    plain = os.path.join(folder, "plain")
    signed = os.path.join(folder, "signed")
    os.mkdir(plain)
    os.mkdir(signed)
    for name, message in MESSAGES.items():
        with open(os.path.join(plain, name), "wb") as file:
            file.write(message)
    subprocess.run([sign, signed, *[os.path.join(plain, name) for name in MESSAGES]], check=True)
    keys_file = os.path.join(signed, "keys")
    keys = dkim_verify.read_keys(keys_file)
    files = sorted(os.path.join(signed, name) for name in os.listdir(signed) if name != "keys")
    check(len(files) == len(MESSAGES) * 12, f"{len(files)} files were signed")
    opendkim = run_verify(verify, keys_file, files)
    for path in files:
        name = os.path.basename(path)
        ours = 2 if name.endswith("-both") else 1
        outcomes = [o for o in opendkim.get(path, []) if o[1] == "example.org"]
        check([o[3] for o in outcomes] == ["pass"] * ours, f"libopendkim: {name}: {outcomes}")
        with open(path, "rb") as file:
            results = [r for r in dkim_verify.results(file.read(), keys) if r[0] == "example.org"]
        check([r[2] for r in results] == ["pass"] * ours, f"python3-dkim: {name}: {results}")
    return keys_file, keys, os.path.join(signed, "plain.relaxed-relaxed-rsa")


def white_space(folder, verify, keys_file, keys, good):
    with open(good, "rb") as file:
        message = file.read().decode("ascii")
    field, rest = message.split("\r\nFrom:", 1)
    rest = "From:" + rest
    text = field.removeprefix("DKIM-Signature:").replace("\r\n", "")
    tags = [tuple(part.strip() for part in tag.split("=", 1)) for tag in text.split(";")]
    extra = {"l": "8", "q": "dns/txt", "z": "From:alice=40example.org", "r": "y", "atps": "example.org", "atpsh": "sha256", "unknown": "x"}
    files = []
    unchanged = []
    for tag in TAGS:
        for pattern, what in PATTERNS:
            parts = []
            for name, value in tags + ([(tag, extra[tag])] if tag in extra else []):
                parts.append(pattern.format(n=name, v=value) if name == tag else f" {name}={value}")
            path = os.path.join(folder, f"space-{tag}-{len(files)}")
            with open(path, "w", encoding="ascii", newline="") as file:
                file.write("DKIM-Signature:" + ";".join(parts) + "\r\n" + rest)
            files.append(path)
            if what == "before" and tag not in extra and tag in dict(tags):
                unchanged.append(path)
    opendkim = run_verify(verify, keys_file, files)
    check(len(opendkim) == len(files), f"{len(opendkim)} of {len(files)} files were judged")
    for path in files:
        with open(path, "rb") as file:
            found = dkim_verify.results(file.read(), keys)
        theirs = {o[3] == "pass" for o in opendkim.get(path, [])}
        check(theirs == {r[2] == "pass" for r in found}, f"white space: {os.path.basename(path)}: {opendkim.get(path)} but {found}")
    # One blank before a tag is how it was signed.
    check(len(unchanged) >= 8 and all(o[3] == "pass" for path in unchanged for o in opendkim.get(path, [])), "an unchanged signature must pass")
    return len(files)


def main():
    sign, verify = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory(prefix="postern-dkim-") as folder:
        keys_file, keys, good = combinations(folder, sign, verify)
        matrix = white_space(folder, verify, keys_file, keys, good)
    for text in failures[:30]:
        print("FAILED", text)
    print(f"{len(MESSAGES) * 12} signed files, {matrix} white space variants, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
