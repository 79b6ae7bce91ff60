"""Tests of lwm2md.server.templates and templating: which devices and paths, and the wishes that come and go."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.lwm2m.paths import Path
from lwm2md.server.definitions import Definition
from lwm2md.server.errors import BadOperation, LimitReached, UnknownTemplate
from lwm2md.server.records import OperationRequest
from lwm2md.server.settings import ServerSettings
from lwm2md.server.templates import Template, TemplateMatch, TemplateWish, WishAttributes, pattern
from tests.server.fixtures import Answer, Bench, FakeDevice

VALUE = "/3303/0/5700"
OBSERVED = Answer(n.CONTENT, b"20.5", n.TEXT, observe=1)


def template(*observe: str, name: str = "t", **match: object) -> Template:
    """A template that observes these paths."""
    wishes = tuple(TemplateWish(path=path) for path in observe)
    return Template(name=name, observe=wishes, match=TemplateMatch(**match))  # type: ignore[arg-type]


class Base(SynchronousTestCase):
    """A server with templates."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(observations_per_device=3, templates=2))

    def put(self, found: Template) -> None:
        """Put a template in force, and let everything happen that it causes at once."""
        self.bench.server.templates.put(found, lambda ok, now: self.assertTrue(ok))
        self.bench.settle()
        self.bench.advance(0.1)

    def remove(self, name: str) -> None:
        """Take one back."""
        self.bench.server.templates.remove(name, lambda ok, now: self.assertTrue(ok))
        self.bench.settle()
        self.bench.advance(0.1)

    def wishes(self, endpoint: str = "d") -> dict[str, tuple[str | None, str]]:
        """Template and state of each wish for a device, by path."""
        known = self.bench.server.devices[endpoint].observations
        return {str(wish.path): (wish.template, wish.state) for wish in known}

    def observable(self, device: FakeDevice, *paths: str) -> None:
        """Let a device take observations."""
        for path in paths:
            device.answers[n.GET, path] = OBSERVED


class PathTests(Base):
    """What is observed of what a device has."""

    def test_instances(self) -> None:
        """An Object, and a star in the place of the instance, are each instance that the device has registered."""
        links = "</3/0>,</3303/0>,</3303/2>,</19>"
        self.bench.registered("d", 1, links=links)
        cases = {
            "/3303": {"/3303/0", "/3303/2"},
            "/3303/*": {"/3303/0", "/3303/2"},
            "/3303/*/5700": {"/3303/0/5700", "/3303/2/5700"},
            "/3303/2/5700": {"/3303/2/5700"},
            "/3303/1/5700": set[str](),
            "/3304": set[str](),
            "/19": {"/19"},
            "/19/0/0": {"/19/0/0"},
            "/19/*/0": {"/19"},
        }
        for path, expected in cases.items():
            self.put(template(path))
            self.assertEqual(set(self.wishes()), expected, path)

    def test_bad(self) -> None:
        """What can't be a template is refused, with the field that is wrong."""
        cases = [
            (template("/3303/x"), "observe.path"),
            (template("/3303/*/*"), "observe.path"),
            (template("/65535"), "observe.path"),
            (template("3303"), "observe.path"),
            (template("/3", objects=("/x",)), "match.objects"),
            (template("/3", labels="a"), "match.labels"),
            (template("/3", name=""), "name"),
            (
                msgspec.json.decode(b'{"name":"t","observe":[{"path":"/3","format":"x"}]}', type=Template),
                "observe.format",
            ),
            (
                msgspec.json.decode(b'{"name":"t","observe":[{"path":"/3","attributes":{"gt":1}}]}', type=Template),
                "attributes",
            ),
        ]
        cases += [
            (Template(name="t", observe=(TemplateWish(),)), "observe.path"),
            (Template(name="t", observe=(TemplateWish(path="/3", paths=("/5",)),)), "observe.path"),
            (Template(name="t", observe=(TemplateWish(paths=("/3/x",)),)), "observe.paths"),
            (
                Template(name="t", observe=(TemplateWish(paths=("/3",), attributes=WishAttributes(gt=1)),)),
                "observe.attributes",
            ),
        ]
        for found, field in cases:
            with self.assertRaises(BadOperation) as caught:
                pattern(found)
            self.assertEqual(caught.exception.field, field, found)


