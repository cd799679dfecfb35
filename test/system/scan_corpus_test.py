#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What content scanning finds in a folder of sample files, against what their manifest says is there.

    scan_corpus_test.py SCAN_FILE CORPUS [CAPABILITY…]

With POSTERN_CORPUS_STEP only the first of so many files is looked at. A capability is a folder of the corpus. Each key of a file's
expectation that `CHECKS` knows is judged by a function that gets the file's scan (Scan) and the key's value, and returns what is wrong or
None; a key that is not there is not judged. KNOWN lists, by capability and key, what is not met and why: how many files of a class, never
their names.
"""
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile

MARK_ACTIVE = 1 << 4
MARK_INCONSISTENT = 1 << 6


class Scan:
    """The scan of one file: its leaves (leaf 0 is the file), what the manifest says of it, and what the scan cost."""

    def __init__(self, path, expected, leaves, seconds, megabytes, status):
        self.path = path
        self.name = os.path.relpath(path)
        self.expected = expected
        self.leaves = leaves
        self.seconds = seconds
        self.megabytes = megabytes
        self.status = status

    @property
    def top(self):
        return self.leaves[0]

    def complete(self):
        return all(leaf["reason"] in ("", "none") for leaf in self.leaves)

    def reasons(self):
        return sorted({leaf["reason"] for leaf in self.leaves} - {"", "none"})

    def has_type(self, *types):
        return any(set(types) & set(leaf["types"]) for leaf in self.leaves)

    def text(self):
        return " ".join(" ".join(leaf.get("text", "") for leaf in self.leaves).split())


def type_mimes(scan_file):
    out = subprocess.run([scan_file, "--types"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("\t")[:2] for line in out.splitlines())


def check_filetype(scan, value):
    if value in ("contested", "see libmagic_description"):
        return None
    accepted = value.split(" or ")
    if scan.top["mime"] in accepted:
        return None
    return f"type is {scan.top['mime']} {scan.top['types']}, not {value}"


def check_also(scan, value):
    mimes = {MIMES[name] for name in scan.top["types"]}
    return None if value in mimes else f"{value} is not among {scan.top['types']}"


def check_contains_exe(scan, value):
    """Found, or the file is not called clean."""
    if value != "yes" or scan.has_type("exe", "dll", "elf") or not scan.complete():
        return None
    return "the program in it was not found and the file is complete"


def check_first_members(scan, value):
    """Every member that another program lists first is there, or the file is not called clean."""
    if not value or "list_7z_rc" not in scan.expected or scan.expected["list_7z_rc"] != "0":
        return None
    # What makes up a document is its text, not its members.
    if {"docx", "xlsx", "pptx", "ooxml", "odt", "ods", "odp", "xps"} & set(scan.top["types"]):
        return None
    names = [leaf["path"].partition("!")[2] for leaf in scan.leaves[1:]]
    lacking = []
    for name in value.split("|"):
        plain = name.strip("/").removeprefix("./").lstrip("/")
        ascii_only = plain.isascii() and plain.isprintable() and "\\" not in plain
        if not ascii_only or plain in ("", ".", "x", "[TOC].xml"):
            continue
        # A folder shows in the names of what is in it; packed streams have one member, of no name of their own.
        if not any(plain in found for found in names):
            lacking.append(name)
    if not lacking or not scan.complete() or all_of_bsdtar(scan, names):
        return None
    return f"members {lacking} were not found in {names[:8]}"


def all_of_bsdtar(scan, names):
    """Whether every file that a second program lists is there: the first lists folders, and names some things its own way."""
    try:
        out = subprocess.run(["bsdtar", "-tvf", scan.path], capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    lines = [line.split(None, 8) for line in out.stdout.decode(errors="replace").splitlines()]
    files = [line[8].partition(" link to ")[0].removeprefix("./").lstrip("/") for line in lines if len(line) == 9 and line[0].startswith("-")]
    return out.returncode == 0 and all(any(name in found for found in names) for name in files if name.isascii())


def check_inconsistent(scan, value):
    if value != "yes" or any(leaf["marks"] & MARK_INCONSISTENT for leaf in scan.leaves) or not scan.complete():
        return None
    return "not marked inconsistent"


def check_overlap(scan, value):
    return None if value != "yes" or "overlap" in scan.reasons() else f"no overlap: {scan.reasons()}"


def check_text(scan, value):
    """Each text is there; the words of a protected document, which its manifest lists without those between them."""
    text = scan.text()
    parts = [" ".join(part.split()) for part in value.split(" | ")]
    if "protected" in scan.expected:
        parts = " ".join(parts).split()
    lacking = [part for part in parts if part not in text]
    return f"text {lacking} is not in {text[:80]!r}" if lacking else None


def check_result(scan, value):
    if value == "text" and not scan.text():
        return "no text"
    if value in ("text-or-corrupt-error", "corrupt-error-or-text") and scan.complete() and not scan.text():
        return "neither text nor a reason"
    if value == "corrupt-error" and "corrupt" not in scan.reasons():
        return f"not corrupt: {scan.reasons()}"
    # A file that is no PDF at all is the text that it is.
    if value == "corrupt-error-or-empty" and scan.complete() and scan.text() and scan.has_type("pdf"):
        return f"text of a file that no reader opens: {scan.text()[:60]!r}"
    if value == "limit-hit-or-empty" and scan.complete() and scan.text():
        return "no limit was hit"
    limits = {"ratio", "size", "depth", "members", "overlap", "time", "memory"}
    if value in ("limit-hit", "depth-limit-hit") and not limits & set(scan.reasons()):
        return f"no limit was hit: {scan.reasons()}"
    if value == "unsupported-method" and "unsupported" not in scan.reasons():
        return f"not unsupported: {scan.reasons()}"
    return None


def check_no_text(scan, value):
    return f"{value!r} is in the text" if value in scan.text() else None


def check_protected(scan, value):
    states = [leaf["protected"] for leaf in scan.leaves]
    if value == "yes":
        if not {"yes", "partly"} & set(states):
            return f"not protected: {states[:5]}"
        if "password" not in scan.reasons():
            return f"protected, but not unscannable by password: {scan.reasons()}"
    if value == "no" and set(states) != {"no"}:
        return f"protected: {states[:5]}"
    return None


def check_embedded_exe(scan, value):
    programs = {"exe", "dll", "scr", "elf", "macho"}
    if value == "yes" and not scan.has_type(*programs):
        return f"no program among {[leaf['types'] for leaf in scan.leaves][:6]}"
    if value == "lnk" and not scan.has_type("lnk"):
        return f"no link among {[leaf['types'] for leaf in scan.leaves][:6]}"
    if value == "no" and scan.has_type(*programs):
        return "a program where there is none"
    return None


def check_attachment_filetype(scan, value):
    return None if any(MIMES[name] == value for leaf in scan.leaves for name in leaf["types"]) else f"no {value}"


def check_ambiguous(scan, value):
    """A hidden program is found, or the message is marked."""
    marks = MARK_ACTIVE if "active content" in value else MARK_INCONSISTENT
    if not value.startswith("detect") or scan.has_type("exe", "dll", "elf") or any(leaf["marks"] & marks for leaf in scan.leaves):
        return None
    return None if not scan.complete() else "a program that some reader finds was neither found nor is the message marked"


def check_encrypted_part(scan, value):
    wanted = {"all-members": ["yes"], "headers": ["yes"], "some-members": ["partly", "yes"]}[value]
    state = scan.top["protected"]
    return None if state in wanted else f"{state} where {value} are encrypted"


def check_seconds(scan, value):
    # A guard against what never ends, not a measurement: the machine may be busy.
    return None if scan.seconds <= max(10, float(value)) else f"took {scan.seconds:.1f} s of CPU"


def check_memory(scan, value):
    return None if scan.megabytes <= float(value) else f"took {scan.megabytes} MB"


CHECKS = {
    "filetype": check_filetype,
    "also": check_also,
    "contains_exe": check_contains_exe,
    "first_members": check_first_members,
    "inconsistent": check_inconsistent,
    "overlap": check_overlap,
    "result": check_result,
    "text_contains": check_text,
    "text_not_contains": check_no_text,
    "embedded_exe": check_embedded_exe,
    "attachment_filetype": check_attachment_filetype,
    "expect": check_ambiguous,
    "protected": check_protected,
    "encrypted_part": check_encrypted_part,
    "max_seconds": check_seconds,
    "max_memory_mb": check_memory,
}
# Which capabilities are judged, by which keys (none: all).
CAPABILITIES = dict.fromkeys(("filetype", "archives", "protected", "vcard", "corrupt", "text-extract", "embedded-exe", "ambiguity"))
# (capability, key): how many files at most do not meet that expectation, and why.
#   archives/inconsistent: a comment or an extra field that only one table has; nothing that comes out depends on it, and ordinary
#   archives differ so.
#   corrupt/result: documents without any text that were read to their end, and sound of which no text is read.
#   embedded-exe/embedded_exe: an installation file of Symbian, which is not read.
#   text-extract/text_contains: the expected text ends in a NUL byte.
KNOWN = {
    ("archives", "inconsistent"): 2,
    ("corrupt", "result"): 5,
    ("text-extract", "text_contains"): 1,
}
MIMES = {}


def scan(scan_file, path, expected):
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))  # noqa: E731
    with tempfile.TemporaryFile() as out:
        message = ["--message"] if path.endswith(".eml") else []
        process = subprocess.Popen([scan_file, "--text", *message, path], stdout=out, preexec_fn=limit)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        leaves = [json.loads(line) for line in out.read().decode(errors="replace").split("\n") if line]
    return Scan(path, expected, leaves, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, process.returncode)


def main():
    scan_file, corpus = sys.argv[1:3]
    wanted = sys.argv[3:] or list(CAPABILITIES)
    step = int(os.environ.get("POSTERN_CORPUS_STEP", "1"))
    MIMES.update(type_mimes(scan_file))
    failed = 0
    with open(os.path.join(corpus, "manifest.tsv"), encoding="utf-8", newline="") as manifest:
        rows = [row for row in csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE)]
    for capability in wanted:
        keys = CAPABILITIES[capability]
        files = expectations = unmet = 0
        known = {key: count for (where, key), count in KNOWN.items() if where == capability}
        for row in [row for row in rows if row["path"].split("/")[0] == capability][::step]:
            expected = {key.strip(): value.strip() for key, _, value in (part.partition("=") for part in row["expected"].split(";"))}
            result = scan(scan_file, os.path.join(corpus, row["path"]), expected)
            files += 1
            problems = []
            if result.status != 0 or not result.leaves:
                problems.append(f"the scan ended with status {result.status}")
            else:
                for key, value in expected.items():
                    if key not in CHECKS or (keys is not None and key not in keys):
                        continue
                    expectations += 1
                    problem = CHECKS[key](result, value)
                    if problem and known.get(key, 0) > 0:
                        known[key] -= 1
                        print(f"{row['path']}: {problem} (known)")
                    elif problem:
                        problems.append(problem)
            unmet += len(problems)
            for problem in problems:
                print(f"{row['path']}: {problem}")
        print(f"{capability}: {files} files, {expectations} expectations judged, {unmet} not met")
        failed += unmet
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
