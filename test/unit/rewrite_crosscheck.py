#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""rewrite_crosscheck.py REWRITE-DUMP [COUNT [SEED]]: generated From/To/Cc/Reply-To values are masqueraded, and what comes out is read by
Python's email (its structured parser and its old one), GMime and Perl's Email::Address::XS. All must find exactly the mailboxes wanted.

A value that departs from the syntax in a way that readers take differently must be left alone, and one that does not must not be."""
import base64
import email.header
import email.headerregistry
import email.policy
import email.utils
import functools
import inspect
import json
import random
import subprocess
import sys

COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 20261126

ATOMS = ["anna", "bob.smith", "x", "info+tag", "o'neil", "a_b-c", "named", "named.two", "1234", "q=x"]
QUOTED = ["john doe", "a,b", "semi;colon", "at\\@x".replace("\\", ""), "dots..two", "(paren)"]
DOMAINS = ["old.example", "old.example", "keep.example", "sub.old.example", "[192.0.2.1]"]
NAMES = ["", "", "Anna", "Anna Maria", "Doe, John", "J. R. Smith", "Müller", "Åsa Öberg", "山田 太郎", "O\"Neil \"Q\"", "a@b c", "Иван", "x" * 50,
         "Ünï cödé with a rather long name that has to be folded somewhere", "colon: semi;", "<angle>", "back\\slash", "trailing dot."]

# Versions that have a strict mode lose domain literals in it.
getaddresses = functools.partial(email.utils.getaddresses, **({"strict": False} if "strict" in inspect.signature(email.utils.getaddresses).parameters else {}))


def encoded(text, rng, charset="utf-8"):
    """One or more encoded words of `text`, each holding whole characters."""
    words, rest = [], text
    while rest:
        piece, rest = rest[:8], rest[8:]
        raw = piece.encode(charset)
        if rng.random() < 0.5:
            words.append(f"=?{charset}?B?{base64.b64encode(raw).decode()}?=")
        else:
            coded = "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else "_" if byte == 32 else f"={byte:02X}" for byte in raw)
            words.append(f"=?{charset}?{rng.choice('qQ')}?{coded}?=")
    return rng.choice([" ", "\n ", "\n\t"]).join(words)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def phrase(name, rng):
    """`name` as RFC 5322 and 2047 write it, one way or another."""
    if not name.isascii():
        charset = "utf-8"
        if rng.random() < 0.3:
            try:
                name.encode("iso-8859-1")
                charset = "iso-8859-1"
            except UnicodeEncodeError:
                pass
        return encoded(name, rng, charset)
    if all(c.isalnum() or c == " " for c in name) and rng.random() < 0.6:
        return name
    return quoted(name) if rng.random() < 0.8 else encoded(name, rng)


def blank(rng):
    return rng.choice(["", "", "", " ", "\n ", "\t"])


class Generator:
    def __init__(self, rng):
        self.rng = rng

    def spec(self):
        rng = self.rng
        local = rng.choice(QUOTED) if rng.random() < 0.12 else rng.choice(ATOMS)
        return local, rng.choice(DOMAINS)

    def mailbox(self):
        """Returns (text, local, domain, name or None where readers differ about it)."""
        rng = self.rng
        local, domain = self.spec()
        spec = (local if local in ATOMS else quoted(local)) + "@" + domain
        name = rng.choice(NAMES)
        shape = rng.random()
        if not name and shape < 0.6:
            return spec, local, domain, ""
        if shape < 0.08:
            # A comment for a name, as thirty years ago.
            return f"{spec} (old style)", local, domain, None
        if shape < 0.14:
            return f"{phrase(name or 'Anna', rng)} <{spec}> (comment)", local, domain, None
        return f"{phrase(name, rng) if name else ''}{' ' if name else ''}<{spec}>", local, domain, name

    def wholly_encoded(self):
        local, domain = self.rng.choice(ATOMS), self.rng.choice(["old.example", "keep.example"])
        name = self.rng.choice(["", "Anna", "Müller", "山田"])
        text = f"{name} <{local}@{domain}>" if name else f"{local}@{domain}"
        return encoded(text, self.rng), local, domain, name

    def field(self):
        """Returns (raw value, mailboxes, group names are left to the parsers)."""
        rng = self.rng
        count = 200 if rng.random() < 0.005 else rng.choice([1, 1, 1, 2, 3, 5])
        out, wanted, at = [], [], 0
        broken = rng.random() < 0.12
        while at < count:
            if not broken and rng.random() < 0.08:
                members = [self.mailbox() for _ in range(rng.choice([0, 1, 2, 3]))]
                out.append(f"{rng.choice(['Team', 'undisclosed-recipients', quoted('The, Team')])}:{blank(rng)}" +
                           ", ".join(member[0] for member in members) + ";")
                wanted += members
                at += max(1, len(members))
                continue
            one = self.wholly_encoded() if broken and rng.random() < 0.6 else self.mailbox()
            out.append(one[0])
            wanted.append(one)
            at += 1
        separator = ["," + rng.choice([" ", "\n ", "\n\t", ""]) for _ in out]
        text = "".join(part + (mark if i + 1 < len(out) else "") for i, (part, mark) in enumerate(zip(out, separator)))
        return rng.choice([" ", " ", "\n "]) + text, wanted


AMBIGUOUS = [" a@old.example b@old.example", " Anna, Inc. <a@old.example>", " <a@old.example", " a@old.example@keep.example", " root",
             ' "open <a@old.example>', " =?utf-8?Q?a=40old.example=2C_b=40old.example?=", " =?utf-8?Q?a=40old.example=0ABcc:_x=40y.z?=",
             " Anna <a@old.example> tail", " =?no-such-charset?Q?=E4=40old.example?=", " x <y <a@old.example>>", " =?utf-8?B?YUBvbGQ?=",
             " Anna <=?utf-8?Q?a=40old.example?=>", " a@old.example;", " =?utf-8?Q?a?=@old.example"]

PERL = r"""
use strict; use warnings; use JSON::PP; use Email::Address::XS qw(parse_email_groups);
my $json = JSON::PP->new->ascii->allow_nonref;
while (my $line = <STDIN>) {
  my $value = $json->decode($line);
  my @found;
  my @groups = parse_email_groups($value);
  while (@groups) {
    my ($name, $list) = splice @groups, 0, 2;
    push @found, map { [$_->phrase // '', $_->address // ''] } @$list;
  }
  print $json->encode(\@found), "\n";
}
"""


def unquoted(spec):
    local, _, domain = spec.rpartition("@")
    if local.startswith('"') and local.endswith('"') and len(local) > 1:
        local = local[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return local + "@" + domain


def by_perl(values):
    done = subprocess.run(["perl", "-e", PERL], input="".join(json.dumps(value) + "\n" for value in values), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def decoded(name):
    return str(email.header.make_header(email.header.decode_header(name)))


def readings(value, gmime, perl):
    """What each reader makes of `value`: lists of (name, address)."""
    header = email.policy.default.header_factory("To", value.replace("\n", ""))
    return {
        "Python's email": [(address.display_name, unquoted(address.addr_spec)) for address in header.addresses],
        "Python's getaddresses": [(decoded(name), unquoted(spec)) for name, spec in getaddresses([value.replace("\n", "")]) if spec],
        "GMime": [(name, unquoted(spec)) for name, spec in gmime],
        "Email::Address::XS": [(decoded(name), unquoted(spec)) for name, spec in perl],
    }


def main():
    rng = random.Random(SEED)
    generator = Generator(rng)
    rows = [generator.field() for _ in range(COUNT)]
    values = [raw for raw, _ in rows] + AMBIGUOUS
    done = subprocess.run([sys.argv[1]], input="".join(json.dumps(value) + "\n" for value in values), capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(values), (len(results), len(values))
    perls = by_perl([result["value"] or "" for result in results])
    perls_before = by_perl([result.get("before") or "" for result in results])
    faults = []
    for raw, result in zip(AMBIGUOUS, results[COUNT:]):
        if not result["doubt"]:
            faults.append(("not left alone", raw, result))
    names_compared = names_differ = 0
    for (raw, wanted), result, perl, perl_before in zip(rows, results, perls, perls_before):
        if result["doubt"] or result["value"] is None:
            faults.append(("left alone", raw, result))
            continue
        specs, names, written = [], [], []
        for text, local, domain, name in wanted:
            specs.append(local + "@" + ("new.example" if domain == "old.example" else domain))
            renamed = domain == "old.example" and local.startswith("named")
            names.append("Zoë, Q." if renamed else name)
            # A name that we wrote must be read as meant; one that we did not touch, as the reader read it before.
            written.append(renamed or (text.startswith("=?") and "@" not in text))
        value = result["value"]
        before = readings(result["before"], result["gmime_before"], perl_before)
        for reader, found in readings(value, result["gmime"], perl).items():
            if [spec for _, spec in found] != specs:
                faults.append((reader, raw, value, found, specs))
                continue
            for (seen, _), (was, _), name, ours in zip(found, before[reader], names, written):
                if name is None or reader == "Python's getaddresses":
                    continue
                names_compared += 1
                if " ".join(seen.split()) == " ".join(name.split()):
                    continue
                names_differ += 1
                if ours or seen != was:
                    faults.append((reader + ": name", raw, value, seen, was, name))
    for fault in faults[:12]:
        print(*[repr(part) for part in fault], sep="\n    ")
    print(f"{COUNT} fields, {sum(len(wanted) for _, wanted in rows)} mailboxes, {names_compared} names compared, "
          f"{names_differ} misread as before, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