class CompositeTests(Base):
    """Paths that a template wants observed as one."""

    COMPOSITE = Template(
        name="t",
        observe=(
            TemplateWish(paths=("/3303/*/5700", "/3/0/9"), attributes=WishAttributes(pmin=5, con=True)),
            TemplateWish(paths=("/5", "/3304")),
        ),
    )

    def device(self, *query: str, links: str = "</3/0>,</5/0>,</3303/0>,</3303/2>") -> FakeDevice:
        """A device that takes whatever it is asked to observe."""
        device = self.bench.device("d")
        senml = b'[{"n":"/3303/0/5700","v":20.5}]'
        device.answers[n.FETCH, "/"] = Answer(n.CONTENT, senml, n.SENML_JSON, observe=1)
        self.observable(device, VALUE, "/3303/2/5700", "/3/0/9", "/5/0")
        for path in (VALUE, "/3303/2/5700", "/3/0/9"):
            device.answers[n.PUT, path] = Answer(n.CHANGED)
        device.register("lt=300", *query, links=links)
        return device

    def paths(self) -> dict[tuple[str, ...], str]:
        """The states of the wishes, by what they are of."""
        known = self.bench.server.devices["d"].observations
        return {tuple(map(str, wish.paths or (wish.path,))): wish.state for wish in known}

    def test_together(self) -> None:
        """What the device has of them is one observation, with its attributes; a single path is one by itself."""
        device = self.device("lwm2m=1.2")
        self.put(self.COMPOSITE)
        several = ("/3/0/9", "/3303/0/5700", "/3303/2/5700")
        self.assertEqual(self.paths(), {several: "active", ("/5/0",): "active"})
        [fetch] = [each for each in device.requests if each.code == n.FETCH]
        self.assertEqual(fetch.query, ("pmin=5", "con=1"))
        before = len(device.requests)
        self.put(self.COMPOSITE)
        self.assertEqual(len(device.requests), before)

    def test_objects_change(self) -> None:
        """An instance that comes is one of them from then on."""
        device = self.device("lwm2m=1.2")
        self.put(self.COMPOSITE)
        device.update(links="</3/0>,</3303/0>,</3303/2>,</3303/3>")
        self.bench.advance(0.1)
        several = ("/3/0/9", "/3303/0/5700", "/3303/2/5700", "/3303/3/5700")
        self.assertEqual(self.paths(), {several: "active"})

    def test_one_by_one(self) -> None:
        """A device without composite operations is asked for each; so is one that turns out to have none."""
        single = {("/3303/0/5700",): "active", ("/3303/2/5700",): "active", ("/3/0/9",): "active"}
        self.device("lwm2m=1.0", links="</3/0>,</3303/0>,</3303/2>")
        self.put(self.COMPOSITE)
        self.assertEqual(self.paths(), single)
        device = self.device("lwm2m=1.1", links="</3/0>,</3303/0>,</3303/2>")
        self.bench.advance(0.1)
        self.assertEqual(list(self.paths().values()), ["active"])
        device.answers[n.FETCH, "/"] = Answer(n.NOT_IMPLEMENTED)
        device.register("lwm2m=1.1", "lt=300", links="</3/0>,</3303/0>,</3303/2>")
        self.bench.advance(1)
        self.assertEqual(self.paths(), single)

    def test_many(self) -> None:
        """There are as many observations as it takes with 100 paths each."""
        links = ",".join(f"</3303/{number}>" for number in range(150))
        self.device("lwm2m=1.2", links=links)
        self.put(Template(name="t", observe=(TemplateWish(paths=("/3303/*/5700", "/3303/*/5701")),)))
        self.assertEqual(list(map(len, self.paths())), [100, 100, 100])


