#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The part of contrib/quickstart that runs mail: starts a private Postfix and posternd, sends the samples, compares what was sent with
what arrived, and prints it as a table. Everything in the table is observed: SMTP replies, delivered bytes, Postfix's hold queue,
posternd's log.

    show.py            run, print, stop, remove
    show.py --keep F   run, print, stay; F is written when all is told
    show.py --stop     stop the one that stayed
"""
import email
import email.policy
import os
import re
import shutil
import signal
import sys
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "test"))
os.environ.setdefault("POSTERN_BIN", os.path.join(SOURCE, "build", "release", "bin"))

from support import smtp  # noqa: E402
from support.mta import Postfix  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.sink import Sink  # noqa: E402
from keys import CONFIG, Keys, show  # noqa: E402

PID_FILE = os.environ.get("POSTERN_QUICKSTART_PID", os.path.join(SOURCE, "build", "quickstart.pid"))
COLUMNS = max(80, min(shutil.get_terminal_size((120, 40)).columns, 150))


def mail(sender, subject, body="Hello Bob,\nsee you on Monday.\n", extra="", recipients=("bob@example.org",)):
    head = f"From: {sender}\nTo: {', '.join(recipients)}\nSubject: {subject}\nDate: Thu, 01 Jan 2026 10:00:00 +0000\n"
    return (head + extra + "\n" + body).replace("\n", "\r\n").encode()


def with_attachment(sender, subject, name):
    return mail(sender, subject, "--part\nContent-Type: text/plain\n\nHave a look!\n--part\nContent-Type: application/octet-stream\n"
                f"Content-Disposition: attachment; filename=\"{name}\"\nContent-Transfer-Encoding: base64\n\nTVqQAAMAAAAEAAAA\n--part--\n",
                "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=part\n")


# What is sent: a title, the envelope, the message, and who logged in to send it.
SAMPLES = [
    ("An ordinary letter from outside", "ann@partner.example", ["bob@example.org"], mail("Ann <ann@partner.example>", "Monday")),
    ("A letter from inside", "bob@example.org", ["ann@partner.example"],
     mail("Bob <bob@example.org>", "Re: Monday", recipients=("ann@partner.example",)), "bob"),
    ("A program attached", "ann@partner.example", ["bob@example.org"], with_attachment("ann@partner.example", "Fun!", "game.exe")),
    ("A blocked sender", "offers@spam.example", ["bob@example.org"], mail("offers@spam.example", "Offers")),
    ("Two recipients, one of them gone", "ann@partner.example", ["bob@example.org", "former.colleague@example.org"],
     mail("Ann <ann@partner.example>", "Lunch")),
    ("A credit card number in the text", "ann@partner.example", ["bob@example.org"],
     mail("Ann <ann@partner.example>", "My card", "Please charge 4111 1111 1111 1111.\n")),
    ("A bulk mail to many", "news@partner.example", ["bob@example.org", "carol@example.org", "dave@example.org"],
     mail("news@partner.example", "News", extra="Precedence: bulk\n")),
    ("A contract, for the archive", "bob@example.org", ["ann@partner.example"],
     mail("Bob <bob@example.org>", "The contract", recipients=("ann@partner.example",)), "bob"),
    ("A letter nobody wants", "x@junk.example", ["bob@example.org"], mail("x@junk.example", "Unsubscribe NOW")),
]


def fields(data):
    head = data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    return re.split(r"\r\n(?![ \t])", head)


def readable(field):
    name, _, value = field.partition(":")
    try:
        value = str(email.message_from_string(f"X:{value}\n\n", policy=email.policy.default)["X"])
    except (ValueError, IndexError):
        pass
    return f"{name}: {' '.join(value.split())}"


def attachments(data):
    return [part.get_filename() for part in email.message_from_bytes(data, policy=email.policy.default).walk() if part.get_filename()]


def differences(sent, recipients, deliveries):
    """What was done to a message, found by comparing what was sent with what arrived."""
    if not deliveries:
        return []
    got = deliveries[0]
    done = []
    before, after = fields(sent), [field for field in got.headers() if not field.startswith(("Received:", "Message-ID:", "Message-Id:"))]
    names = {field.split(":")[0] for field in before}
    for field in after:
        if field.startswith("DKIM-Signature:"):
            done.append("signed by " + re.search(r"\bs=([^;\s]+)", field)[1] + " (" + re.search(r"\ba=([^;\s]+)", field)[1] + ")")
        elif field not in before:
            done.append(("changed " if field.split(":")[0] in names else "added ") + readable(field))
    for field in before:
        if field.split(":")[0] not in {other.split(":")[0] for other in after}:
            done.append("removed " + readable(field))
    for name in attachments(sent):
        if name not in attachments(got.data):
            done.append(f"removed the attachment {name}")
    if got.body != sent.partition(b"\r\n\r\n")[2] and attachments(sent) == attachments(got.data):
        new = [line for line in got.body.decode("utf-8", "replace").splitlines()
               if line.strip() and line not in sent.decode("utf-8", "replace").splitlines()]
        done.append("text added: " + (new[-1] if new else "?"))
    arrived = {recipient for delivery in deliveries for recipient in delivery.recipients}
    done += [f"copy to {recipient}" for recipient in sorted(arrived - set(recipients))]
    return done


END_OF_MESSAGE = re.compile(r"\[message-(?:done|refused|deferred|dropped|aborted|oversize|over-memory|failed)\]")


def filters_of_messages(daemon, count):
    """For each message in the order sent, the filters that the log says decided or changed something. Lines of one message carry its MID;
    the log may lag behind the replies, so this waits until every message has its last line."""
    def by_message():
        messages = {}
        for line in daemon.log_text().splitlines():
            found = re.search(r"\bMID (\d+)\b", line)
            if found:
                messages.setdefault(int(found[1]), []).append(line)
        return [messages[mid] for mid in sorted(messages)]

    wait_until(lambda: sum(1 for lines in by_message() if any(map(END_OF_MESSAGE.search, lines))) >= count, "posternd's log", 10)
    answer = []
    for lines in by_message():
        names = []
        for name in (name for line in lines for name in re.findall(r"filter '([^']+)'", line)):
            if name not in names:
                names.append(name)
        answer.append(names or ["-"])
    return answer


def run_sample(postfix, sink, sample):
    """Returns (title, what the sender saw, what became of it, its first delivery or None)."""
    title, sender, recipients, data, *login = sample
    replies = smtp.send(postfix.port, sender, recipients, data, helo="client.example", login=login[0] if login else None)
    seen, accepted = [], []
    for stage in ("connect", "helo", "mail", "rcpt", "data", "message"):
        answers = replies.get(stage, [])
        for index, reply in enumerate(answers if isinstance(answers, list) else [answers]):
            if stage == "rcpt" and reply.ok:
                accepted.append(recipients[index])
            if not reply.ok:
                seen.append(f"{stage.upper()}: {reply}" if stage != "message" else str(reply))
    last = replies.get("message")
    queue_id = smtp.queue_id(last) if last is not None and last.ok else None
    deliveries = []
    if queue_id:
        seen.append(re.sub(r"Ok: queued as .*", "Ok", str(last)))
        postfix.wait_settled(queue_id)
        deliveries = sink.with_queue_id(queue_id)
    if not queue_id:
        became = ["refused for now, the sender tries again" if re.match(r"(?:[A-Z]+: )?4", seen[-1]) else "refused"]
    elif postfix.state(queue_id) == "held":
        became = ["held in Postfix's quarantine (hold queue)"]
    elif not deliveries:
        became = ["thrown away silently"]
    else:
        became = differences(data, accepted, deliveries) or ["unchanged"]
        became.insert(0, f"delivered to {', '.join(sorted(set(accepted) & {r for d in deliveries for r in d.recipients}))}")
    return title, seen, became, deliveries[0] if deliveries else None


def table(rows):
    """Prints rows of lists of texts under headings, each cell wrapped to its column."""
    headings = ("message", "the sending server saw", "what became of it", "filter")
    widths = [24, 30, COLUMNS - 24 - 30 - 18 - 9, 18]
    line = "+".join("-" * (width + 2) for width in widths)
    rule = f"+{line}+"[:COLUMNS + 8]

    def show(cells):
        wrapped = [[part for text in (cell if isinstance(cell, list) else [cell]) for part in
                    textwrap.wrap(text, width, subsequent_indent="  ") or [""]] for cell, width in zip(cells, widths)]
        for index in range(max(map(len, wrapped))):
            print("| " + " | ".join((cell[index] if index < len(cell) else "").ljust(width) for cell, width in zip(wrapped, widths)) + " |")

    print(rule)
    show(headings)
    print(rule)
    for row in rows:
        show(row)
        print(rule)


def stop_kept(quiet=False):
    try:
        with open(PID_FILE) as file:
            pid, started = file.read().split()
        if start_time(int(pid)) != started:
            raise ProcessLookupError
        os.kill(int(pid), signal.SIGTERM)
        wait_until(lambda: start_time(int(pid)) != started, "the old instance to stop", 30)
        print("Stopped what --keep had left running.")
    except (OSError, ValueError):
        if not quiet:
            print("Nothing is running.")
    if os.path.exists(PID_FILE):
        os.unlink(PID_FILE)


def start_time(pid):
    """When the process started, in the kernel's ticks: tells it from a later one with the same number."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields_after_name = file.read().rpartition(")")[2].split()
        return fields_after_name[19] if fields_after_name[0] != "Z" else ""
    except OSError:
        return ""


