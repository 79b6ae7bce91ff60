"""Progress on a terminal's standard error, and what an interruption leaves."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.client import Answer, Client, Token
from lwm2md.ctl.errors import DONE, FAILED, PENDING, UNREACHABLE, CommandError
from lwm2md.ctl.output import Output
from lwm2md.ctl.patience import PAUSE, Meter, ask
from lwm2md.ctl.repeating import repeat
from tests.ctl.support import Canned, Terminal, as_json, run

QUEUED = b'{"id":"7","endpoint":"e","op":"read","path":"/3","state":"%b","result":%b,"error":null,"coap_code":null}'
VALUES = b'{"values":[{"path":"/3/0/0","value":"x","type":"string","name":null,"unit":null,"time":null}]}'


class Time:
    """A clock that goes on when somebody sleeps; it interrupts at the ``last`` sleep."""

    def __init__(self, last: int | None = None) -> None:
        self.now = 0.0
        self.slept = 0
        self.last = last

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.slept += 1
        self.now += seconds
        if self.slept == self.last:
            raise KeyboardInterrupt


class Progress(SynchronousTestCase):
    """What is shown while a device is waited for."""

    def ask(self, time: Time, *answers: bytes, wait: float = 10.0) -> tuple[Canned, Callable[[], Answer]]:
        """Ask a server with these answers; the call that does."""
        server, stream = Canned(self, answers), Terminal()
        client, meter = Client(server.url, Token("t")), Meter(stream, time.sleep, lambda: time.now)
        self.stream = stream

        def call() -> Answer:
            return ask(
                client, meter, "GET", "/x", query={"wait": wait}, body=None, wait=wait, where=lambda found: found["id"]
            )

        return server, call

    def test_at_once(self) -> None:
        """What is answered at once shows nothing."""
        server, call = self.ask(Time(), as_json(VALUES))
        self.assertEqual(call().status, 200)
        self.assertEqual(self.stream.getvalue(), "")
        self.assertIn(b"GET /x?wait=0.5 ", server.requests[0])

    def test_shown(self) -> None:
        """The operation, its state and the time are shown until it ends, and then nothing is left of that."""
        states = (b"queued", b"sent", b"done")
        answers = [as_json(QUEUED % (state, b"null"), "202 Accepted") for state in states]
        time = Time()
        _, call = self.ask(time, *answers)
        answer = call()
        self.assertEqual((answer.status, answer.document["state"], time.slept), (200, "done", 2))
        shown = self.stream.getvalue()
        self.assertIn("read /3 of e: queued, 0 s", shown)
        self.assertIn("read /3 of e: sent, 1 s", shown)
        self.assertTrue(shown.endswith("\r\x1b[K"))

    def test_time_is_over(self) -> None:
        """When the time is over, the operation is left as it is."""
        answers = [as_json(QUEUED % (b"queued", b"null"), "202 Accepted")] * 3
        time = Time()
        _, call = self.ask(time, *answers, wait=1.0)
        self.assertEqual(call().status, 202)
        self.assertEqual(time.now, 2 * PAUSE)

    def test_interrupted(self) -> None:
        """An interruption leaves the operation queued, and says its id."""
        answers = [as_json(QUEUED % (b"queued", b"null"), "202 Accepted")] * 2
        _, call = self.ask(Time(last=2), *answers)
        error = self.assertRaises(CommandError, call)
        self.assertEqual(str(error), "read /3 of e stays queued: lwm2mctl operation 7")
        self.assertEqual(error.status, PENDING)

    def test_values(self) -> None:
        """Values that came late are shown as those that came at once."""
        queued = as_json(QUEUED % (b"queued", b"null"), "202 Accepted")
        done = as_json(QUEUED % (b"done", VALUES))
        for terminal, shown in ((True, "x\n"), (False, VALUES.decode() + "\n")):
            server = Canned(self, [queued, done])
            ran = run(self, "read", "e", "/3", terminal=terminal, watched=True, LWM2MD_URL=server.url)
            self.assertEqual((ran.status, ran.out), (DONE, shown))
            self.assertIn("queued", ran.err)


class Watching(SynchronousTestCase):
    """A command again and again."""

    def repeat(self, terminal: bool, *outcomes: str, last: int) -> tuple[str, list[str]]:
        """What is shown of a command with these outcomes, until an interruption; and what is said beside."""
        stream, left = Terminal(), list(outcomes)

        def command(options: Namespace, client: Client, output: Output) -> int:
            outcome = left.pop(0)
            if outcome == "lost":
                raise CommandError("not reachable", UNREACHABLE)
            output.document({"is": outcome}, [outcome] * 100)
            return DONE

        options = Namespace(every=2.0, run=command)
        client = Client("http://127.0.0.1:1", Token("t"))
        notes: list[str] = []
        time = Time(last)
        with self.assertRaises(KeyboardInterrupt):
            repeat(options, client, Output(stream, not terminal), note=notes.append, sleep=time.sleep)
        self.assertEqual(time.now, 2.0 * last)
        return stream.getvalue(), notes

    def test_lines(self) -> None:
        """Into a pipe the documents are lines; a failure between is said, and ends nothing."""
        shown, notes = self.repeat(False, "a", "lost", "b", last=3)
        self.assertEqual(shown, '{"is":"a"}\n{"is":"b"}\n')
        self.assertEqual(notes, ["not reachable"])

    def test_screen(self) -> None:
        """On a terminal each is a screen of its own, no longer than the terminal."""
        shown, _ = self.repeat(True, "a", "b", last=2)
        screens = shown.split("\x1b[H\x1b[2J")[1:]
        self.assertEqual(len(screens), 2)
        self.assertTrue(screens[1].startswith("every 2 s, "))
        self.assertLess(screens[1].count("\n"), 100)

    def test_first_failure(self) -> None:
        """What fails at first ends it."""
        ran = run(self, "devices", "--watch=1", LWM2MD_URL="http://127.0.0.1:1")
        self.assertEqual(ran.status, UNREACHABLE)
        refused = run(self, "devices", "--watch", "soon", LWM2MD_URL="http://127.0.0.1:1")
        self.assertNotEqual(refused.status, FAILED)
