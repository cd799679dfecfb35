# SPDX-License-Identifier: Apache-2.0
"""Reads messages with Python's email package and prints, a line each, what a mail reader would find: first the defects
of the whole message, with --addresses the mailboxes of From, To and Cc, then type, disposition and text (or size) of each leaf. An independent judge of edited messages."""
import email
import email.policy
import sys


def show(path):
    with open(path, "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    defects = [type(d).__name__ for d in message.defects]
    for part in message.walk():
        defects += [type(d).__name__ for d in part.defects]
        for name, value in part.items():
            defects += [f"{name}: {type(d).__name__}" for d in getattr(value, "defects", ())]
    print("defects:", ", ".join(sorted(set(defects))) or "none")
    for name in ("From", "To", "Cc"):
        for field in message.get_all(name, []):
            if ADDRESSES:
                print(f"{name}:", " | ".join(f"{a.display_name} <{a.addr_spec}>" for a in field.addresses))
    depth = {id(message): 0}
    for part in message.walk():
        level = depth[id(part)]
        indent = "  " * level
        if part.is_multipart():
            print(f"{indent}{part.get_content_type()}")
            for child in part.get_payload():
                depth[id(child)] = level + 1
            continue
        payload = part.get_payload(decode=True)
        if part.get_content_maintype() == "text":
            text = payload.decode(part.get_content_charset() or "us-ascii", "replace").replace("\r\n", "\n")
            print(f"{indent}{part.get_content_type()} {text.rstrip()!r}")
        else:
            print(f"{indent}{part.get_content_type()} {part.get_filename()} {len(payload)} bytes")


ADDRESSES = sys.argv[1] == "--addresses"
for argument in sys.argv[1 + ADDRESSES :]:
    show(argument)
