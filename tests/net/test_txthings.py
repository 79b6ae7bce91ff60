"""The adapter for trees of txthings resources: each rule of its docstring, over an engine in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Engine, IncomingRequest, Response
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.txthings import Trees, incoming
from lwm2md.server.core import Server
from tests.net.tree import LARGE, Tree, coap, error, resource
from tests.server.fixtures import Bench as ServerBench

PEER = pack(Endpoint("127.0.0.1", 5683), Endpoint("127.0.0.1", 40000))
OTHER = pack(Endpoint("::1", 5683), Endpoint("::1", 40001))


class Bench:
    """Trees on an engine, under a clock that tests move; what leaves is in `sent`, by peer."""

    def __init__(self, **how: Any) -> None:
        self.clock = Clock()
        self.engine = Engine(self, os.urandom)
        self.trees = Trees(self.engine, self.settle, self.clock, **how)
        self.sent: list[tuple[Message, bytes]] = []
        self.server: Server | None = None
        self._mid = 0

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Be the engine's handler."""
        return (self.server or self.trees).handle(request, now)

    def unexpected(self, peer: bytes, message: Message, now: float) -> bool:
        """Reset whatever comes."""
        return True

    def settle(self) -> None:
        """Keep what the engine sends."""
        self.sent += [(decode(data), peer) for data, peer in self.engine.take()]

    def ask(
        self,
        path: str,
        code: int = n.GET,
        payload: bytes = b"",
        *,
        peer: bytes = PEER,
        token: bytes = b"t",
        **more: Any,
    ) -> Message | None:
        """Send a request; return what is answered at once."""
        self._mid += 1
        found = options(path=path.split("/") if path else (), **more)
        return self.receive(Message(n.CON, code, self._mid, token, found, payload), peer)

    def receive(self, message: Message, peer: bytes = PEER) -> Message | None:
        """Hand a message to the engine; return what leaves at once."""
        out = self.engine.receive([(encode(message), peer)], self.clock.seconds())
        return decode(out[0][0]) if out else None

    def pass_time(self, seconds: float) -> list[Message]:
        """Let time pass; return what left in it."""
        self.sent.clear()
        self.clock.advance(seconds)
        self.sent += [(decode(data), peer) for data, peer in self.engine.expire(self.clock.seconds())]
        return [message for message, _ in self.sent]


class Calling(resource.CoAPResource):
    """A resource whose GET is what the test says."""

    observable = True

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def render_GET(self, request: Any) -> Any:
        return self.function(request)


