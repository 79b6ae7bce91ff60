"""Requests and their answers, with a daemon that does what the test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from lwm2md_mqtt.asking import Requests
from lwm2md_mqtt.messages import Message
from lwm2md_mqtt.options import options
from tests.mqtt.test_broker import settings


class Refused(Exception):  # noqa: N818  as the daemon's
    """What the daemon refuses with."""

    def __init__(self, code: str) -> None:
        super().__init__("why")
        self.code = code


class Operation:
    """An operation that ends when the test says so."""

    def __init__(self, identifier: str) -> None:
        self.id = identifier
        self.state = "queued"
        self.kept = 0
        self.storage_fails = False
        self._end: Deferred[dict[str, Any]] = Deferred()

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.state not in ("queued", "sent")

    def document(self) -> dict[str, Any]:
        """It, as the API shows it."""
        code = "2.05" if self.state == "done" else None
        return {"id": self.id, "state": self.state, "result": None, "error": None, "coap_code": code}

    def ended(self) -> Deferred[dict[str, Any]]:
        """Its end."""
        return self._end

    def keep(self) -> Deferred[bool]:
        """Make it durable."""
        self.kept += 1
        return succeed(not self.storage_fails)

    def end(self, state: str = "done") -> None:
        """Let it end."""
        self.state = state
        self._end.callback(self.document())


class Source:
    """A subscription."""

    closed = False

    def close(self) -> None:
        """End it."""
        self.closed = True


class Context:
    """The plugin's context; ``refusal`` is what is answered to the next operation."""

    log = Logger()

    def __init__(self, notes: Mapping[str, bytes] | None = None) -> None:
        self.reactor = Clock()
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.operations: dict[str, Operation] = {}
        self.notes = dict(notes or {})
        self.refusal: Exception | None = None
        self.source = Source()
        self.look: Callable[..., Any] | None = None

    def submit(self, endpoint: str, request: Mapping[str, Any]) -> Deferred[Any]:
        """Ask something."""
        self.asked.append((endpoint, request))
        if self.refusal is not None:
            return fail(self.refusal)
        operation = Operation(f"o{len(self.asked)}")
        self.operations[operation.id] = operation
        return succeed(operation)

    def operation(self, identifier: str) -> dict[str, Any] | None:
        """An operation."""
        found = self.operations.get(identifier)
        return None if found is None else found.document()

    def subscribe(self, types: Sequence[str], handler: Callable[..., Any], *, name: str) -> Source:
        """Get events."""
        self.look = handler
        return self.source

    def keep(self, key: str, value: bytes | None) -> Deferred[bool]:
        """Keep a note."""
        if value is None:
            self.notes.pop(key, None)
        else:
            self.notes[key] = value
        return succeed(True)

    def kept(self) -> Deferred[list[tuple[str, bytes]]]:
        """All notes."""
        return succeed(sorted(self.notes.items()))


class AskingCase(SynchronousTestCase):
    """Requests of one plugin."""

    def setUp(self) -> None:
        self.context = Context()
        self.answers: list[tuple[Message, Callable[[], None] | None]] = []
        self.requests = self.make(self.context)

    def make(self, context: Context, **given_settings: str) -> Requests:
        """Requests on a context, started."""
        found = options(settings(**given_settings), "n")
        requests = Requests(
            context, found, lambda name: not name.startswith("z"), lambda *answer: self.answers.append(answer)
        )
        self.successResultOf(requests.start())
        return requests

    def take(self, tail: str = "e/GET/3/0/0", body: object = None, requests: Requests | None = None) -> None:
        """Deliver a request."""
        payload = json.dumps({"id": 7, **(body or {})} if isinstance(body, dict | None) else body)
        (requests or self.requests).take(f"p/requests/{tail}", payload.encode())

    def answer(self) -> dict[str, Any]:
        """The only answer since the last look."""
        ((message, _),) = self.answers
        self.answers.clear()
        self.assertEqual(message.kind, "responses")
        found: dict[str, Any] = json.loads(message.payload)
        return found | {"topic": message.topic}


