"""Tests of the server as a whole: whatever happens in whatever order, memory and storage agree and nothing is stuck."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from lwm2md.server.errors import Refused
from lwm2md.server.records import Operation, OperationRequest
from lwm2md.server.settings import ServerSettings
from lwm2md.server.templates import Template, TemplateMatch, TemplateWish, WishAttributes
from tests.server.fixtures import Answer, Bench, FakeDevice

PATHS = ("/3303/0/5700", "/3/0/0", "/3/0/13")
SETTINGS = ServerSettings(
    queue_limit=6,
    operations_kept=20,
    observations_per_device=2,
    max_lifetime=500,
    ttl=2000.0,
    timeout=40.0,
    flush_interval=50.0,
)
OPERATIONS = ("read", "execute", "write", "create", "delete", "observe", "cancel-observe", "observe-composite")
FIELDS: dict[str, dict[str, object]] = {"write": {"value": 1}, "create": {"id": 3}, "delete": {"force": True}}
TARGETS = {"execute": "/3/0/4", "create": "/3303", "delete": "/1/3", "write": "/1/0/1"}
COMPOSITE: dict[str, object] = {"paths": PATHS[:2]}


class Story:
    """Some devices that share addresses, an operator, a storage that lags and fails, drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.bench = Bench(SETTINGS)
        self.devices = [FakeDevice(self.bench, f"d{number}", number) for number in range(3)]
        self.operations: list[Operation] = []
        self.told: dict[str, int] = {}
        self.done: list[bool] = []

    def step(self) -> None:
        """Let one thing happen."""
        device = self.chance.choice(self.devices)
        self.chance.choice(
            (
                self.register,
                self.update,
                self.notify,
                self.answer,
                self.answer,
                self.submit,
                self.submit,
                self.operate,
                self.template,
                self.wait,
                self.storage,
            )
        )(device)
        self.bench.settle()

    def register(self, device: FakeDevice) -> None:
        """Register, here or elsewhere."""
        if self.chance.random() < 0.3:
            device.move(self.chance.randrange(4))
        self.bench.devices[device.peer] = device
        device.register(*self.chance.choice((("lwm2m=1.1", "lt=300"), ("lwm2m=1.1", "lt=300", "Q"), ())))

    def update(self, device: FakeDevice) -> None:
        """Update or De-register, here or elsewhere."""
        for reply in device.replies:
            if reply.code == n.CREATED:
                device.location = reply.location[1]
        if self.chance.random() < 0.2:
            device.move(self.chance.randrange(4))
        self.bench.devices[device.peer] = device
        self.chance.choice((device.update, lambda: device.update("lt=200"), device.deregister))()

    def notify(self, device: FakeDevice) -> None:
        """Notify under some token that was seen, or none that was."""
        tokens = [request.token for request in device.requests if request.observe == 0] or [b"unknown!"]
        device.notify(self.chance.choice(tokens), self.chance.randrange(50), code=self.chance.choice((69, 69, 132)))

    def answer(self, device: FakeDevice) -> None:
        """Answer one of the last requests, or Reset it."""
        if not device.requests:
            return
        request = self.chance.choice(device.requests[-2:])
        observe = self.chance.choice((None, 1)) if request.observe == 0 else None
        answer = Answer(self.chance.choice((69, 69, 68, 132, 134, 143, 163)), b"21", n.TEXT, observe=observe)
        if self.chance.random() < 0.1:
            device.send(Message(n.RST, n.EMPTY, request.mid, b""))
        else:
            self.bench.receive(device.compose(request, answer), device.peer)

    def submit(self, device: FakeDevice) -> None:
        """Ask for an operation."""
        op = self.chance.choice(OPERATIONS)
        composite = op == "observe-composite" or (op == "cancel-observe" and self.chance.random() < 0.5)
        fields = (
            COMPOSITE if composite else {"path": TARGETS.get(op) or self.chance.choice(PATHS), **FIELDS.get(op, {})}
        )
        request = OperationRequest(op=op, **fields)  # type: ignore[arg-type]
        try:
            operation = self.bench.server.submit(device.endpoint, request, self.bench.now)
        except Refused:
            return
        self.operations.append(operation)
        operation.watchers = [self.tell]
        if self.chance.random() < 0.3 and not operation.finished:
            self.bench.server.keep(operation, self.bench.now, self.end)

    def operate(self, device: FakeDevice) -> None:
        """Do what an operator does beside operations."""
        server, now = self.bench.server, self.bench.now
        try:
            choice = self.chance.randrange(5)
            if choice == 0:
                server.forget(device.endpoint, now, self.end)
            elif choice == 1:
                server.amend(device.endpoint, now, self.end, labels={str(self.chance.randrange(5)): "x"})
            elif choice == 2 and server.operations:
                server.cancel(self.chance.choice(list(server.operations)), now, self.end)
            elif choice == 3 and server.observations:
                active = self.chance.random() < 0.5
                server.unobserve(self.chance.choice(list(server.observations)), now, self.end, active=active)
        except Refused:
            pass

    def template(self, device: FakeDevice) -> None:
        """Put an observation template in force, or take one back."""
        templates, name = self.bench.server.templates, self.chance.choice("ab")
        path, labels = self.chance.choice((*PATHS, "/3303/*/5700")), self.chance.choice((None, "1=x"))
        wishes = (TemplateWish(path=path, attributes=WishAttributes(pmax=self.chance.choice((None, 5)))),)
        found = Template(name=name, observe=wishes, match=TemplateMatch(labels=labels))
        try:
            if self.chance.random() < 0.6:
                templates.put(found, self.end)
            else:
                templates.remove(name, self.end)
        except Refused:
            pass

    def wait(self, device: FakeDevice) -> None:
        """Let time pass."""
        self.bench.advance(self.chance.choice((0, 1, 10, 100, 400)))

    def storage(self, device: FakeDevice) -> None:
        """Let the storage lag, catch up, or fail."""
        if not self.bench.holding:
            self.bench.hold()
        else:
            self.bench.release(ok=self.chance.random() < 0.7, only=self.chance.choice((1, 2, None)))

    def restart(self) -> None:
        """Let the server be killed and start again: what was not committed is lost."""
        self.bench, faults = self.bench.restart(self.chance.choice((0, 5, 200)))
        assert not faults, faults
        for device in self.devices:
            device.bench = self.bench
        self.operations = [each for each in self.bench.server.operations.values() if not each.finished]
        self.told = {}
        for operation in self.operations:
            operation.watchers = [self.tell]

    def tell(self, operation: Operation) -> None:
        """Hear of the end of an operation."""
        self.told[operation.id] = self.told.get(operation.id, 0) + 1

    def end(self, ok: bool, now: float) -> None:
        """Hear of the end of a commit."""
        self.done.append(ok)


