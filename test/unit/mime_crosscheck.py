#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the MIME code with Python's email package, which was written by other people from the same RFCs.

usage: mime_crosscheck.py MIME-DUMP [CORPUS]

Without CORPUS: messages made by Python's own generator must be read as they were meant (tree, names, decoded content,
header fields), hand-written odd ones as Python reads them, and what our encoders write must be read back by Python.
With CORPUS: every mail of the manifest whose structure its source and Python agree on must give that tree; for all mails
the share of equal trees is printed, and files that neither side finds fault with must be equal.
"""
import email
import email.header
import email.message
import email.policy
import email.utils
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import zlib
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

failures = 0


def fail(what, expected, got):
    global failures
    failures += 1
    if failures <= 20:
        print(f"DIFFERENT {what}\n  python {expected!r}\n  ours   {got!r}")


def dump(tool, files):
    out = []
    for i in range(0, len(files), 200):
        run = subprocess.run([tool, *files[i:i + 200]], stdout=subprocess.PIPE, check=True)
        out += [json.loads(line) for line in run.stdout.splitlines()]
    return out


# Types whose content Python parses further and we hand out whole, and the other way round.
def is_container(part):
    return part.get_content_type() in ("message/rfc822", "message/global", "message/news")


def python_tree(part):
    kind = part.get_content_type()
    if part.is_multipart() and (part.get_content_maintype() == "multipart" or is_container(part)):
        children = [python_tree(child) for child in part.get_payload()]
        return f"{kind}[{','.join(children)}]" if children else kind
    return kind


def python_leaves(part):
    if part.is_multipart() and (part.get_content_maintype() == "multipart" or is_container(part)):
        for child in part.get_payload():
            yield from python_leaves(child)
    else:
        yield part


def has_defects(part):
    return any(each.defects for each in part.walk())


def without_names(tree):
    return re.sub(r'\("(?:.|\n)*?"\)(?=[,\]\[]|$)', "", tree)


def words(text):
    return " ".join(text.split())


def check_generated(tool, folder):
    rng = random.Random(20)
    charsets = ["utf-8", "iso-8859-1", "koi8-r", "iso-2022-jp", "gb18030", "big5", "euc-kr", "windows-1251", "utf-16le"]
    samples = {"koi8-r": "Привет, мир", "iso-2022-jp": "日本語のテスト", "gb18030": "你好，世界", "big5": "你好世界",
               "euc-kr": "안녕하세요", "windows-1251": "Добрый день"}
    names = ["a.txt", "with blank.pdf", "quote\"d.doc", "grüße.odt", "日本語.xls", "long " * 30 + ".zip", "a;b=c.exe", "100%.png"]

    def leaf():
        if rng.random() < 0.6:
            charset = rng.choice(charsets)
            text = samples.get(charset, "Grüße aus Köln") + "\n" + "".join(
                rng.choice(["line\n", "=20 \n", "From me\n", ".\n", "x" * 200 + "\n", "-- \n"]) for _ in range(rng.randrange(6)))
            part = MIMEText(text, rng.choice(["plain", "html"]), charset)
            part.expected = text.encode(charset)
        else:
            data = rng.randbytes(rng.randrange(5000))
            part = MIMEApplication(data)
            part.expected = data
        if rng.random() < 0.5:
            name = rng.choice(names)
            part.add_header("Content-Disposition", "attachment",
                            filename=name if name.isascii() else ("utf-8", "", name))
            part.expected_name = name
        return part

    def tree(depth):
        if depth == 0 or rng.random() < 0.3:
            return leaf()
        if rng.random() < 0.2:
            inner = tree(depth - 1)
            inner["Subject"] = "inner"
            return MIMEMessage(inner)
        part = MIMEMultipart(rng.choice(["mixed", "alternative", "related"]))
        for _ in range(rng.randrange(1, 5)):
            part.attach(tree(depth - 1))
        if rng.random() < 0.3:
            part.preamble = "This is a message in MIME format.\n"
        return part

    files, messages = [], []
    for i in range(300):
        message = tree(rng.randrange(4))
        if message["Subject"] is None:
            message["Subject"] = email.header.Header(rng.choice(names) * rng.randrange(1, 4), "utf-8").encode()
        raw = message.as_bytes(policy=email.policy.compat32.clone(linesep=rng.choice(["\n", "\r\n"])))
        path = os.path.join(folder, f"{i}.eml")
        with open(path, "wb") as out:
            out.write(raw)
        files.append(path)
        messages.append(message)
    for path, message, ours in zip(files, messages, dump(tool, files)):
        if without_names(ours["tree"]) != python_tree(message):
            fail(path, python_tree(message), ours["tree"])
            continue
        bad = set(ours["defects"]) - {"bare-lf", "eight-bit-header", "line-too-long", "nul-byte", "bare-cr"}
        if bad:
            fail(path + " defects", [], sorted(bad))
        for part, leaf_ours in zip(python_leaves(message), ours["leaves"]):
            content = part.expected
            ours_content = (leaf_ours["size"], leaf_ours["crc32"])
            # A text part that the generator wrote as 7bit got the line ends of the file.
            accepted = [content, content.replace(b"\n", b"\r\n")]
            if ours_content not in [(len(c), zlib.crc32(c)) for c in accepted]:
                fail(path + " " + leaf_ours["path"], (len(content), zlib.crc32(content)), ours_content)
            name = getattr(part, "expected_name", None)
            shown = leaf_ours["names"][0] if leaf_ours["names"] else None
            if name != shown:
                fail(path + " name", name, shown)
        subject = [value for name, value in ours["header"] if name == "Subject"][0]
        expected = str(email.header.make_header(email.header.decode_header(message["Subject"])))
        if words(subject) != words(expected):
            fail(path + " subject", expected, subject)
    print(f"{len(files)} generated messages compared")


HAND_WRITTEN = [
    b"Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\n1\n--b  \nContent-Type: text/html\n\n2\n--b--\nepilogue",
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\n1\n--bb--\n--b\n\n2\n--b--",
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--b\n\n2\n--b--",
    b"Content-Type: multipart/mixed; boundary=\"a b\"\n\n--a b\n\n1\n--a b--\n",
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--bx\n2\n--b-\n3\n",
    b"Content-Type: multipart/mixed; boundary=b\n\nno delimiter\n",
    b"Content-Type: multipart/mixed\n\n--b\n\n1\n--b--\n",
    b"Content-Type: text\n\nx",
    b"Content-Type: text/plain/x\n\nx",
    b"Content-Type: message/rfc822\n\nContent-Type: text/html\n\nx",
    b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: a\n\n1\n--b\nContent-Type: text/plain\n\n2\n--b--\n",
    b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVs\nbG8=\n",
    b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVsbG8\n",
    b"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\na=3Db=\nc=20\nd\n",
    b"Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n#0V%T\n`\nend\n",
    b"Content-Type: multipart/mixed; boundary*0=\"ab\"; boundary*1=c\n\n--abc\n\n1\n--abc--\n",
    b"Content-Type: multipart/mixed; boundary*=us-ascii''%62\n\n--b\n\n1\n--b--\n",
    b"Content-Type: application/x; name*0*=utf-8''%C3; name*1*=%A9\n\nx",
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\nno field\n\n1\n--b--\n",
]


def check_hand_written(tool, folder):
    files = []
    for i, lf in enumerate(HAND_WRITTEN):
        for kind, raw in (("lf", lf), ("crlf", lf.replace(b"\n", b"\r\n"))):
            path = os.path.join(folder, f"hand-{i}-{kind}.eml")
            with open(path, "wb") as out:
                out.write(raw)
            files.append(path)
    for path, ours in zip(files, dump(tool, files)):
        with open(path, "rb") as mail:
            raw = mail.read()
        message = email.message_from_bytes(raw)
        if without_names(ours["tree"]) != python_tree(message):
            fail(f"{path} {raw!r}", python_tree(message), ours["tree"])
            continue
        for part, leaf in zip(python_leaves(message), ours["leaves"]):
            if part.is_multipart():
                continue
            content = part.get_payload(decode=True)
            # At the end of a file without a closing delimiter Python takes the last line end off, which no delimiter owns.
            if "missing-final-boundary" in ours["defects"] and raw.endswith(b"\n"):
                content += b"\r\n" if b"\r\n" in raw else b"\n"
            if (leaf["size"], leaf["crc32"]) != (len(content), zlib.crc32(content)):
                fail(f"{path} {raw!r} content", content, leaf)
    print(f"{len(files)} hand-written messages compared")


def check_encoders(tool):
    rng = random.Random(21)
    alphabet = list("abcXYZ019 .,;:\"\\'()<>@[]?=_%*&/") + ["é", "ß", "日", "本", "😀", "=?", "?=", "Grüße", "word "]
    texts = ["", "plain", "Grüße an alle", "日本語" * 40, "a, b", "x" * 300, "=?utf-8?q?x?="]
    texts += ["".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 60))) for _ in range(1500)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    run = subprocess.run([tool, "--encode"], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    for text, line in zip(texts, run.stdout.splitlines()):
        ours = json.loads(line)
        message = email.message_from_bytes(b"Subject: " + ours["words"].encode() + b"\n\n", policy=email.policy.default)
        if ours["words"] != text and message["Subject"].rstrip() != text.rstrip():
            fail("words " + ours["words"], text, message["Subject"])
        if text.strip():
            raw = b"From: " + ours["phrase"].encode() + b" <a@example.com>\n\n"
            message = email.message_from_bytes(raw, policy=email.policy.default)
            got = message["From"].addresses[0].display_name if message["From"].addresses else None
            if got is None or words(got) != words(text) or message["From"].addresses[0].addr_spec != "a@example.com":
                # Python 3.11 leaves blanks between adjacent words of a phrase; the older decoder does not.
                plain = email.message_from_bytes(raw)["From"]
                name = str(email.header.make_header(email.header.decode_header(email.utils.parseaddr(plain)[0])))
                if words(name) != words(text):
                    fail("phrase " + ours["phrase"], text, got)
        disposition = b"Content-Disposition: attachment; " + ours["parameter"].encode() + b"\n\n"
        got = email.message_from_bytes(disposition).get_filename("")
        if got.strip() != text.strip():  # Python trims names
            fail("parameter " + ours["parameter"], text, got)
        for encoding in ("base64", "quoted-printable"):
            message = email.message_from_bytes(
                b"Content-Transfer-Encoding: " + encoding.encode() + b"\n\n" + ours[encoding].encode())
            if message.get_payload(decode=True) != text.encode():
                fail(encoding + " " + ours[encoding], text, message.get_payload(decode=True))
    print(f"{len(texts)} encoded texts read back")


# Trees that differ from the manifest for a reason.
EXPECTED_DIFFERENCES = {
    # Parts of nothing at all, two delimiters in a row, which Python leaves out.
    "mime/msg_37.txt",

    # The embedded message is base64; it is handed out as one leaf with a defect and decoded by who wants to look inside.
    "mime/base64encoded-rfc822message.msg",
}


def check_corpus(tool, corpus):
    rows = []
    with open(os.path.join(corpus, "manifest.tsv"), encoding="utf-8") as manifest:
        next(manifest)
        for line in manifest:
            fields = line.rstrip("\n").split("\t")
            structure = re.search(r"structure=([^;]*)", fields[5])
            confidence = re.search(r"confidence=([a-z-]*)", fields[5])
            path = os.path.join(corpus, fields[0])
            if structure and confidence and os.path.exists(path):
                rows.append((fields[0], path, structure[1], confidence[1]))
    counts = {}
    for (name, path, structure, confidence), ours in zip(rows, dump(tool, [row[1] for row in rows])):
        equal = without_names(ours["tree"]) == structure
        count = counts.setdefault(confidence, [0, 0])
        count[0 if equal else 1] += 1
        if confidence == "agreed" and not equal and name not in EXPECTED_DIFFERENCES:
            fail(name, structure, ours["tree"])
    for confidence, (equal, different) in sorted(counts.items()):
        print(f"manifest, {confidence}: {equal} equal, {different} different")
    if not counts.get("agreed"):
        fail("manifest", "agreed structures", "none")

    files = []
    for folder, _, names in os.walk(corpus):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith((".eml", ".msg", ".mbox")) or os.path.basename(folder) == "mime":
                files.append(path)
    equal = judged = contents = 0
    quiet = {"bare-lf", "eight-bit-header", "line-too-long"}
    for path, ours in zip(sorted(files), dump(tool, sorted(files))):
        with open(path, "rb") as mail:
            try:
                message = email.message_from_bytes(mail.read())
            except (ValueError, LookupError, IndexError, AttributeError):
                continue
        same = without_names(ours["tree"]) == python_tree(message)
        equal += same
        if has_defects(message) or set(ours["defects"]) - quiet:
            continue
        judged += 1
        if os.path.relpath(path, corpus) in EXPECTED_DIFFERENCES:
            continue
        if not same:
            fail(path, python_tree(message), ours["tree"])
            continue
        for part, leaf in zip(python_leaves(message), ours["leaves"]):
            encoding = part.get("Content-Transfer-Encoding", "7bit")
            if part.is_multipart() or encoding.lower() not in ("7bit", "8bit", "binary", "base64"):
                continue  # Python does not decode folded names and keeps blanks at line ends of quoted-printable
            try:
                content = part.get_payload(decode=True)
            except (ValueError, LookupError):
                continue
            contents += 1
            if (leaf["size"], leaf["crc32"]) != (len(content), zlib.crc32(content)):
                fail(path + " " + leaf["path"], (len(content), zlib.crc32(content)), (leaf["size"], leaf["crc32"]))
    print(f"corpus: {equal} of {len(files)} trees as Python's; {judged} files faultless on both sides, {contents} contents compared")


def main():
    tool = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 2:
            check_corpus(tool, sys.argv[2])
        else:
            check_generated(tool, folder)
            check_hand_written(tool, folder)
            check_encoders(tool)
    if failures:
        print(f"{failures} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