class DocumentedTreeTests(SynchronousTestCase):
    """A tree as txthings' documentation has it."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.tree = Tree(self.bench.clock)
        self.bench.trees.mount(self.tree.root)

    def answer(self, *what: Any, **how: Any) -> Message:
        """Ask, and return the answer that must be there."""
        found = self.bench.ask(*what, **how)
        assert found is not None
        return found

    def test_counter(self) -> None:
        """Each request is rendered once, and text is sent as UTF-8."""
        self.assertEqual([self.answer("counter").payload for _ in range(2)], [b"5000", b"5001"])

    def test_names_may_be_bytes(self) -> None:
        """A tree whose names are bytes is served, and listed, as one whose names are text."""
        texts = self.bench.trees.links()
        other = Bench()
        other.trees.mount(Tree(other.clock, names=str.encode).root)
        found = other.ask("other/large")
        assert found is not None
        self.assertEqual(found.code, n.CONTENT)
        self.assertEqual(other.trees.links(), texts)

    def test_links(self) -> None:
        """Visible resources are listed with their parameters, observable ones as such."""
        links = self.bench.trees.links().split(",")
        self.assertIn('</counter>;title="Counter resource"', links)
        self.assertIn("</time>;obs", links)
        self.assertIn("</other/large>", links)
        self.assertEqual(len(links), 5)
        self.tree.root.visible = True
        self.assertIn("</>", self.bench.trees.links().split(","))

    def test_methods_and_options(self) -> None:
        """PUT, POST and DELETE arrive with their payloads; options pass both ways, Accept as a number."""
        self.assertEqual(self.answer("store", n.PUT, b"value").code, n.CHANGED)
        read = self.answer("store", accept=60)
        self.assertEqual((read.payload, read.content_format, read.get(n.ETAG)), (b"value", 60, b"tag"))
        made = self.answer("store", n.POST, b"xyz")
        self.assertEqual((made.code, made.payload, made.location), (n.CREATED, b"xyz", ("store", "3")))
        self.assertEqual(self.answer("store", n.DELETE).code, n.DELETED)
        self.assertEqual(self.answer("store").payload, b"")

    def test_refusals(self) -> None:
        """Unknown paths are 4.04, methods that a resource or txthings does not have 4.05."""
        self.assertEqual(self.answer("nothing").code, n.NOT_FOUND)
        self.assertEqual(self.answer("counter/below").code, n.NOT_FOUND)
        self.assertEqual(self.answer("counter/").code, n.NOT_FOUND)
        self.assertEqual(self.answer("").code, n.METHOD_NOT_ALLOWED)
        self.assertEqual(self.answer("counter", n.PUT).code, n.METHOD_NOT_ALLOWED)
        self.assertEqual(self.answer("counter", n.FETCH).code, n.METHOD_NOT_ALLOWED)
        self.assertEqual(self.bench.trees.counters["failures"], 0)

    def test_separate_response(self) -> None:
        """A resource that takes its time is acknowledged empty first, and its answer is a message of its own."""
        self.assertIsNone(self.bench.ask("other/separate"))
        self.assertEqual([message.code for message in self.bench.pass_time(1)], [n.EMPTY])
        found = self.bench.pass_time(2)
        self.assertEqual([(each.type, each.code, each.payload) for each in found], [(n.CON, n.CONTENT, b"at last")])

    def test_second_tree(self) -> None:
        """What the first tree does not have is looked for in the next one."""
        further = resource.CoAPResource()
        further.putChild("more", Calling(lambda request: succeed(coap.Message(code=coap.CONTENT, payload=b"more"))))
        self.bench.trees.mount(further)
        self.assertEqual(self.answer("more").payload, b"more")
        self.assertEqual(self.answer("counter").payload, b"5000")

    def test_paths_of_the_daemon(self) -> None:
        """A tree that has a path of LwM2M's is refused."""
        for name in ("rd", b"bs", "dp"):
            root = resource.CoAPResource()
            root.putChild(name, resource.CoAPResource())
            with self.assertRaisesRegex(ValueError, "path of the daemon's own"):
                self.bench.trees.mount(root)

    def test_leaf(self) -> None:
        """A leaf gets what is left of the path, and the peer as txthings gives it."""
        seen: list[Any] = []

        def look(request: Any) -> Any:
            seen.append((request.prepath, request.postpath, str(request.remote[0]), request.remote[1]))
            return succeed(coap.Message(code=coap.CONTENT))

        leaf = Calling(look)
        leaf.isLeaf = True
        self.tree.root.putChild("leaf", leaf)
        self.answer("leaf/a/b", peer=OTHER)
        self.assertEqual(seen, [([b"leaf"], [b"a", b"b"], "::1", 40001)])