class MatchTests(Base):
    """Which devices a template is for."""

    def test_conditions(self) -> None:
        """All that is said must hold."""
        self.bench.registered("north-1", 1, "farm=north")
        self.bench.registered("south-1", 2, "farm=south", links="</3/0>,</3303/0>")
        cases: list[tuple[dict[str, object], set[str]]] = [
            ({}, {"north-1", "south-1"}),
            ({"labels": "farm=north"}, {"north-1"}),
            ({"labels": "farm!=north"}, {"south-1"}),
            ({"endpoint": "north-*"}, {"north-1"}),
            ({"endpoint": "north-*", "labels": "farm=south"}, set()),
            ({"objects": ("/5",)}, {"north-1"}),
            ({"objects": ("/5/0",)}, {"north-1"}),
            ({"objects": ("/5/1",)}, set()),
            ({"manufacturer": "*"}, set()),
            ({"profile": "none"}, set()),
        ]
        for match, expected in cases:
            self.put(template(VALUE, **match))  # type: ignore[arg-type]
            found = {each for each in ("north-1", "south-1") if self.wishes(each)}
            self.assertEqual(found, expected, match)

    def test_profile(self) -> None:
        """A profile that fits a device, or that it is given by hand, brings its template, and takes it along."""
        profiles = self.bench.server.device_profiles
        for name, endpoints in (("north", "north-*"), ("spare", None)):
            found = {"name": name, "match": {} if endpoints is None else {"endpoint": endpoints}}
            profiles.put(msgspec.convert(found, Definition), lambda ok, now: self.assertTrue(ok))
            self.bench.settle()
        device = self.bench.registered("north-1", 1)
        self.observable(device, VALUE, "/3/0/9")
        self.put(template(VALUE, profile="north"))
        self.put(template("/3/0/9", name="u", profile="spare"))
        self.assertEqual(self.wishes("north-1"), {VALUE: ("t", "active")})
        for profile, wishes in (
            ("spare", {VALUE: ("t", "active"), "/3/0/9": ("u", "active")}),
            (None, {VALUE: ("t", "active")}),
        ):
            self.bench.server.amend("north-1", self.bench.now, lambda ok, now: None, profile=profile)
            self.bench.settle()
            self.bench.advance(0.1)
            self.assertEqual(self.wishes("north-1"), wishes, profile)

    def test_model(self) -> None:
        """What a device says it is is asked for, and then the template is for it."""
        self.put(template(VALUE, model="X-*"))
        device = self.bench.device("d")
        self.observable(device, VALUE)
        device.answers[n.GET, "/3/0/1"] = Answer(n.CONTENT, b"X-1", n.TEXT)
        device.register("lwm2m=1.1", "lt=300")
        self.bench.advance(0.1)
        self.assertEqual(self.wishes(), {VALUE: ("t", "active")})

    def test_model_of_a_fleet(self) -> None:
        """Devices that are there already are asked what they are when a template comes that depends on it, once."""
        device = self.bench.device("d")
        self.observable(device, VALUE)
        device.answers[n.GET, "/3/0/1"] = Answer(n.CONTENT, b"X-1", n.TEXT)
        device.register("lwm2m=1.1", "lt=300")
        self.put(template(VALUE, model="X-*"))
        self.bench.advance(1)
        self.assertEqual(self.wishes(), {VALUE: ("t", "active")})
        device.register("lwm2m=1.1", "lt=600")
        self.bench.advance(1)
        self.assertEqual([each.path for each in device.requests].count(("3", "0", "1")), 1)

    def test_labels_change(self) -> None:
        """Labels that the operator changes make wishes and take them back."""
        device = self.bench.registered()
        self.observable(device, VALUE)
        self.put(template(VALUE, labels="farm=north"))
        self.assertEqual(self.wishes(), {})
        for labels, expected in (({"farm": "north"}, {VALUE: ("t", "active")}), ({"farm": None}, {})):
            self.bench.server.amend("d", self.bench.now, lambda ok, now: None, labels=labels)
            self.bench.settle()
            self.bench.advance(0.1)
            self.assertEqual(self.wishes(), expected)

    def test_objects_change(self) -> None:
        """An Update with another list of Objects does the same."""
        device = self.bench.registered("d", 1, links="</3/0>")
        self.put(template("/3303"))
        self.assertEqual(self.wishes(), {})
        device.update(links="</3/0>,</3303/0>")
        self.bench.advance(0.1)
        self.assertEqual(set(self.wishes()), {"/3303/0"})