def main():
    if sys.argv[1:] == ["--stop"]:
        stop_kept()
        return 0
    keep = sys.argv[2] if sys.argv[1:2] == ["--keep"] else None
    stop_kept(quiet=True)
    # The end comes by SIGTERM (--stop) or Ctrl-C; either way what was started is stopped and removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sink = Sink()
    postfix = Postfix(sink.port)
    with open(os.path.join(HERE, "rules.yaml"), encoding="utf-8") as file:
        rules = file.read()
    keys = Keys(postfix)
    daemon = Posternd(os.path.join(postfix.directory, "posternd"), postfix.milter_socket, postfix.milter_group,
                      config={**CONFIG, "keys": {"socket": keys.fipsd.milter_socket}, "log": {"level": "info"}}, rules=rules)
    status = 0
    try:
        keys.start()
        daemon.start()
        postfix.start()
        print(f"Postfix listens on 127.0.0.1:{postfix.port}, posternd on {daemon.socket}\n"
              f"The rules: {os.path.relpath(os.path.join(HERE, 'rules.yaml'), SOURCE)}\n", flush=True)
        rows = [run_sample(postfix, sink, sample) for sample in SAMPLES]
        table([(*row[:3], filters) for row, filters in zip(rows, filters_of_messages(daemon, len(SAMPLES)))])
        if not show(keys, next(row[3] for row in rows if row[0] == "A letter from inside")):
            raise RuntimeError("a signature or a handshake is not as it should be; see above")
        if keep:
            tell(postfix, daemon, keys)
            with open(PID_FILE, "w") as file:
                file.write(f"{os.getpid()} {start_time(os.getpid())}")
            sys.stdout.flush()
            quiet = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(quiet, descriptor)
            with open(keep, "w"):
                pass
            delivered = os.path.join(postfix.directory, "delivered")
            os.makedirs(delivered, exist_ok=True)
            written = 0
            while daemon.process.alive() and postfix.process.alive():
                for delivery in sink.all()[written:]:
                    written += 1
                    with open(os.path.join(delivered, f"{written:04d}.eml"), "wb") as file:
                        file.write(delivery.data)
                time.sleep(0.2)
    except KeyboardInterrupt:
        status = 130
    finally:
        postfix.stop()
        if not keep and status == 0 and sys.exc_info()[0] is None:
            daemon.stop()
            keys.stop()
        daemon.discard()
        keys.discard()
        sink.close()
        if keep and os.path.exists(PID_FILE):
            os.unlink(PID_FILE)
    if not keep and status == 0:
        print("\nAll stopped and removed. contrib/quickstart --keep leaves it running.")
    return status


def tell(postfix, daemon, keys):
    swaks = "swaks" if shutil.which("swaks") else "swaks (apt-get install swaks)"
    print(f"""
Left running:
  SMTP          127.0.0.1:{postfix.port}
  send          {swaks} --server 127.0.0.1:{postfix.port} --from ann@partner.example --to bob@example.org --h-Subject contract
  arrives as    {postfix.directory}/delivered/*.eml
  rules         {daemon.directory}/rules.d/10-test.yaml, then: postern reload -c {daemon.config_file}
  configuration {daemon.config_file}
  posternd log  {daemon.log}
  Postfix log   {postfix.log}
  keys          {os.path.join(os.environ['POSTERN_BIN'], 'fipsconfig')} -c {keys.fipsd.config_file} status
  status        {os.path.join(os.environ['POSTERN_BIN'], 'postern')} status -c {daemon.config_file}
  stop          contrib/quickstart --stop""")


if __name__ == "__main__":
    sys.exit(main())