class ObservationTests(SynchronousTestCase):
    """Observers of a tree."""

    def setUp(self) -> None:
        self.bench = Bench(observers=3)
        self.tree = Tree(self.bench.clock)
        self.bench.trees.mount(self.tree.root)

    def observe(self, **how: Any) -> Message:
        """Observe the store."""
        found = self.bench.ask("store", observe=0, **how)
        assert found is not None
        return found

    def change(self, value: bytes) -> list[Message]:
        """Change the store from inside; return the notifications."""
        self.tree.store.value = value
        self.tree.store.updatedState()
        return self.bench.pass_time(0)

    def test_notifications(self) -> None:
        """Every observer gets each change once, Confirmable, with its token and a higher number."""
        first = self.observe(token=b"a")
        self.observe(token=b"b", peer=OTHER)
        self.assertIsNotNone(first.observe)
        found = self.change(b"one")
        self.assertEqual([(each.type, each.token, each.payload) for each in found],
                         [(n.CON, b"a", b"one"), (n.CON, b"b", b"one")])  # fmt: skip
        self.bench.receive(Message(n.ACK, n.EMPTY, found[0].mid))
        again = self.change(b"two")
        self.assertEqual([each.token for each in again], [b"a"])
        numbers = [each.observe or 0 for each in (first, found[0], again[0])]
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_changes_of_one_turn(self) -> None:
        """Changes in quick succession are one notification with the last state."""
        self.observe()
        self.tree.store.updatedState()
        self.assertEqual([each.payload for each in self.change(b"last")], [b"last"])

    def test_change_by_a_request(self) -> None:
        """A request that changes the resource notifies its observers."""
        self.observe()
        self.bench.ask("store", n.PUT, b"new", token=b"put")
        self.assertEqual([each.payload for each in self.bench.pass_time(0)], [b"new"])

    def test_gone_by_reset(self) -> None:
        """An observer that rejects a notification is forgotten."""
        self.observe()
        found = self.change(b"one")
        self.assertEqual(len(self.tree.store.observers), 1)
        self.bench.receive(Message(n.RST, n.EMPTY, found[0].mid))
        self.assertEqual(self.tree.store.observers, {})
        self.assertEqual(self.change(b"two"), [])

    def test_gone_by_silence(self) -> None:
        """An observer that does not acknowledge is forgotten when the retransmissions are over."""
        self.observe()
        self.change(b"one")
        for _ in range(100):
            self.bench.pass_time(1)
        self.assertEqual(self.tree.store.observers, {})

    def test_cancelled(self) -> None:
        """Observe 1 ends the observation, and is answered without the option."""
        self.observe()
        found = self.bench.ask("store", observe=1)
        assert found is not None
        self.assertIsNone(found.observe)
        self.assertEqual(self.change(b"one"), [])

    def test_renewed(self) -> None:
        """The same token again is the same observation, and its numbers go on."""
        first, second = self.observe(), self.observe()
        self.assertGreater(second.observe or 0, first.observe or 0)
        self.assertEqual(len(self.tree.store.observers), 1)
        self.assertEqual(len(self.change(b"one")), 1)

    def test_not_observable(self) -> None:
        """A resource that cannot be observed answers without the option."""
        found = self.bench.ask("counter", observe=0)
        assert found is not None
        self.assertEqual((found.code, found.observe), (n.CONTENT, None))
        self.assertEqual(self.tree.counter.observers, {})

    def test_limit(self) -> None:
        """Beyond the limit a request is answered without an observation."""
        found = [self.observe(token=bytes((index,))).observe is not None for index in range(4)]
        self.assertEqual(found, [True, True, True, False])
        self.assertIsNotNone(self.observe(token=b"\0").observe)

    def test_long_question(self) -> None:
        """A request too long to be kept is answered without an observation."""
        long = self.bench.ask("store", payload=b"x" * 2000, observe=0)
        assert long is not None
        self.assertEqual((long.code, long.observe, self.tree.store.observers), (n.CONTENT, None, {}))

    def test_error_ends(self) -> None:
        """When the state cannot be rendered any more the observers are told, once and without the option."""
        self.observe()
        self.patch(self.tree.store, "render_GET", lambda request: fail(error.NoResource()))
        self.assertEqual([(each.code, each.observe) for each in self.change(b"")], [(n.NOT_FOUND, None)])
        self.assertEqual(self.tree.store.observers, {})

    def test_slow_state(self) -> None:
        """A change while a notification is being rendered is followed by another one."""
        self.observe()
        waiting: list[Any] = []

        def later(request: Any) -> Any:
            waiting.append(Deferred())
            return waiting[-1]

        self.patch(self.tree.store, "render_GET", later)
        self.assertEqual(self.change(b"one"), [])
        self.assertEqual(self.change(b"two"), [])
        waiting[0].callback(coap.Message(code=coap.CONTENT, payload=b"one"))
        found = self.bench.pass_time(0)
        self.assertEqual([each.payload for each in found], [b"one"])
        self.bench.receive(Message(n.ACK, n.EMPTY, found[0].mid))
        self.bench.pass_time(0)
        waiting[1].callback(coap.Message(code=coap.CONTENT, payload=b"two"))
        self.assertEqual([each.payload for each in self.bench.pass_time(0)], [b"two"])

    def test_change_before_the_first_answer(self) -> None:
        """A change between the request and its answer is not lost."""
        waiting: Deferred[Any] = Deferred()
        original = self.tree.store.render_GET
        self.patch(self.tree.store, "render_GET", lambda request: waiting)
        self.assertIsNone(self.bench.ask("store", observe=0))
        self.tree.store.updatedState()
        self.patch(self.tree.store, "render_GET", original)
        self.tree.store.value = b"new"
        waiting.callback(coap.Message(code=coap.CONTENT, payload=b"old"))
        found = self.bench.pass_time(0)
        self.assertEqual([each.payload for each in found], [b"old", b"new"])


