#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the readings of ambiguous mail with what mail readers extract from it: Python's email, munpack, ripmime and uudeview.

usage: readings_crosscheck.py READINGS-DUMP [COUNT [SEED [KEEP]]]

Messages are made with one fault each, then COUNT with two or three faults drawn by SEED. Each carries a harmless program or a
marker text. Whatever payload a reader extracts must be among the leaves of our own reading or among the other readings; a payload that
nobody extracts does not count. KEEP is a folder for the messages that failed.
"""
import base64
import collections
import email
import email.policy
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

STUB = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00" + bytes(range(1, 180)) + b"This program cannot be run.\r\n$" + b"PE\0\0"
MARK = b"X5O!P%@AP[4-READINGS-STANDARD-TEST-MARKER!$H+H*"
BND = b"=_bnd-0001"


def b64_lines(data, width=76, eol=b"\r\n"):
    text = base64.b64encode(data)
    return b"".join(text[i:i + width] + eol for i in range(0, len(text), width))


def qp_all(data, soft=b"=\r\n", per_line=24, lower=False):
    hexes = [b"=%02X" % c for c in data]
    if lower:
        hexes = [h.lower() for h in hexes]
    return soft.join(b"".join(hexes[i:i + per_line]) for i in range(0, len(hexes), per_line)) + b"\r\n"


def uu(data, end=b"end\r\n"):
    import binascii
    lines = [binascii.b2a_uu(data[i:i + 45]).rstrip(b"\n") for i in range(0, len(data), 45)]
    return b"begin 644 a.exe\r\n" + b"\r\n".join(lines) + b"\r\n`\r\n" + end


# Each table holds (name, value); the first is the ordinary one.

TOP_TYPE = [
    ("plain", b'Content-Type: multipart/mixed; boundary="%s"\r\n'),
    ("unquoted", b"Content-Type: multipart/mixed; boundary=%s\r\n"),
    ("single-quotes", b"Content-Type: multipart/mixed; boundary='%s'\r\n"),
    ("two-first", b'Content-Type: multipart/mixed; boundary="%s"; boundary="other"\r\n'),
    ("two-last", b'Content-Type: multipart/mixed; boundary="other"; boundary="%s"\r\n'),
    ("no-semicolon", b'Content-Type: multipart/mixed boundary="%s"\r\n'),
    ("semicolon-in", b'Content-Type: multipart/mixed; x="a;boundary=other"; boundary="%s"\r\n'),
    ("unclosed", b'Content-Type: multipart/mixed; boundary="%s\r\n'),
    ("no-open", b'Content-Type: multipart/mixed; boundary=%s"\r\n'),
    ("comment-after", b'Content-Type: multipart/mixed; boundary="%s" (x)\r\n'),
    ("comment-before", b'Content-Type: multipart/mixed; boundary=(x)"%s"\r\n'),
    ("comment-in-type", b'Content-Type: multipart(x)/mixed; boundary="%s"\r\n'),
    ("comment-name", b'Content-Type: multipart/mixed; boundary(x)="%s"\r\n'),
    ("space-equals", b'Content-Type: multipart/mixed; boundary = "%s"\r\n'),
    ("upper-name", b'Content-Type: MULTIPART/MIXED; BOUNDARY="%s"\r\n'),
    ("folded", b'Content-Type: multipart/mixed;\r\n boundary="%s"\r\n'),
    ("folded-equals", b'Content-Type: multipart/mixed; boundary=\r\n "%s"\r\n'),
    ("rfc2231", b"Content-Type: multipart/mixed; boundary*=us-ascii''%s\r\n"),
    ("rfc2231-plain-too", b"Content-Type: multipart/mixed; boundary*=us-ascii''%s; boundary=other\r\n"),
    ("rfc2231-other", b"Content-Type: multipart/mixed; boundary*=us-ascii''other; boundary=\"%s\"\r\n"),
    ("leading-space-value", b'Content-Type: multipart/mixed; boundary=" %s"\r\n'),
    ("trailing-space-value", b'Content-Type: multipart/mixed; boundary="%s  "\r\n'),
    ("trailing-text", b'Content-Type: multipart/mixed; boundary="%s"tail\r\n'),
    ("escaped", b'Content-Type: multipart/mixed; boundary="\\%s"\r\n'),
    ("nul-behind", b'Content-Type: multipart/mixed; boundary="%s\0x"\r\n'),
    ("missing", b"Content-Type: multipart/mixed\r\n"),
    ("empty", b'Content-Type: multipart/mixed; boundary=""\r\n'),
    ("dup-text-first", b'Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary="%s"\r\n'),
    ("dup-text-last", b'Content-Type: multipart/mixed; boundary="%s"\r\nContent-Type: text/plain\r\n'),
    ("dup-other-first", b'Content-Type: multipart/mixed; boundary="other"\r\nContent-Type: multipart/mixed; boundary="%s"\r\n'),
    ("dup-other-last", b'Content-Type: multipart/mixed; boundary="%s"\r\nContent-Type: multipart/mixed; boundary="other"\r\n'),
    ("name-space", b'Content-Type : multipart/mixed; boundary="%s"\r\n'),
    ("name-nul", b'Content-Type\0: multipart/mixed; boundary="%s"\r\n'),
    ("type-nul", b'Content-Type: \0multipart/mixed; boundary="%s"\r\n'),
    ("type-nul-behind", b'Content-Type: multipart/mixed\0; boundary="%s"\r\n'),
    ("type-slash", b'Content-Type: multipart/; boundary="%s"\r\n'),
    ("type-no-slash", b'Content-Type: multipart; boundary="%s"\r\n'),
    ("type-spaces", b'Content-Type: multipart / mixed; boundary="%s"\r\n'),
    ("type-quoted", b'Content-Type: "multipart/mixed"; boundary="%s"\r\n'),
    ("type-unknown", b'Content-Type: multipart/strange; boundary="%s"\r\n'),
    ("base64-label", b'Content-Type: multipart/mixed; boundary="%s"\r\nContent-Transfer-Encoding: base64\r\n'),
    ("qp-label", b'Content-Type: multipart/mixed; boundary="%s"\r\nContent-Transfer-Encoding: quoted-printable\r\n'),
    ("junk-line-before", b'X-A: b\r\nthis is no field\r\nContent-Type: multipart/mixed; boundary="%s"\r\n'),
    ("empty-name-before", b'X-A: b\r\n: x\r\nContent-Type: multipart/mixed; boundary="%s"\r\n'),
    ("blank-line-before", b'X-A: b\r\n \r\nContent-Type: multipart/mixed; boundary="%s"\r\n'),
    ("cr-before", b'X-A: b\rContent-Type: multipart/mixed; boundary="%s"\r\n'),
    ("underscore", b'Content_Type: multipart/mixed; boundary="%s"\r\n'),
    ("lead-tab", b'Content-Type:\tmultipart/mixed;\tboundary="%s"\r\n'),
    ("type-semicolons", b'Content-Type: multipart/mixed;;; boundary="%s"\r\n'),
    ("comma", b'Content-Type: multipart/mixed, boundary="%s"\r\n'),
]

# Delimiters: before the text part, before the attachment, at the end.
DELIMITERS = [
    ("plain", (b"--%s\r\n", b"\r\n--%s\r\n", b"\r\n--%s--\r\n")),
    ("trailing-blank", (b"--%s \r\n", b"\r\n--%s\t \r\n", b"\r\n--%s-- \r\n")),
    ("trailing-text", (b"--%s\r\n", b"\r\n--%sxyz\r\n", b"\r\n--%s--\r\n")),
    ("three-dashes", (b"--%s\r\n", b"\r\n---%s\r\n", b"\r\n--%s--\r\n")),
    ("one-dash", (b"--%s\r\n", b"\r\n-%s\r\n", b"\r\n--%s--\r\n")),
    ("no-dash", (b"--%s\r\n", b"\r\n%s\r\n", b"\r\n--%s--\r\n")),
    ("leading-blank", (b"--%s\r\n", b"\r\n --%s\r\n", b"\r\n--%s--\r\n")),
    ("lf", (b"--%s\n", b"\n--%s\n", b"\n--%s--\n")),
    ("cr", (b"--%s\r\n", b"\r--%s\r\n", b"\r\n--%s--\r\n")),
    ("crcrlf", (b"--%s\r\n", b"\r\r\n--%s\r\r\n", b"\r\n--%s--\r\n")),
    ("closed-first", (b"--%s\r\n", b"\r\n--%s--\r\n--%s\r\n", b"\r\n--%s--\r\n")),
    ("closed-only", (b"--%s--\r\n", b"\r\n--%s--\r\n", b"\r\n--%s--\r\n")),
    ("not-closed", (b"--%s\r\n", b"\r\n--%s\r\n", b"")),
    ("one-end-dash", (b"--%s\r\n", b"\r\n--%s\r\n", b"\r\n--%s-\r\n")),
    ("three-end-dashes", (b"--%s\r\n", b"\r\n--%s---\r\n", b"\r\n--%s--\r\n")),
    ("no-first", (b"", b"\r\n--%s\r\n", b"\r\n--%s--\r\n")),
    ("in-preamble", (b"text\r\n--%s\r\n", b"\r\n--%s\r\n", b"\r\n--%s--\r\ntail\r\n")),
    ("closing-with-text", (b"--%s\r\n", b"\r\n--%s--x\r\n", b"\r\n--%s--\r\n")),
    ("nul-behind", (b"--%s\r\n", b"\r\n--%s\0\r\n", b"\r\n--%s--\r\n")),
    ("nul-before", (b"--%s\r\n", b"\r\n\0--%s\r\n", b"\r\n--%s--\r\n")),
    ("quoted", (b"--%s\r\n", b"\r\n--\"%s\"\r\n", b"\r\n--%s--\r\n")),
    ("twice", (b"--%s\r\n", b"\r\n--%s\r\n--%s\r\n", b"\r\n--%s--\r\n")),
    ("no-line-end-before", (b"--%s\r\n", b"--%s\r\n", b"\r\n--%s--\r\n")),
]

PART_HEADER = [
    ("plain", b'Content-Type: application/octet-stream; name="a.exe"\r\nContent-Disposition: attachment; filename="a.exe"\r\n'),
    ("type-text", b'Content-Type: text/plain; name="a.exe"\r\n'),
    ("no-type", b'Content-Disposition: attachment; filename="a.exe"\r\n'),
    ("dup-type", b'Content-Type: text/plain\r\nContent-Type: application/octet-stream; name="a.exe"\r\n'),
    ("broken-type", b'Content-Type: application; name="a.exe"\r\nContent-Disposition: attachment; filename="a.exe"\r\n'),
    ("space-first", b' X: y\r\nContent-Type: application/octet-stream; name="a.exe"\r\n'),
    ("blank-first", b'\r\nContent-Type: application/octet-stream; name="a.exe"\r\n'),
    ("junk-line", b'Content-Type: application/octet-stream; name="a.exe"\r\nthis is no field\r\n'),
    ("from-line", b'From x\r\nContent-Type: application/octet-stream; name="a.exe"\r\n'),
    ("colon-line", b': x\r\nContent-Type: application/octet-stream; name="a.exe"\r\n'),
    ("cr-between", b'Content-Type: application/octet-stream; name="a.exe"\rX: y\r\n'),
    ("lf-between", b'Content-Type: application/octet-stream; name="a.exe"\nX: y\n'),
    ("message", b"Content-Type: message/rfc822\r\n"),
    ("alternative", b"Content-Type: multipart/alternative; boundary=\"nowhere\"\r\n"),
    ("blank-in-middle", b'Content-Type: application/octet-stream; name="a.exe"\r\n \r\n'),
]

# Content-Transfer-Encoding lines, %s is the encoding's name.
ENCODING = [
    ("plain", b"Content-Transfer-Encoding: %s\r\n"),
    ("upper", b"CONTENT-TRANSFER-ENCODING: %s\r\n"),
    ("comment-after", b"Content-Transfer-Encoding: %s (x)\r\n"),
    ("comment-before", b"Content-Transfer-Encoding: (x) %s\r\n"),
    ("semicolon", b"Content-Transfer-Encoding: %s;\r\n"),
    ("comma", b"Content-Transfer-Encoding: %s, 7bit\r\n"),
    ("comma-first", b"Content-Transfer-Encoding: 7bit, %s\r\n"),
    ("text-behind", b"Content-Transfer-Encoding: %s junk\r\n"),
    ("text-before", b"Content-Transfer-Encoding: x %s\r\n"),
    ("quoted", b'Content-Transfer-Encoding: "%s"\r\n'),
    ("folded", b"Content-Transfer-Encoding:\r\n %s\r\n"),
    ("trailing-blank", b"Content-Transfer-Encoding: %s \t \r\n"),
    ("nul-behind", b"Content-Transfer-Encoding: %s\0\r\n"),
    ("nul-before", b"Content-Transfer-Encoding: \0%s\r\n"),
    ("x-prefix", b"Content-Transfer-Encoding: x-%s\r\n"),
    ("no-space", b"Content-Transfer-Encoding:%s\r\n"),
    ("name-space", b"Content-Transfer-Encoding : %s\r\n"),
    ("name-nul", b"Content-Transfer-Encoding\0: %s\r\n"),
    ("name-nul-before", b"\0Content-Transfer-Encoding: %s\r\n"),
    ("name-underscore", b"Content_Transfer_Encoding: %s\r\n"),
    ("name-comment", b"Content-Transfer-Encoding(x): %s\r\n"),
    ("name-tab", b"Content-Transfer-Encoding\t: %s\r\n"),
    ("name-blank-before", b"\r\n Content-Transfer-Encoding: %s\r\n"),
    ("dup-7bit-last", b"Content-Transfer-Encoding: %s\r\nContent-Transfer-Encoding: 7bit\r\n"),
    ("dup-7bit-first", b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: %s\r\n"),
    ("dup-qp-last", b"Content-Transfer-Encoding: %s\r\nContent-Transfer-Encoding: quoted-printable\r\n"),
    ("dup-base64-first", b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: %s\r\n"),
    ("unknown", b"Content-Transfer-Encoding: foo\r\n"),
    ("empty", b"Content-Transfer-Encoding:\r\n"),
    ("missing", b""),
    ("cr-in", b"Content-Transfer-Encoding: \r%s\r\n"),
]

SEPARATOR = [
    ("plain", b"\r\n"),
    ("lf", b"\n"),
    ("cr", b"\r"),
    ("crcrlf", b"\r\r\n"),
    ("lfcrlf", b"\n\r\n"),
    ("blank", b" \r\n"),
    ("tab", b"\t\r\n"),
    ("nul", b"\0\r\n"),
    ("none", b""),
    ("two", b"\r\n\r\n"),
    ("junk", b"junk\r\n\r\n"),
    ("form-feed", b"\x0c\r\n"),
]


def cut(data, at, between):
    return data[:at] + between + data[at:]


def coded(payload, name):
    lines = b64_lines(payload)
    flat = base64.b64encode(payload)
    return {
        "base64": lines,
        "base64-lf": b64_lines(payload, eol=b"\n"),
        "base64-cr": b64_lines(payload, eol=b"\r"),
        "base64-crcrlf": b64_lines(payload, eol=b"\r\r\n"),
        "base64-one-line": flat + b"\r\n",
        "base64-71": b64_lines(payload, 71),
        "base64-1": b64_lines(payload, 1),
        "base64-blank-line": cut(lines, 78, b"\r\n\r\n"),
        "base64-junk-line": cut(lines, 78, b"!!!! ****\r\n"),
        "base64-junk-first": b"****\r\n" + lines,
        "base64-text-first": b"This is text.\r\n" + lines,
        "base64-text-last": lines + b"\r\nList footer: see http://example.org/\r\n",
        "base64-junk-char": cut(lines, 30, b"*"),
        "base64-spaces": flat.replace(b"A", b"A ") + b"\r\n",
        "base64-high": cut(lines, 40, b"\xe9\xff"),
        "base64-nul": cut(lines, 40, b"\0"),
        "base64-pad-first": b"====" + lines,
        "base64-pad-middle": cut(lines, 40, b"="),
        "base64-pad-group": cut(lines, 40, b"===="),
        "base64-segments": b"".join(base64.b64encode(payload[i:i + 10]) + b"\r\n" for i in range(0, len(payload), 10)),
        "base64-url": base64.urlsafe_b64encode(payload) + b"\r\n",
        "base64-no-pad": flat.rstrip(b"=") + b"\r\n",
        "base64-no-pad-one": flat + b"A\r\n",
        "base64-line-dashes": cut(lines, 78, b"--\r\n"),
        "base64-mark-behind": flat + b"\r\n=\r\n" + base64.b64encode(MARK) + b"\r\n",
        "qp": qp_all(payload),
        "qp-lf": qp_all(payload, b"=\n"),
        "qp-cr": qp_all(payload, b"=\r"),
        "qp-crcrlf": qp_all(payload, b"=\r\r\n"),
        "qp-blank-soft": qp_all(payload, b"= \r\n"),
        "qp-tab-soft": qp_all(payload, b"=\t\r\n"),
        "qp-lower": qp_all(payload, lower=True),
        "qp-one-line": qp_all(payload, b""),
        "qp-bad-first": b"=XY" + qp_all(payload),
        "qp-bad-middle": qp_all(payload, b"=ZZ"),
        "qp-split-hex": qp_all(payload).replace(b"=90=", b"=9=\r\n0=", 1),
        "qp-end-equals": qp_all(payload).rstrip() + b"=",
        "qp-double-equals": b"==" + qp_all(payload),
        "qp-soft-first": b"=\r\n=\r\n" + qp_all(payload),
        "qp-nul": cut(qp_all(payload), 30, b"\0"),
        "qp-high": cut(qp_all(payload), 30, b"\xe9"),
        "qp-space-equals": qp_all(payload, b" =\r\n"),
        "qp-short-last": qp_all(payload).rstrip() + b"=4",
        "uu": uu(payload),
        "uu-no-end": uu(payload, b""),
        "uu-text": b"Some text.\r\n" + uu(payload),
        "plain": payload + b"\r\n",
    }[name]


CODED = ["base64", "base64-lf", "base64-cr", "base64-crcrlf", "base64-one-line", "base64-71", "base64-1", "base64-blank-line",
         "base64-junk-line", "base64-junk-first", "base64-text-first", "base64-text-last", "base64-junk-char", "base64-spaces",
         "base64-high", "base64-nul", "base64-pad-first", "base64-pad-middle", "base64-pad-group", "base64-segments", "base64-url",
         "base64-no-pad", "base64-no-pad-one", "base64-line-dashes", "base64-mark-behind", "qp", "qp-lf", "qp-cr", "qp-crcrlf",
         "qp-blank-soft", "qp-tab-soft", "qp-lower", "qp-one-line", "qp-bad-first", "qp-bad-middle", "qp-split-hex", "qp-end-equals",
         "qp-double-equals", "qp-soft-first", "qp-nul", "qp-high", "qp-space-equals", "qp-short-last", "uu", "uu-no-end", "uu-text",
         "plain"]
LABEL = {"base64": b"base64", "qp": b"quoted-printable", "uu": b"x-uuencode", "plain": b"8bit"}

LAYOUT = ["plain", "nested-same", "nested-prefix", "nested-unclosed", "message", "encoded-multipart", "encoded-message", "in-preamble",
          "in-epilogue", "whole-message", "digest"]

TABLES = {"top": [n for n, _ in TOP_TYPE], "delimiters": [n for n, _ in DELIMITERS], "header": [n for n, _ in PART_HEADER],
          "encoding": [n for n, _ in ENCODING], "separator": [n for n, _ in SEPARATOR], "coded": CODED, "layout": LAYOUT}


def lookup(table, name):
    return dict(table)[name]


def with_bound(text, boundary):
    return text.replace(b"%s", boundary)


def make(choice, payload):
    """The message of a choice of one name a table."""
    kind = choice["coded"].split("-")[0]
    part = lookup(PART_HEADER, choice["header"])
    part += lookup(ENCODING, choice["encoding"]).replace(b"%s", LABEL[kind])
    part += lookup(SEPARATOR, choice["separator"])
    part += coded(payload, choice["coded"]).rstrip(b"\r\n") if choice["coded"] != "plain" else payload
    first, middle, last = (with_bound(text, BND) for text in lookup(DELIMITERS, choice["delimiters"]))
    text = b"Content-Type: text/plain\r\n\r\nhello"
    top = with_bound(lookup(TOP_TYPE, choice["top"]), BND)
    body = first + text + middle + part + last
    layout = choice["layout"]
    if layout == "nested-same":
        body = (b"--%s\r\nContent-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n" % (BND, BND)) + body
    elif layout == "nested-prefix":
        inner = BND + b"-in"
        body = (b"--%s\r\nContent-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n--%s\r\n" % (BND, inner, inner)) + part + (
            b"\r\n--%s--\r\n" % inner) + last
    elif layout == "nested-unclosed":
        body = (b"--%s\r\nContent-Type: multipart/mixed; boundary=\"in\"\r\n\r\n--in\r\n" % BND) + part + middle + text + last
    elif layout == "message":
        body = first + b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" + part + last
    elif layout == "digest":
        top = top.replace(b"multipart/mixed", b"multipart/digest")
        body = first + b"\r\nSubject: x\r\n" + part + last
    elif layout == "encoded-multipart":
        top += b"Content-Transfer-Encoding: base64\r\n"
        body = b64_lines(body)
    elif layout == "encoded-message":
        inner = b"Subject: x\r\n" + top + b"\r\n" + body
        body = first + b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64_lines(inner) + last
    elif layout == "in-preamble":
        body = part + b"\r\n" + first + text + last
    elif layout == "in-epilogue":
        body = first + text + last + part + b"\r\n"
    head = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: t\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    if layout == "whole-message":
        return head + part + b"\r\n"
    return head + top + b"\r\n" + body


def choices(count, seed):
    ordinary = {table: names[0] for table, names in TABLES.items()}
    yield ordinary
    for table, names in TABLES.items():
        for name in names[1:]:
            yield {**ordinary, table: name}
    draw = random.Random(seed)
    for _ in range(count):
        choice = dict(ordinary)
        for table in draw.sample(sorted(TABLES), draw.choice((2, 2, 3))):
            choice[table] = draw.choice(TABLES[table])
        yield choice


# uudeview looks for base64 in any text, ripmime and uudeview for uuencoded files. The former no mail reader does where no field says that
# it is encoded, the latter is a matter of who reads the content of a leaf.
UNLABELLED = {"missing", "empty", "name-blank-before"}


def is_guess(reader, choice):
    unlabelled = choice["encoding"] in UNLABELLED
    return (reader == "uudeview" and (unlabelled or choice["layout"] == "in-epilogue")) or (
        unlabelled and choice["coded"].startswith("uu"))


# Readers. Each gives the contents it extracts.

def python_reader(policy):
    def read(path):
        out = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                for part in email.message_from_bytes(path.read_bytes(), policy=policy).walk():
                    if not part.is_multipart():
                        content = part.get_payload(decode=True)
                        if content is not None:
                            out.append(content)
            except Exception:  # a reader that gives up shows nothing
                pass
        return out
    return read


def program_reader(command):
    def read(path):
        with tempfile.TemporaryDirectory() as folder:
            args = [each.replace("FOLDER", folder).replace("FILE", str(path)) for each in command]
            try:
                subprocess.run(args, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               timeout=60, check=False)
            except subprocess.TimeoutExpired:
                return []
            return [each.read_bytes() for each in sorted(pathlib.Path(folder).rglob("*")) if each.is_file()]
    return read


READERS = {
    "python": python_reader(email.policy.compat32),
    "python-default": python_reader(email.policy.default),
    "munpack": program_reader(["munpack", "-q", "-f", "-t", "FILE"]),
    "ripmime": program_reader(["ripmime", "-i", "FILE", "-d", "FOLDER", "--overwrite"]),
    "uudeview": program_reader(["uudeview", "-i", "-q", "-p", "FOLDER", "FILE"]),
}


def same_lines(content):
    """Readers write line ends as they like."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")


