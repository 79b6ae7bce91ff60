"""The test Objects 3441 and 3442: what their executables leave behind."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.numbers import GET, POST, PUT, SENML_JSON, TEXT
from lwm2md.device import testobjects
from lwm2md.device.objects import Settings
from lwm2md.device.tree import Stored
from lwm2md.lwm2m.paths import Path
from tests.device.harness import Pair

_OBJECTS = (3441, 3442)


def _started() -> Pair:
    instances: dict[Path, dict[int, Stored]] = {Path((number, 0)): {} for number in _OBJECTS}
    pair = Pair(Settings("d", 300, "1.1", instances=instances), *_OBJECTS)
    pair.start()
    return pair


def _values(pair: Pair, number: int) -> dict[str, object]:
    """What an Instance shows, by name below it."""
    answer = pair.ask(GET, f"/{number}/0", accept=SENML_JSON)
    base, found = "", {}
    for record in json.loads(answer.payload):
        base = record.get("bn", base)
        name = (base + record.get("n", "")).removeprefix(f"/{number}/0/")
        found[name] = next(value for key, value in record.items() if key in ("v", "vs", "vb", "vd", "vlo"))
    return found


class ExecutableTests(SynchronousTestCase):
    """Reset, Randomize, Clear and Exec With Arguments."""

    def test_initial(self) -> None:
        """An Instance that is given no values starts with a known one of every type, and two where it is multiple."""
        for number in _OBJECTS:
            found = _values(_started(), number)
            self.assertEqual((found["110"], found["120"], found["1120/1"]), ("initial", -1024, -1024))
            types = {110, 120, 130, 140, 150, 160, 170} | ({125, 180} if number == 3442 else set())
            single = {str(kind) for kind in types}
            several = {f"{kind + 1000}/{instance}" for kind in types for instance in (0, 1)}
            self.assertEqual(found.keys(), single | several)

    def test_resources_to_send(self) -> None:
        """Only an Execute of Send Data sends anything; Reset and Clear leave nothing to send."""
        pair = _started()
        tree = pair.device._own.tree
        for resource in (0, 2):
            tree.put(Path((3442, 0, 6, 3)), "/3/0/0")
            found = [testobjects.to_send(tree, Path((3442, 0, number))) for number in (4, 5)]
            self.assertEqual(found, [(), (Path((3, 0, 0)),)])
            pair.ask(POST, f"/3442/0/{resource}")
            self.assertEqual(testobjects.to_send(tree, Path((3442, 0, 5))), ())
        self.assertEqual(testobjects.to_send(tree, Path((3, 0, 5))), ())

    def test_clear(self) -> None:
        """Clear leaves empty values and no Resource Instances."""
        for number in _OBJECTS:
            pair = _started()
            self.assertEqual(pair.ask(POST, f"/{number}/0/2").code, numbers.CHANGED)
            found = _values(pair, number)
            self.assertEqual((found["110"], found["120"], found["140"], found["170"]), ("", 0, False, "65535:65535"))
            self.assertFalse([name for name in found if "/" in name])

    def test_randomize_and_reset(self) -> None:
        """Randomize changes values to others of their type, each time; Reset brings the known ones back."""
        for number in _OBJECTS:
            pair = _started()
            known = _values(pair, number)
            pair.ask(POST, f"/{number}/0/1")
            first = _values(pair, number)
            pair.ask(POST, f"/{number}/0/1")
            second = _values(pair, number)
            for name in ("110", "120", "130", "150", "160"):
                self.assertEqual(len({str(one[name]) for one in (known, first, second)}), 3, name)
            pair.ask(POST, f"/{number}/0/0")
            self.assertEqual(_values(pair, number), known)

    def test_arguments(self) -> None:
        """Each argument is in the list under its digit, as an empty string without a value; the next list replaces."""
        pair = _started()
        pair.ask(POST, "/3441/0/3", b"2='10.3',7", content_format=TEXT)
        found = _values(pair, 3441)
        self.assertEqual({name: found[name] for name in found if name.startswith("4/")}, {"4/2": "10.3", "4/7": ""})
        pair.ask(POST, "/3441/0/3")
        self.assertFalse([name for name in _values(pair, 3441) if name.startswith("4/")])

    def test_observer_is_told(self) -> None:
        """What an executable changes is notified."""
        pair = _started()
        _, seen = pair.observe("/3442/0/120")
        pair.ask(POST, "/3442/0/2")
        pair.settle()
        self.assertEqual([message.payload for message in seen], [b"-1024", b"0"])

    def test_factory_reset(self) -> None:
        """A Factory Reset brings the known values back."""
        pair = _started()
        pair.ask(PUT, "/3442/0/120", b"5", content_format=TEXT)
        pair.ask(POST, "/3/0/5")
        pair.advance(2)
        self.assertEqual(pair.ask(GET, "/3442/0/120").payload, b"-1024")

    def test_without_effect(self) -> None:
        """An executable of any other Object is accepted, arguments and all, and does nothing."""
        pair = Pair(Settings("d", 300, "1.1", instances={Path((10340, 0)): {1: "Gate"}}), 10340)
        pair.start()
        self.assertEqual(pair.ask(POST, "/10340/0/100", b"0='up'", content_format=TEXT).code, numbers.CHANGED)
        self.assertEqual(pair.errors, [])
