#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""dkim_verify.py KEYS FILE…: what python3-dkim says of the signatures in message files, in the lines of dkim-verify (dkim_verify.cc)."""
import logging
import sys

import dkim

LOGGER = logging.getLogger("dkim")
LOGGER.addHandler(logging.NullHandler())
LOGGER.propagate = False


def read_keys(path):
    keys = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            name, record = line.rstrip("\n").split(" ", 1)
            keys[name.lower()] = record.encode()
    return keys


def results(message, keys):
    """A list of (domain, selector, pass|fail|error, reason), one for each DKIM-Signature field from the top."""

    def lookup(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        return keys.get(name.rstrip(".").lower())

    found = []
    try:
        count = sum(1 for name, _ in dkim.DKIM(message).headers if name.lower() == b"dkim-signature")
    except dkim.DKIMException as error:
        return [("-", "-", "error", f"{type(error).__name__}: {error}")]
    for index in range(count):
        verifier = dkim.DKIM(message, logger=LOGGER)
        try:
            good = verifier.verify(idx=index, dnsfunc=lookup)
            outcome, reason = ("pass", "") if good else ("fail", "signature or body hash")
        except dkim.ValidationError as error:
            body = "body hash" in str(error)
            outcome, reason = ("fail" if body else "error"), f"{type(error).__name__}: {error}"
        except dkim.DKIMException as error:
            outcome, reason = "error", f"{type(error).__name__}: {error}"
        domain = (verifier.domain or b"-").decode("ascii", "replace")
        selector = (verifier.selector or b"-").decode("ascii", "replace")
        found.append((domain, selector, outcome, reason))
    return found or [("-", "-", "error", "no signature")]


def main():
    keys = read_keys(sys.argv[1])
    for path in sys.argv[2:]:
        with open(0 if path == "-" else path, "rb") as file:
            message = file.read()
        found = results(message, keys)
        for index, (domain, selector, outcome, reason) in enumerate(found):
            number = 0 if reason == "no signature" else index + 1
            print(path, number, domain, selector, outcome, " ".join(reason.split()))


if __name__ == "__main__":
    main()