class LifeTests(Base):
    """From the template to the wishes, and back."""

    def test_registers(self) -> None:
        """A device that registers has its wishes made and established; attributes go ahead."""
        text = b'{"name":"t","observe":[{"path":"/3303/*/5700","attributes":{"pmax":60},"format":"text"}]}'
        self.put(msgspec.json.decode(text, type=Template))
        device = self.bench.device("d")
        self.observable(device, VALUE)
        device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        device.register("lwm2m=1.1", "lt=300")
        sent = [(message.code, message.query, message.accept) for message in device.requests]
        self.assertEqual(sent, [(n.PUT, ("pmax=60",), None), (n.GET, (), n.TEXT)])
        self.assertEqual(self.wishes(), {VALUE: ("t", "active")})
        device.requests.clear()
        device.update()
        device.register("lwm2m=1.1", "lt=300")
        self.assertEqual([message.code for message in device.requests], [n.PUT, n.GET])

    def test_versions(self) -> None:
        """A device is not sent attributes that its version does not know."""
        attributes = b'{"pmax":60,"epmin":1,"con":1}'
        text = b'{"name":"t","observe":[{"path":"/3303/0/5700","attributes":%b}]}' % attributes
        self.put(msgspec.json.decode(text, type=Template))
        expected = {"1.0": ("pmax=60",), "1.1": ("pmax=60", "epmin=1"), "1.2": ("pmax=60", "epmin=1", "con=1")}
        for number, (version, query) in enumerate(expected.items(), 5):
            device = self.bench.device(version, number)
            device.register(f"lwm2m={version}", "lt=300")
            self.assertEqual([message.query for message in device.requests], [query])

    def test_taken_back(self) -> None:
        """A template that is taken back takes its wishes along, and the device is told."""
        device = self.bench.registered()
        self.observable(device, VALUE)
        self.put(template(VALUE))
        self.assertEqual(self.wishes(), {VALUE: ("t", "active")})
        self.remove("t")
        self.assertEqual((self.wishes(), device.requests[-1].observe), ({}, 1))
        self.assertRaises(UnknownTemplate, self.bench.server.templates.get, "t")
        self.assertRaises(UnknownTemplate, self.bench.server.templates.remove, "t", lambda ok, now: None)

    def test_changed(self) -> None:
        """A template that is put again changes its wishes, and only those that are others now."""
        device = self.bench.registered()
        self.observable(device, VALUE, "/3/0/1")
        self.put(template(VALUE))
        token = self.bench.server.devices["d"].observations[0].token
        before = len(device.requests)
        self.put(template(VALUE, "/3/0/1"))
        self.assertEqual([message.path for message in device.requests[before:]], [("3", "0", "1")])
        self.assertEqual(self.wishes(), {VALUE: ("t", "active"), "/3/0/1": ("t", "active")})
        self.assertIn(token, [wish.token for wish in self.bench.server.devices["d"].observations])

    def test_operator_first(self) -> None:
        """What an operator wished stays his, with the template and after it."""
        self.bench.registered()
        request = OperationRequest(op="observe", path=VALUE, format="tlv")
        wish, _, _ = self.bench.server.observe("d", request, self.bench.now)
        self.bench.settle()
        self.put(template(VALUE))
        self.remove("t")
        self.assertIs(self.bench.server.observation("d", Path.parse(VALUE)), wish)

    def test_two_templates(self) -> None:
        """Of two templates for one path the first by name counts; when it goes the other one's turn comes."""
        self.bench.registered()
        self.put(template(VALUE, name="b"))
        self.put(template(VALUE, name="a"))
        self.assertEqual(self.wishes()[VALUE][0], "a")
        self.assertRaises(
            LimitReached, self.bench.server.templates.put, template(VALUE, name="c"), lambda ok, now: None
        )
        self.remove("a")
        self.assertEqual(self.wishes()[VALUE][0], "b")

    def test_limit(self) -> None:
        """A template makes no more wishes than a device may have; what is left out is counted."""
        self.bench.registered()
        self.put(template("/3/0/0", "/3/0/1", "/3/0/2", "/3/0/3"))
        self.assertEqual(len(self.wishes()), 3)
        self.assertEqual(self.bench.server.counters["template_wishes_refused"], 1)

    def test_not_stored(self) -> None:
        """A template that can't be stored is none."""
        self.bench.failing = True
        outcomes: list[bool] = []
        self.bench.server.templates.put(template(VALUE), lambda ok, now: outcomes.append(ok))
        self.bench.settle()
        self.assertEqual((outcomes, dict(self.bench.server.templates.templates)), ([False], {}))

    def test_restart(self) -> None:
        """Templates survive a restart; what their change had not come to before is made up for."""
        device = self.bench.registered()
        self.observable(device, VALUE)
        self.bench.server.templates.put(template(VALUE), lambda ok, now: None)
        self.bench.settle()
        self.bench, faults = self.bench.restart()
        self.bench.advance(0.1)
        self.assertEqual((faults, self.wishes()), ([], {VALUE: ("t", "active")}))
        self.bench.server.templates.remove("t", lambda ok, now: None)
        self.bench.settle()
        self.bench.tables["observations"].update({})
        self.bench, faults = self.bench.restart()
        self.bench.advance(0.1)
        self.assertEqual((faults, self.wishes()), ([], {}))

    def test_paced(self) -> None:
        """A new template looks at fifty devices at a time."""
        for number in range(120):
            self.bench.registered(f"e{number}", number + 10)
        self.bench.server.templates.put(template(VALUE), lambda ok, now: None)
        self.bench.settle()
        counts = []
        for _ in range(4):
            self.bench.tick()
            counts.append(len(self.bench.server.observations))
            self.bench.now += 0.1
        self.assertEqual(counts, [50, 100, 120, 120])

    def test_changed_meanwhile(self) -> None:
        """While all devices are looked at, one that changes has its turn next; another change begins anew."""
        for number in range(120):
            self.bench.registered(f"e{number}", number + 10)
        server = self.bench.server
        server.templates.put(template(VALUE), lambda ok, now: None)
        self.bench.settle()
        self.bench.tick()
        server.amend("e119", self.bench.now, lambda ok, now: None, labels={"farm": "north"})
        server.templates.put(template("/3/0/9", name="u"), lambda ok, now: None)
        self.bench.settle()
        self.bench.advance(0.1)
        found = [endpoint for endpoint, device in server.devices.items() if len(device.observations) == 2]
        self.assertEqual(found, [f"e{number}" for number in (*range(49), 119)])
        server.forget("e118", self.bench.now, lambda ok, now: None)
        self.bench.advance(1)
        self.assertEqual({len(device.observations) for device in server.devices.values()}, {2})

    def test_silent_until_observed(self) -> None:
        """The quirk of devices that say nothing until /19/0/0 is observed: a template observes it."""
        self.put(template("/19/0/0", objects=("/19/0",)))
        device = self.bench.device("d")
        device.answers[n.GET, "/19/0/0"] = Answer(n.CONTENT, b"\x00", n.OPAQUE, observe=1)
        device.register("lwm2m=1.0", "lt=300", links="</3/0>,</19/0>,</19/1>")
        self.assertEqual(self.wishes(), {"/19/0/0": ("t", "active")})