def main():
    tool = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    keep = pathlib.Path(sys.argv[4]) if len(sys.argv) > 4 else None
    messages = [(choice, payload) for choice in choices(count, seed) for payload in (STUB, MARK)]
    failures = 0
    figures = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, (choice, payload) in enumerate(messages):
            paths.append(pathlib.Path(folder) / f"{i}.eml")
            paths[-1].write_bytes(make(choice, payload))
        ours = []
        for i in range(0, len(paths), 200):
            run = subprocess.run([tool, *map(str, paths[i:i + 200])], stdout=subprocess.PIPE, check=True)
            ours += [json.loads(line) for line in run.stdout.splitlines()]
        for (choice, payload), path, found in zip(messages, paths, ours):
            what = " ".join(f"{table}={name}" for table, name in choice.items() if name != TABLES[table][0]) or "ordinary"
            leaves = [base64.b64decode(each["bytes"]) for each in found["leaves"] + found["others"]]
            exact = {same_lines(each) for each in leaves}
            figures["messages"] += 1
            figures["ambiguous"] += found["ambiguous"]
            figures["incomplete"] += not found["complete"]
            figures["with payload of ours"] += any(payload in each for each in leaves)
            figures["with payload as a file of ours"] += any(each.startswith(payload) for each in leaves)
            if what == "ordinary" and (found["ambiguous"] or found["others"]):
                failures += 1
                print("AMBIGUOUS though ordinary")
            missed = []
            for reader, read in READERS.items():
                for content in read(path):
                    if payload[:16] not in content:
                        continue
                    if is_guess(reader, choice):
                        figures["payloads found without a label"] += 1
                        continue
                    figures[f"{reader} payloads"] += 1
                    if same_lines(content) in exact:
                        figures[f"{reader} payloads found exactly"] += 1
                        continue
                    place = content.find(payload[:16])
                    whole = payload in content
                    near = any((payload if whole else payload[:16]) in each and (place > 0 or each.startswith(payload[:16])) for each in leaves)
                    if near:
                        figures[f"{reader} payloads found in other surroundings"] += 1
                    else:
                        missed.append(reader)
            if missed:
                failures += 1
                figures["missed but flagged"] += found["ambiguous"]
                if keep:
                    (keep / f"{path.name}").write_bytes(path.read_bytes())
                print(f"MISSED {path.name} by {' '.join(sorted(set(missed)))}: {what} ({'mark' if payload is MARK else 'program'})"
                      f"{' flagged' if found['ambiguous'] else ''}{'' if found['complete'] else ' incomplete'}")
    for name in sorted(figures):
        print(f"{name}: {figures[name]}")
    if failures:
        print(f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