class RaceTests(SynchronousTestCase):
    """Many stories."""

    def test_stories(self) -> None:
        """However decisions, commits, answers and failures mix: no error, memory and storage agree, all ends."""
        for seed in range(400):
            story = Story(seed)
            for _ in range(80):
                story.step()
            story.bench.release()
            story.bench.advance(11)
            self.check(story, seed)

    def test_kills(self) -> None:
        """The same holds where the server is killed now and then."""
        for seed in range(60):
            story = Story(seed)
            for _ in range(120):
                story.step()
                if story.chance.random() < 0.03:
                    story.restart()
            story.bench.release()
            story.bench.advance(11)
            self.check(story, seed)

    def check(self, story: Story, seed: int) -> None:
        """What must hold when the storage has caught up, and in the end."""
        bench = story.bench
        state = bench.server._state
        self.assertEqual(bench.errors, [], seed)
        self.assertEqual(state.busy, {}, seed)
        known = {name: device.registration for name, device in state.devices.items() if device.registration}
        self.assertEqual(len(state.registrations), len(known), seed)
        self.assertEqual({name: state.registered(each.id) for name, each in known.items()}, known, seed)
        self.assertEqual(set(bench.tables["registrations"]), set(known), seed)
        peers = {registration.peer for registration in known.values()}
        self.assertEqual(set(state.peers._found), peers, seed)
        self.assertEqual({found.endpoint for each in peers for found in state.peers.find(each)}, set(known), seed)
        wishes = {wish.id for device in state.devices.values() for wish in device.observations}
        self.assertEqual((set(state.observations), set(bench.tables["observations"])), (wishes, wishes), seed)
        self.assertEqual(set(bench.tables["templates"]), set(bench.server.templates.templates), seed)
        self.check_wishes(bench, seed)
        stored = {*bench.tables["devices"], *bench.tables["registrations"]}
        self.assertEqual(stored, set(state.devices), seed)
        restarted = Bench(SETTINGS, bench.tables, bench.now)
        for table, rows in bench.tables.items():
            self.assertEqual(restarted.server.restore(table, sorted(rows.items()), bench.now), [], seed)
        labels = {name: device.labels for name, device in restarted.server.devices.items()}
        self.assertEqual(labels, {name: device.labels for name, device in state.devices.items()}, seed)
        for device in story.devices:
            device.answers.clear()
        bench.advance(50_000)
        self.assertEqual(bench.errors, [], seed)
        self.assertEqual([each for each in story.operations if not each.finished], [], seed)
        self.assertEqual({each.id: 1 for each in story.operations}, story.told, seed)
        self.assertEqual((len(state.registrations), state.peers._found), (0, {}), seed)
        self.assertLessEqual(len(state.operations), 20, seed)
        self.assertEqual([each for each in state.devices.values() if each.queue or each.current], [], seed)
        plans = [wish for device in state.devices.values() for wish in device.observations if wish.aside.plan]
        self.assertEqual(plans, [], seed)

    def check_wishes(self, bench: Bench, seed: int) -> None:
        """Nothing is planned for a wish of a device that is gone, and templates have what they want, and no more."""
        server = bench.server
        for device in server.devices.values():
            for wish in device.observations:
                self.assertTrue(device.registration is not None or wish.aside.plan is None, seed)
                if device.registration is not None and wish.template is not None:
                    self.assertIn(wish.template, server.templates.templates, seed)