class AnswerTests(AskingCase):
    """When what is answered."""

    def test_at_its_end(self) -> None:
        """An operation that ends in time is answered once."""
        self.take()
        self.assertEqual(self.context.asked, [("e", {"op": "read", "path": "/3/0/0"})])
        self.assertEqual((self.answers, self.requests.open), ([], 1))
        self.context.operations["o1"].end()
        found = self.answer()
        self.assertEqual(found["topic"], "p/responses/e/GET/3/0/0")
        self.assertEqual((found["id"], found["state"], found["code"]), (7, "done", "2.05"))
        self.context.reactor.advance(100)
        self.assertEqual((self.answers, self.requests.open, self.context.notes), ([], 0, {}))
        self.assertEqual(self.context.reactor.getDelayedCalls(), [])

    def test_later(self) -> None:
        """One that takes longer is durable before that is told, and told again at its end, until the broker has it."""
        self.take()
        self.context.reactor.advance(1.9)
        self.assertEqual(self.answers, [])
        self.context.reactor.advance(0.2)
        self.assertEqual(self.answer()["state"], "queued")
        self.assertEqual((self.context.operations["o1"].kept, list(self.context.notes)), (1, ["o1"]))
        self.context.operations["o1"].end("expired")
        ((_, then),) = self.answers
        self.assertEqual(self.answer()["reason"], "expired")
        self.assertEqual(list(self.context.notes), ["o1"])
        assert then is not None
        then()
        self.assertEqual(self.context.notes, {})

    def test_wait(self) -> None:
        """The request may say for how long its end is waited for."""
        self.take(body={"wait": 0})
        self.context.reactor.advance(0)
        self.assertEqual(self.answer()["state"], "queued")
        self.take(body={"wait": 10})
        self.context.reactor.advance(9)
        self.assertEqual(self.answers, [])
        self.context.reactor.advance(1)
        self.assertEqual(self.answer()["state"], "queued")

    def test_not_durable(self) -> None:
        """What the storage does not take is not told to be queued; its end is told."""
        self.take()
        self.context.operations["o1"].storage_fails = True
        self.context.reactor.advance(3)
        self.assertEqual((self.answers, self.context.notes), ([], {}))
        self.context.operations["o1"].end("failed")
        self.assertEqual(self.answer()["state"], "failed")

    def test_refused(self) -> None:
        """What the daemon refuses is answered with its word, and a failure of its own without details."""
        self.context.refusal = Refused("queue-full")
        self.take()
        found = self.answer()
        self.assertEqual((found["code"], found["reason"], found["error"]), ("4.29", "queue-full", "why"))
        self.context.refusal = RuntimeError("secret")
        self.take()
        self.assertEqual((self.answer()["code"], self.requests.open), ("5.00", 0))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_not_asked(self) -> None:
        """What can't be asked is answered without asking, with its id if that can be read."""
        self.take("e/PATCH/3")
        self.assertEqual((self.answer()["code"], self.context.asked), ("4.05", []))
        self.take("e/GET/3", {"surprise": 1})
        found = self.answer()
        self.assertEqual((found["code"], found["id"]), ("4.00", 7))
        self.requests.take("p/requests/e/GET/3", b"no json")
        self.assertIsNone(self.answer()["id"])

    def test_too_large(self) -> None:
        """A payload beyond the limit is refused, and so is a long id, which would have to be kept."""
        self.take("e/PUT/3/0/14", {"payload": "x" * (64 << 10)})
        self.assertEqual(self.answer()["code"], "4.13")
        self.take("e/GET/3", {"id": "x" * 2000})
        self.assertEqual((self.answer()["code"], self.context.asked), ("4.13", []))

    def test_too_many(self) -> None:
        """Beyond its bound of open requests another is refused, and taken again when one has ended."""
        requests = self.make(self.context, pending="1")
        self.take(requests=requests)
        self.take(requests=requests)
        self.assertEqual(self.answer()["reason"], "overloaded")
        self.context.operations["o1"].end()
        self.answer()
        self.take(requests=requests)
        self.assertEqual(self.answers, [])

    def test_ignored(self) -> None:
        """What is for others' devices, or has no place to be answered at, is not answered."""
        self.take("z1/GET/3")
        self.take("nothing")
        self.take("%zz/GET/3")
        self.assertEqual((self.answers, self.context.asked), ([], []))
        self.assertEqual(self.requests.counters["requests_ignored"], 3)

    def test_stop(self) -> None:
        """After a stop nothing is due any more, and what still comes is refused."""
        self.take()
        self.requests.stop()
        self.assertEqual(self.context.reactor.getDelayedCalls(), [])
        self.take()
        self.assertEqual((self.answer()["reason"], len(self.context.asked)), ("stopping", 1))


class RestartTests(AskingCase):
    """What another process owes."""

    OWED = json.dumps({"topic": "p/responses/e/GET/3", "id": [1]}).encode()

    def test_ended_meanwhile(self) -> None:
        """What ended, or is not known any more, is answered at once, until the broker has it."""
        context = Context({"o1": self.OWED, "o2": self.OWED})
        context.operations["o1"] = Operation("o1")
        context.operations["o1"].end()
        self.make(context)
        first, second = (json.loads(message.payload) for message, _ in self.answers)
        self.assertEqual((first["state"], first["id"]), ("done", [1]))
        self.assertEqual((second["state"], second["reason"], second["id"]), ("failed", "outcome-unknown", [1]))
        self.assertEqual(list(context.notes), ["o1", "o2"])
        for _, then in self.answers:
            assert then is not None
            then()
        self.assertEqual((context.notes, context.source.closed), ({}, True))

    def test_still_open(self) -> None:
        """What has not ended is answered at its end, once, and then no end is listened for."""
        context = Context({"o1": self.OWED})
        context.operations["o1"] = Operation("o1")
        self.make(context)
        self.assertEqual(self.answers, [])
        assert context.look is not None
        context.look(())
        self.assertEqual(self.answers, [])
        context.operations["o1"].end()
        context.look(())
        self.assertEqual(self.answer()["topic"], "p/responses/e/GET/3")
        self.assertTrue(context.source.closed)
        context.look(())
        self.assertEqual(self.answers, [])

    def test_damaged(self) -> None:
        """A note that can't be read is let go."""
        context = Context({"o1": b"no json"})
        self.make(context)
        self.assertEqual((self.answers, context.notes), ([], {}))
