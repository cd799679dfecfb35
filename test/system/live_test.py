#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A running posternd under Postfix: it hangs, is reloaded under load, is asked to stop in the middle of a message, is told of rules that
an open connection did not negotiate for."""
import os
import signal
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import smtp  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.world import World, last_code  # noqa: E402

MESSAGE = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: s\r\n\r\nHello\r\n"
MARK = "filters: [{name: mark, if: 'true', then: [{insert-header: {name: X-Hit, value: '1'}}]}]"
NO_BODY = "filters: [{name: sender, phase: mail, if: 'mail-from == \"^bad@\"', then: [{reject: 'no'}]}]"
WITH_BODY = "filters: [{name: text, if: 'body-contains(\"Hello\")', then: [{insert-header: {name: X-Text, value: '1'}}]}]"


def stopped(pid):
    """Every thread of the process is stopped (state T)."""
    states = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat", encoding="utf-8", errors="replace") as file:
            states.append(file.read().rpartition(")")[2].split()[0])
    return all(state == "T" for state in states)


class Live(unittest.TestCase):
    def world(self, **options):
        world = World(**options)
        self.addCleanup(world.close)
        return world

    def test_hang(self):
        """SIGSTOP at several steps: Postfix gives up after its own time and answers 4xx; after SIGCONT mail flows again."""
        world = World(rules=MARK, behind=True, start=False,
                      extra={"milter_connect_timeout": "5s", "milter_command_timeout": "5s", "milter_content_timeout": "5s"})
        self.addCleanup(world.close)
        world.daemon.start()
        proxy = Proxy(world.mta.milter_socket, world.daemon.socket)
        self.addCleanup(proxy.close)
        world.mta.start()
        proxy.arm(None, None)
        world.deliver(MESSAGE)
        steps = [letter for _, letter in proxy.trace]
        for letter in (b"O", b"E"):
            with self.subTest(step=letter):
                def strike():
                    # The signal is only on its way when kill returns: the packet must not overtake it.
                    world.daemon.process.send_signal(signal.SIGSTOP)
                    wait_until(lambda: stopped(world.daemon.process.pid), "posternd to stop", 10)
                    return True

                proxy.arm(steps.index(letter) + 1, strike)
                replies, queue_id = world.send(MESSAGE)
                self.assertIsNone(queue_id)
                self.assertEqual(last_code(replies) // 100, 4, {stage: str(reply) for stage, reply in replies.items()})
                proxy.arm(None, None)
                world.daemon.process.send_signal(signal.SIGCONT)
                self.assertEqual(world.deliver(MESSAGE).values("X-Hit"), [" 1"])
        world.daemon.stop()

    def test_reload_under_load(self):
        """20 senders while the configuration changes again and again: no error, and each message sees one generation."""
        def rules(generation):
            return [{"name": "first", "if": "true", "then": [{"insert-header": {"name": "X-First", "value": str(generation)}}]},
                    {"name": "second", "if": "header(\"X-First\")",
                     "then": [{"insert-header": {"name": "X-Second", "value": str(generation)}}]}]

        world = self.world(rules=rules(0))
        stop, problems, sent = threading.Event(), [], []

        def sender(number):
            try:
                while not stop.is_set():
                    with smtp.Client(world.mta.port, f"127.0.2.{number + 1}") as client:
                        client.read()
                        client.ehlo()
                        for _ in range(5):
                            replies = [client.command("MAIL FROM:<a@x.test>"), client.command("RCPT TO:<b@y.test>")]
                            replies += client.data(MESSAGE)
                            if not all(reply and reply.ok for reply in replies):
                                problems.append([str(reply) for reply in replies])
                                return
                            sent.append(smtp.queue_id(replies[-1]))
                            if stop.is_set():
                                break
            except Exception as error:
                problems.append(repr(error))

        threads = [threading.Thread(target=sender, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for generation in range(1, 13):
            world.daemon.write(rules=rules(generation))
            world.daemon.reload()
            # At least one message begun after this reload before the next one.
            seen = len(sent)
            wait_until(lambda: len(sent) > seen + 20 or problems, "messages during reloads")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        for queue_id in sent:
            world.mta.wait_settled(queue_id)
        by_id = {}
        for delivery in world.sink.all():
            by_id.setdefault(delivery.queue_ids()[0], []).append(delivery)
        generations = set()
        for queue_id in sent:
            self.assertEqual(len(by_id.get(queue_id, [])), 1, queue_id)
            delivery = by_id[queue_id][0]
            self.assertEqual(delivery.values("X-First"), delivery.values("X-Second"), queue_id)
            generations.add(delivery.values("X-First")[0])
        self.assertGreater(len(generations), 8)
        world.daemon.stop()
        print(f"{len(sent)} messages over {len(generations)} generations, 0 errors")

    def test_bad_reload_keeps_the_old_rules(self):
        world = self.world(rules=MARK)
        world.daemon.write(rules="filters: [{name: broken, if: 'no-such-rule', then: [drop]}]")
        line = world.daemon.reload("failed")
        self.assertIn("no-such-rule", world.daemon.log_text())
        self.assertIn("stays", line)
        self.assertEqual(world.deliver(MESSAGE).values("X-Hit"), [" 1"])
        world.daemon.stop()

    def test_reload_that_needs_more_steps(self):
        """A connection that negotiated without body gets 421 at its next MAIL once a rule wants the body; a new one works."""
        world = self.world(rules=NO_BODY)
        with smtp.Client(world.mta.port) as client:
            client.read()
            client.ehlo()
            self.assertTrue(client.command("MAIL FROM:<a@x.test>").ok)
            self.assertTrue(client.command("RSET").ok)
            world.daemon.write(rules=WITH_BODY)
            world.daemon.reload()
            reply = client.command("MAIL FROM:<a@x.test>")
            self.assertTrue(str(reply).startswith("421 4.3.2"), str(reply))
        self.assertEqual(world.deliver(MESSAGE).values("X-Text"), [" 1"])
        # The other way round nothing is needed: the connection goes on.
        with smtp.Client(world.mta.port) as client:
            client.read()
            client.ehlo()
            world.daemon.write(rules=NO_BODY)
            world.daemon.reload()
            self.assertTrue(client.command("MAIL FROM:<a@x.test>").ok)
        world.daemon.stop()

    def test_reload_in_the_middle_of_a_message(self):
        """A message keeps the rules it began with."""
        world = self.world(rules=MARK)
        with smtp.Client(world.mta.port) as client:
            client.read()
            client.ehlo()
            client.command("MAIL FROM:<a@x.test>")
            client.command("RCPT TO:<b@y.test>")
            world.daemon.write(rules=WITH_BODY)
            world.daemon.reload()
            reply = client.data(MESSAGE)[1]
        self.assertTrue(reply.ok, str(reply))
        queue_id = smtp.queue_id(reply)
        world.mta.wait_settled(queue_id)
        delivery = world.sink.with_queue_id(queue_id)[0]
        self.assertEqual((delivery.values("X-Hit"), delivery.values("X-Text")), ([" 1"], []))
        world.daemon.stop()

    def test_drain(self):
        """SIGTERM: the message in flight is finished with its edits, others get 4xx, the daemon ends with status 0."""
        world = self.world(rules=MARK)
        with smtp.Client(world.mta.port) as busy, smtp.Client(world.mta.port) as idle:
            for client in (busy, idle):
                client.read()
                client.ehlo()
            # A first message makes both connections known to posternd.
            self.assertTrue(idle.command("MAIL FROM:<a@x.test>").ok)
            self.assertTrue(idle.command("RSET").ok)
            self.assertTrue(busy.command("MAIL FROM:<a@x.test>").ok)
            self.assertTrue(busy.command("RCPT TO:<b@y.test>").ok)
            world.daemon.process.send_signal(signal.SIGTERM)
            world.daemon.wait_log("posternd stops")
            reply = idle.command("MAIL FROM:<a@x.test>")
            self.assertEqual(reply.code // 100, 4, str(reply))
            reply = busy.data(MESSAGE)[1]
            self.assertTrue(reply.ok, str(reply))
        queue_id = smtp.queue_id(reply)
        world.mta.wait_settled(queue_id)
        self.assertEqual(world.sink.with_queue_id(queue_id)[0].values("X-Hit"), [" 1"])
        self.assertEqual(world.daemon.process.wait(), 0)
        replies, queue_id = world.send(MESSAGE)
        self.assertEqual(last_code(replies) // 100, 4)
        world.daemon.start()
        world.deliver(MESSAGE)
        world.daemon.stop()

    def test_reload_command_and_status(self):
        """postern reload and postern status speak to the daemon over its control socket."""
        world = self.world(rules=MARK)
        world.deliver(MESSAGE)
        before = world.daemon.status()
        world.daemon.command("reload", "-c", world.daemon.config_file)
        after = world.daemon.status()
        self.assertEqual(after["generation"], before["generation"] + 1)
        world.daemon.write(rules="filters: 1")
        failed = world.daemon.command("reload", "-c", world.daemon.config_file, check=False)
        self.assertNotEqual(failed.returncode, 0)
        self.assertEqual(world.daemon.status()["generation"], after["generation"])
        world.daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
