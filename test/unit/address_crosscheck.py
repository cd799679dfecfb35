#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares our address lists with Python's email package on generated values whose meaning is known by construction.

Usage: address_crosscheck.py ADDRESS-DUMP. Well-formed values must be read by us exactly as they were built, and by
email.headerregistry likewise (which shows that the generator knows the syntax). For damaged values the set of addresses that
both Python and we find in an undamaged neighbour must not be lost, and nothing may be invented from encoded words.
"""
import json
import random
import subprocess
import sys
from email import headerregistry, policy, utils

ATEXT = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-/=?^_`{|}~"


def atom(rng, low=1, high=8, letters=ATEXT):
    return "".join(rng.choice(letters) for _ in range(rng.randint(low, high)))


def comment(rng, depth=0):
    text = "".join(rng.choice(["a", "b c", ",", "<x@y>", ";", ":", '\\"', "\\(", "\\)", "@"]) for _ in range(rng.randint(0, 3)))
    if depth < 3 and rng.random() < 0.3:
        text += comment(rng, depth + 1)
    return "(" + text + ")"


def blank(rng, comments=True):
    """Optional folding white space and comments."""
    out = ""
    while rng.random() < 0.35:
        out += rng.choice([" ", "  ", "\t", "\n ", " \n\t"]) if not comments or rng.random() < 0.7 else comment(rng)
    return out


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def local_part(rng):
    """(as written, meaning)"""
    if rng.random() < 0.2:
        text = "".join(rng.choice(['a', 'B', '.', ',', '<', '>', '@', ' ', '"', '\\', '(', ';', ':', '[']) for _ in range(rng.randint(1, 8)))
        return quote(text), text
    words = [atom(rng) for _ in range(rng.randint(1, 3))]
    if words[0].startswith("=?"):  # allowed, but told as malformed: it looks like an encoded word
        words[0] = "x"
    return ".".join(words), ".".join(words)


def domain(rng):
    if rng.random() < 0.1:
        return "[192.0.2.%d]" % rng.randint(0, 255), None
    labels = [atom(rng, 1, 10, "abcdefghijklmnopqrstuvwxyz0123456789-") for _ in range(rng.randint(1, 4))]
    return ".".join(labels), None


def addr_spec(rng, spaced):
    local_written, local = local_part(rng)
    domain_written, _ = domain(rng)
    gap = (lambda: blank(rng)) if spaced else (lambda: "")
    return gap() + local_written + gap() + "@" + gap() + domain_written + gap(), local, domain_written


def phrase(rng):
    """(as written, meaning): quoted strings, atoms and encoded words."""
    kind = rng.random()
    if kind < 0.3:
        text = "".join(rng.choice(["Doe", ",", " ", "John", "<x@y>", '"', "\\", "(hi)", ";", ":", "@"]) for _ in range(rng.randint(1, 6))).strip()
        text = " ".join(text.split())
        return (quote(text), text) if text else ("X", "X")
    if kind < 0.5:
        text = rng.choice(["Jörg Müller", "boss@corp.example", "a, b", "<x@y>", "日本", "é"])
        return "=?utf-8?Q?" + "".join(c if c.isalnum() and c.isascii() else "_" if c == " " else "".join("=%02X" % b for b in c.encode()) for c in text) + "?=", text
    words = [atom(rng, 1, 6, "abcdefgXYZ0123456789'-") for _ in range(rng.randint(1, 4))]
    return " ".join(words), " ".join(words)


def mailbox(rng):
    """(as written, [display, local, domain])"""
    if rng.random() < 0.35:
        written, local, dom = addr_spec(rng, False)
        return blank(rng, False) + written + blank(rng, False), ["", local, dom]
    name_written, name = phrase(rng)
    written, local, dom = addr_spec(rng, True)
    route = "@%s,@%s:" % (domain(rng)[0], domain(rng)[0]) if rng.random() < 0.1 else ""
    return "%s%s <%s%s>%s" % (blank(rng, False), name_written, route, written, blank(rng, False)), [name, local, dom]


def address_list(rng):
    written, meaning = [], []
    for _ in range(rng.randint(1, 5)):
        if rng.random() < 0.15:
            name = " ".join(atom(rng, 1, 6, "abcdefgXYZ") for _ in range(rng.randint(1, 2)))
            members = [mailbox(rng) for _ in range(rng.randint(0, 3))]
            written.append(name + ":" + ",".join(m[0] for m in members) + ";")
            meaning += [m[1] + [name] for m in members]
        else:
            text, box = mailbox(rng)
            written.append(text)
            meaning.append(box + [""])
    return ",".join(written), meaning


def ours(dump, values):
    run = subprocess.run([dump], input="\0".join(values).encode(), stdout=subprocess.PIPE, check=True)
    lines = run.stdout.decode().split("\n")[:-1]
    assert len(lines) == len(values), (len(lines), len(values))
    return [json.loads(line) for line in lines]


def python_reads(value):
    """[display, local, domain, group] as email.headerregistry reads the value, or None where it gives up."""
    try:
        header = policy.default.header_factory("to", value.replace("\n", ""))
        boxes = []
        for group in header.groups:
            for address in group.addresses:
                boxes.append([address.display_name, address.username, address.domain, group.display_name or ""])
        return boxes, header.defects
    except Exception as error:  # the parser has faults of its own on rare input
        return None, [error]


def main():
    dump = sys.argv[1]
    rng = random.Random(20260102)
    faults = 0
    cases = [address_list(rng) for _ in range(4000)]
    results = ours(dump, [written for written, _ in cases])
    agreed = 0
    for (written, meaning), result in zip(cases, results):
        if result["malformed"] or result["mailboxes"] != meaning:
            faults += 1
            print("well-formed value misread: %r\n  want %r\n  got  %r" % (written, meaning, result))
        theirs, _ = python_reads(written)
        # Domain and local part are the point; names differ in how white space and comments are put together.
        if theirs is not None and [box[1:3] for box in theirs] == [box[1:3] for box in meaning]:
            agreed += 1
    print("%d of %d well-formed values: Python reads the same addresses" % (agreed, len(cases)))
    if agreed < len(cases) * 0.99:
        faults += 1
        print("too few: the generator or Python is not what this test takes it for")

    # Plain lists as nearly all mail has them: utils.getaddresses must agree on every one.
    plain = []
    for _ in range(2000):
        boxes = []
        for _ in range(rng.randint(1, 6)):
            name = " ".join(atom(rng, 1, 8, "abcdefgh") for _ in range(rng.randint(0, 3)))
            boxes.append((name, atom(rng, 1, 8, "abcxyz.").strip(".").replace("..", ".") or "x", atom(rng, 3, 8, "abcxyz") + ".example"))
        plain.append(", ".join(utils.formataddr((n, l + "@" + d)) for n, l, d in boxes))
    for value, result in zip(plain, ours(dump, plain)):
        theirs = utils.getaddresses([value])
        mine = [(box[0], box[1] + "@" + box[2]) for box in result["mailboxes"]]
        if result["malformed"] is not (".." in value) or mine != theirs:
            if ".." in value and [m[1] for m in mine] == [t[1] for t in theirs]:
                continue
            faults += 1
            print("getaddresses differs on %r\n  theirs %r\n  ours   %r" % (value, theirs, mine))

    # One byte of damage: never an address whose local part or domain was only inside an encoded word or a quoted name.
    hidden = "=?utf-8?Q?boss=40corp.example?="
    damaged = []
    for _ in range(4000):
        text, _ = address_list(rng)
        value = "%s <safe@x.example>, %s" % (hidden, text)
        at = rng.randrange(len(hidden), len(value))
        damaged.append(value[:at] + rng.choice('",;:<>@()[]\\. ') + value[at + rng.randint(0, 1):])
    for value, result in zip(damaged, ours(dump, damaged)):
        if any(box[2].lower() == "corp.example" for box in result["mailboxes"]):
            faults += 1
            print("an encoded word became an address: %r\n  %r" % (value, result))
    print("%d well-formed, %d plain, %d damaged values compared, %d faults" % (len(cases), len(plain), len(damaged), faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
