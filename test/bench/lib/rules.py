# SPDX-License-Identifier: Apache-2.0
"""The filter sets of the benchmark. Every header test names a field that every generated mail has, with a pattern that does
not match, so nothing is saved by a field that is not there; PROBES make the last filter of a set fire once before anything is
measured, as proof that the filters run."""
import json

# (field, pattern) on header fields, as PCRE; a field of None is the envelope or the connection.
HEADER_RULES = [
    ("Subject", r"(?i)\b(replica watches|lottery winner|casino)\b"),
    ("Subject", r"(?i)\b(?:re|fwd?): .{80,}"),
    ("From", r"(?i)@(mailer|bulk|promo)[0-9]*\."),
    ("X-Mailer", r"(MassMailer|PHPMailer 4|SendBlaster)"),
    ("Message-ID", r"(?i)<[0-9a-f]{8}\$[0-9a-f]{8}\$"),
    ("Reply-To", r"(?i)@freemail[0-9]+\.example$"),
    ("Received", r"\[10\.66\.\d+\.\d+\]"),
    ("To", r"(?i)undisclosed[- ]recipients"),
    ("Cc", r"(?i)all-?staff@"),
    ("List-Id", r"(?i)<(offers|deals)\."),
    ("Organization", r"(?i)\b(holdings|ventures) ltd\b"),
    ("X-Originating-IP", r"\[203\.0\.113\.\d+\]"),
    ("User-Agent", r"(?i)\bOutlook Express\b"),
    ("Content-Type", r"(?i)charset=.?(koi8-r|big5)"),
    ("References", r"(?i)@tracker\.example"),
    ("Date", r"\b(19\d\d|20[01]\d)\b"),
]
ENVELOPE_RULES = [r'mail-from == "(?i)^bounce-[^@]+@lists?\."', r'rcpt-to == "(?i)^(postmaster|abuse)@"',
                  'rcpt-count > 50', 'remote-ip == "203.0.113.0/24"']

# Patterns on decoded text.
TEXT_RULES = [
    r"CONFIDENTIAL-PROJECT-[A-Z]",
    r"\b4[0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}\b",
    r"\b[A-Z]{2}[0-9]{2} ?(?:[0-9]{4} ?){4}[0-9]{2}\b",
    r"(?i)\b(?:click|visit) (?:here|now|below) to (?:unsubscribe|claim)\b",
    r"(?i)\bdear (?:friend|customer|winner)\b",
    r"(?i)\b(?:million|billion) (?:dollars|euros|usd)\b",
    r"(?i)https?:\/\/[^\/\s]*\.(?:top|xyz|click|loan)\/",
    r"(?i)\bpassword\s*[:=]\s*\S+",
    r"(?i)\b(?:bank|wire) transfer\b",
    r"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----",
    r"(?i)\bact now\b.{0,60}\blimited\b",
    r"(?i)\bsocial security number\b",
    r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b",
    r"(?i)\b(?:strictly|highly) confidential\b",
    r"\bINTERNAL USE ONLY\b",
    r"(?i)\bpatient (?:id|number):? ?[0-9]{6,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"(?i)\bgift ?cards?\b.{0,40}\burgent",
    r"(?i)\bunclaimed (?:inheritance|funds)\b",
    r"(?i)\bbitcoin (?:wallet|address)\b",
]
NAME_RULE = r"(?i)\.(exe|scr|pif|bat|vbs|js|lnk)$"

# The mixed set is what the peers are given too: 8 header tests, 11 on text, 1 on attachment names.
MIXED_HEADERS = [rule for rule in HEADER_RULES if rule[0] != "Reply-To"][:8]
MIXED_TEXTS = TEXT_RULES[:11]

PLANTED_LINE = "see CONFIDENTIAL-PROJECT-X"
MARK = "X-Bench"


def header_condition(field, pattern):
    rule = "subject" if field == "Subject" else f'header("{field}")'
    return f'{rule} == "{pattern.replace(chr(34), chr(92) + chr(34))}"'


def text_condition(pattern):
    return f'body-contains("{pattern}")'


def many_headers(count):
    """`count` header tests, no two alike, over the fields every mail has."""
    shapes = [r"(?i)\bcampaign-{n:04d}\b", r"@host{n:04d}\.(example|invalid)", r"\bserial[ -]{n:04d}/[a-z]+",
              r"(?i)\b(batch|lot) {n:04d}\b", r"Mailer/{n:04d}\.[0-9]+"]
    fields = list(dict.fromkeys(field for field, _ in HEADER_RULES))
    return [(fields[n % len(fields)], shapes[n // len(fields) % len(shapes)].format(n=n)) for n in range(count)]


def terms(count):
    """`count` words that the generated mails do not hold, no two alike."""
    syllables = ["qua", "vex", "zor", "myt", "plix", "drun", "gor", "shu", "tav", "wenk"]
    return ["".join(syllables[n // 10 ** digit % 10] for digit in range(4)) for n in range(count)]


class FilterSet:
    def __init__(self, name, conditions, probe, dictionary=()):
        self.name, self.conditions, self.probe = name, conditions, probe
        self.dictionary = dictionary  # entries of the dictionary "bench"

    def yaml(self):
        """The rule file. A flow mapping of JSON strings is YAML."""
        lines = ["filters:" + ("" if self.conditions else " []")]
        for number, condition in enumerate(self.conditions):
            action = json.dumps({"insert-header": {"name": MARK, "value": str(number)}})
            lines.append(f'  - {{"name": "bench-{number}", "if": {json.dumps(condition)}, "then": [{action}]}}')
        return "\n".join(lines) + "\n"


def filter_sets(many):
    """All sets by name. A probe is what milterload has to plant for one filter to fire."""
    probe_header = f"X-Mailer: MassMailer 9"
    twenty = [header_condition(*rule) for rule in HEADER_RULES] + ENVELOPE_RULES
    lot = many_headers(many)
    field, pattern = lot[-1]
    last = pattern.replace(r"(?i)", "").replace(r"\b", "").replace("(example|invalid)", "example").replace("[ -]", " ")
    last = last.replace("(batch|lot)", "lot").replace("[a-z]+", "a").replace("[0-9]+", "1").replace("\\", "")
    mixed = [header_condition(*rule) for rule in MIXED_HEADERS] + [text_condition(p) for p in MIXED_TEXTS] + \
        [f'attachment-filename == "{NAME_RULE}"']
    plant = ["--plant-line", PLANTED_LINE]

    def plant_term(count):
        return ["--plant-line", f"see {terms(count)[-1]}"]

    # An atomic group is what the prefilter does not take: each term is a search of PCRE2 by itself.
    separate = [text_condition(f"(?i)(?>{word})") for word in terms(many)]
    match = 'dictionary-match("bench")'
    return {one.name: one for one in (
        FilterSet("none", [], None),
        FilterSet("header-20", twenty, ["--plant-header", probe_header]),
        FilterSet(f"header-{many}", [header_condition(*rule) for rule in lot], ["--plant-header", f"{field}: {last}"]),
        FilterSet("body-20", [text_condition(p) for p in TEXT_RULES], plant),
        FilterSet("mixed-20", mixed, plant),
        FilterSet("dictionary-20", [match], plant_term(20), terms(20)),
        FilterSet(f"dictionary-{many}", [match], plant_term(many), terms(many)),
        FilterSet(f"separate-{many}", separate, plant_term(many)),
    )}