class BadResourceTests(SynchronousTestCase):
    """Resources that do what they should not."""

    def setUp(self) -> None:
        self.bench = Bench(patience=30.0)
        self.root = resource.CoAPResource()
        self.bench.trees.mount(self.root)

    def code(self, function: Any) -> int:
        """Return the code that a resource with this GET is answered with."""
        self.root.putChild("bad", Calling(function))
        found = self.bench.ask("bad")
        assert found is not None
        return found.code

    def raising(self, exception: Exception) -> Any:
        """Return a GET that raises."""

        def render(request: Any) -> Any:
            raise exception

        return render

    def test_exceptions(self) -> None:
        """An exception is 5.00, raised or in a Deferred, and is logged once for its kind."""
        for _ in range(3):
            self.assertEqual(self.code(self.raising(KeyError("x"))), n.INTERNAL_SERVER_ERROR)
            self.assertEqual(self.code(lambda request: fail(RuntimeError("x"))), n.INTERNAL_SERVER_ERROR)
        self.assertEqual(self.bench.trees.counters["failures"], 6)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.bench.engine.counters["errors"], 0)

    def test_errors_of_txthings(self) -> None:
        """Its own errors have codes of their own and are not logged."""
        for exception, code in (
            (error.NoResource(), n.NOT_FOUND),
            (error.UnallowedMethod(), n.METHOD_NOT_ALLOWED),
            (error.UnsupportedMethod(), n.METHOD_NOT_ALLOWED),
            (error.NotImplemented(), n.NOT_IMPLEMENTED),
        ):
            self.assertEqual(self.code(self.raising(exception)), code)

    def test_no_response(self) -> None:
        """What is no response is 5.00: nothing, a request, an Empty message, a payload of numbers."""
        for answer in (None, coap.Message(code=coap.GET), coap.Message(), coap.Message(code=coap.CONTENT, payload=5)):
            self.assertEqual(self.code(lambda request, answer=answer: succeed(answer)), n.INTERNAL_SERVER_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_no_deferred(self) -> None:
        """A message that is not wrapped in a Deferred is taken, and so is a coroutine."""

        async def later(request: Any) -> Any:
            return coap.Message(code=coap.VALID)

        self.assertEqual(self.code(lambda request: coap.Message(code=coap.CONTENT)), n.CONTENT)
        self.assertEqual(self.code(later), n.VALID)

    def test_broken_lookup(self) -> None:
        """A resource that fails while its children are looked for is 5.00."""
        self.root.putChild("bad", Calling(None))
        self.patch(self.root, "getChildWithDefault", lambda *_: 1 / 0)
        found = self.bench.ask("bad")
        assert found is not None
        self.assertEqual(found.code, n.INTERNAL_SERVER_ERROR)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_broken_list(self) -> None:
        """A tree that cannot be listed does not keep the others out of the list."""
        tree = Tree(self.bench.clock)
        self.bench.trees.mount(tree.root)
        self.patch(self.root, "generateResourceList", lambda *_: 1 / 0)
        self.assertIn("</time>;obs", self.bench.trees.links())
        self.flushLoggedErrors(ZeroDivisionError)

    def test_silence(self) -> None:
        """A resource that never answers is cancelled, and the requester told 5.03."""
        cancelled: list[Any] = []
        self.root.putChild("bad", Calling(lambda request: Deferred(cancelled.append)))
        self.assertIsNone(self.bench.ask("bad"))
        self.bench.pass_time(29)
        self.assertEqual(cancelled, [])
        self.assertEqual([each.code for each in self.bench.pass_time(1)], [n.SERVICE_UNAVAILABLE])
        self.assertEqual((len(cancelled), self.bench.trees.counters["silent"]), (1, 1))
        self.assertEqual(self.bench.clock.getDelayedCalls(), [])

    def test_close(self) -> None:
        """At the end nothing waits, and no timer is left."""
        tree = Tree(self.bench.clock)
        self.bench.trees.mount(tree.root)
        self.root.putChild("bad", Calling(lambda request: Deferred()))
        self.bench.ask("bad")
        self.bench.ask("store", observe=0, token=b"o")
        tree.store.updatedState()
        self.bench.trees.close()
        self.assertEqual((tree.store.observers, self.bench.clock.getDelayedCalls()), ({}, []))


class ServerTests(SynchronousTestCase):
    """A tree beside the core."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.bench.server = ServerBench().server
        self.bench.server.neighbour = self.bench.trees
        self.tree = Tree(self.bench.clock)

    def code(self, path: str, code: int = n.GET) -> int:
        """Return the code of an answer."""
        found = self.bench.ask(path, code)
        assert found is not None
        return found.code

    def test_paths(self) -> None:
        """The server's paths stay the server's, all others are the tree's."""
        self.bench.trees.mount(self.tree.root)
        self.assertEqual(self.code("counter"), n.CONTENT)
        self.assertEqual(self.code("rd"), n.METHOD_NOT_ALLOWED)
        self.tree.root.putChild("bs", self.tree.counter)
        self.assertEqual(self.code("bs"), n.NOT_FOUND)
        self.assertEqual(self.code(".well-known/other"), n.NOT_FOUND)

    def test_discovery(self) -> None:
        """The links of the tree follow the server's own."""
        empty = self.bench.ask(".well-known/core")
        self.bench.trees.mount(self.tree.root)
        full = self.bench.ask(".well-known/core")
        assert empty is not None
        assert full is not None
        self.assertEqual(full.payload, empty.payload + b"," + self.bench.trees.links().encode())
        self.assertEqual(full.content_format, n.LINK_FORMAT)


class AnythingTests(SynchronousTestCase):
    """Whatever a peer puts into a request."""

    @given(
        path=st.lists(st.sampled_from(("counter", "store", "other", "large", "time", "", "ä")), max_size=4),
        extra=st.lists(st.tuples(st.integers(1, 300), st.binary(max_size=9)), max_size=4),
        code=st.integers(1, 8),
        payload=st.binary(max_size=20),
    )
    def test_answered(self, path: list[str], extra: list[tuple[int, bytes]], code: int, payload: bytes) -> None:
        """Every request has one answer, whatever its options; nothing fails in the adapter or the engine."""
        bench = Bench()
        bench.trees.mount(Tree(bench.clock).root)
        found = options(path=path, extra=extra)
        answer = bench.receive(Message(n.CON, code, 1, b"t", found, payload))
        assert answer is not None
        self.assertTrue(n.is_response(answer.code))
        self.assertEqual((bench.trees.counters["failures"], bench.engine.counters["errors"]), (0, 0))

    @given(number=st.integers(0, 400), value=st.binary(max_size=20))
    def test_options(self, number: int, value: bytes) -> None:
        """Every option of every length is taken over, or left out; one that is taken goes back unchanged."""
        message = Message(n.CON, n.GET, 1, b"t", ((number, value),))
        asked = incoming(IncomingRequest(PEER, message, 0.0, b"\0\1t"))
        kept = [(option.number, option.encode()) for option in asked.opt.optionList()]
        self.assertIn(kept, ([], [(number, value)], [(number, value.lstrip(b"\0"))]))


class ImportTests(SynchronousTestCase):
    """What an import of the adapter costs others."""

    def test_only_who_mounts_pays(self) -> None:
        """The daemon does not import txthings by itself, and the adapter brings no warning with it."""
        program = (
            "import sys, lwm2md.node\nassert 'txthings' not in sys.modules\n"
            "import lwm2md.net.txthings\nassert 'txthings.ext' not in sys.modules"
        )
        done = subprocess.run(
            [sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONPYCACHEPREFIX": self.mktemp()},
        )  # fmt: skip
        self.assertEqual((done.stderr, done.returncode), ("", 0))

    def test_large(self) -> None:
        """The tree's large resource is larger than a block."""
        self.assertGreater(len(LARGE), 1024)
