"""World files: what they become, and what is said about their mistakes."""

from __future__ import annotations

import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.device.behaviour import DEEDS, Behaviour, Event
from lwm2md.device.faults import WorldErrors, nearest, shown
from lwm2md.device.functions import Counter, Cycle, Replay, Sine, Walk
from lwm2md.device.objects import Child, Settings
from lwm2md.device.script import fill
from lwm2md.device.sending import Sending
from lwm2md.device.worldfile import Given, WorldFile, parse, read
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, ResourceType
from tests.device.harness import models

FILES = {
    "day.csv": "seconds,lux,wet\n0,10,0\n60,20.5,1\n\n120,30,0\n",
    "bare.csv": "0,1\n10,2\n",
    "back.csv": "0,1\n10,2\n5,3\n",
    "short.csv": "0,1\n10\n",
    "words.csv": "0,warm\n",
    "cold.csv": "0,-300\n",
    "empty.csv": "\n",
    "head.csv": "seconds,lux\n",
}


def read_file(name: str) -> str:
    """The text of one of our files."""
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[name]


def parsed(text: str, given: Given | None = None) -> WorldFile:
    """What a file becomes."""
    return parse(text, file="w.toml", models=models(), read_file=read_file, given=given)


def faults(text: str) -> list[str]:
    """What is said about a file, without its name."""
    try:
        parsed(text)
    except WorldErrors as errors:
        return [str(fault).removeprefix("w.toml: ") for fault in errors.faults]
    return []


class SettingTests(SynchronousTestCase):
    """The tables ``[device]`` and ``[behaviour]`` and the events."""

    def test_empty(self) -> None:
        """An empty file leaves everything as it is built in."""
        found = parsed("")
        self.assertIsNone(found.script.supported)
        self.assertFalse(found.script.acts)
        self.assertEqual((found.endpoint, found.fleet, found.version, found.labels), (None, None, None, ()))

    def test_device(self) -> None:
        """Every setting of the device finds its place."""
        found = parsed(
            '[device]\nserver = "coap://h"\nendpoint = "d-{n}"\nfleet = 3\nstagger = 1\ninterval = 5\nversion = "1.2"\n'
            'lifetime = 60\nqueue = true\npath = "/lwm2m"\nformats = ["tlv", "text"]\nreport-format = "tlv"\n'
            'profile = 1\nlabels = { farm = "north", row = 7 }\n'
        )
        self.assertEqual((found.server, found.endpoint, found.fleet, found.stagger), ("coap://h", "d-{n}", 3, 1.0))
        self.assertEqual((found.interval, found.version, found.lifetime, found.queue), (5.0, "1.2", 60, True))
        self.assertEqual((found.path, found.formats, found.report_format), ("/lwm2m", ("tlv", "text"), "tlv"))
        self.assertEqual((found.profile, found.labels), (1, (("farm", "north"), ("row", "7"))))

    def test_behaviour(self) -> None:
        """Sleep, lost, late and wrong answers."""
        found = parsed(
            "[behaviour]\nsleep = { awake = 20, asleep = 600 }\ndrop = 3\nlate = [1, 2.5]\nloss = 0.1\n"
            'wrong = { every = 5, code = "5.03" }\n'
        )
        self.assertEqual(
            found.script.behaviour, Behaviour(20.0, 600.0, 3, 5, numbers.SERVICE_UNAVAILABLE, (1.0, 2.5), 0.1)
        )
        self.assertEqual(parsed("[behaviour]\nlate = 2").script.behaviour.late, (2.0, 2.0))

    def test_sleep(self) -> None:
        """What a sleeping device wakes up for, whether it keeps its port, and what it stores meanwhile."""
        found = parsed(
            '[device]\nhistory = 7\nunacknowledged = "keep"\n[behaviour.sleep]\nawake = 20\nwakes-for = ["send"]\n'
            "keep-port = true\n[[event]]\nat = 5\ndo = 'offline'\nback = 60\n"
        )
        self.assertEqual((found.history, found.keeps), (7, True))
        self.assertEqual(found.script.behaviour, Behaviour(20.0, wakes=("send",), keeps_port=True))
        self.assertEqual(found.script.events, (Event("offline", 5.0, back=60.0),))
        self.assertEqual(parsed("[behaviour.sleep]\nawake = 1\nwakes-for = []").script.behaviour.wakes, ())
        usual = parsed('[device]\nunacknowledged = "cancel"')
        self.assertEqual((usual.history, usual.keeps, parsed("").keeps), (100, False, False))

    def test_sendings(self) -> None:
        """What is sent, when, and in which format; without any time that is a mistake."""
        found = parsed(
            '[[send]]\npaths = ["/3/0/9", "/6"]\nevery = 600\ncollect = 60\n'
            'format = "senml-json"\nconfirmable = false\n'
            '[[send]]\npaths = ["/3303/0/5700"]\non-change = true\n'
        )
        self.assertEqual(
            found.sendings,
            (
                Sending((Path((3, 0, 9)), Path((6,))), 600.0, 60.0, False, False, numbers.SENML_JSON),
                Sending((Path((3303, 0, 5700)),), on_change=True),
            ),
        )
        self.assertEqual(
            faults('[[send]]\npaths = ["/x"]\nformat = "tlv"\n'),
            [
                "send[1].paths = [...]: expected the path of a resource such as /3/0/0 ('x' is not an id)",
                "send[1].every: expected a number of seconds, or 'on-change'",
                "send[1].format = 'tlv': expected one of senml-cbor, senml-json, lwm2m-cbor",
            ],
        )

    def test_events(self) -> None:
        """Events happen once or again and again, and have defaults of their own."""
        found = parsed(
            '[[event]]\nat = 60\ndo = "reboot"\n[[event]]\nevery = 30\ndo = "address"\nquiet = true\n'
            '[[event]]\nat = 5\ndo = "set"\npath = "/3342/0/5500"\nvalue = true\n[[event]]\nat = 9\ndo = "die"\n'
            "[values]\n'/3342/0/5500' = false\n"
        )
        self.assertEqual(
            found.script.events,
            (
                Event("reboot", 60.0, back=1.0),
                Event("address", 30.0, 30.0, quiet=True),
                Event("set", 5.0, path=Path((3342, 0, 5500)), value=True),
                Event("die", 9.0),
            ),
        )

    def test_given_version_decides(self) -> None:
        """The version of the command line stands over the file's, for the models too."""
        text = "[device]\nversion = '1.0'\n[objects.1.0]\n17 = 3\n"
        self.assertEqual(len(faults(text)), 1)
        self.assertIn(17, (parsed(text, Given("1.2")).script.supported or {})[1].resources)


class ObjectTests(SynchronousTestCase):
    """The Objects and values of a device."""

    def test_always_there(self) -> None:
        """With objects of its own a device has these, and the Server and the Device Object."""
        script = parsed("[objects.3342.0]\n5500 = true\n").script
        assert script.supported is not None
        self.assertEqual(sorted(script.supported), [1, 3, 3342])
        self.assertEqual(script.contents, {Path((3342, 0)): {5500: True}})
        self.assertEqual(script.supported[3342].model.name, "On/Off switch")

    def test_types(self) -> None:
        """Values get the types of their models: numbers, times, opaque values, links, several at once."""
        script = parsed(
            '[objects.3.0]\n0 = "ACME"\n7 = [5000, 3700]\n11 = { 0 = 1, 4 = 2 }\n13 = 2026-01-01T00:00:00Z\n'
            '[objects.3441.0]\n110 = "x"\n120 = -7\n130 = 2\n140 = true\n150 = "3q0="\n160 = 5\n170 = "3:0"\n'
        ).script
        self.assertEqual(
            script.contents[Path((3, 0))], {0: "ACME", 7: {0: 5000, 1: 3700}, 11: {0: 1, 4: 2}, 13: 1767225600}
        )
        test = script.contents[Path((3441, 0))]
        self.assertEqual(
            test, {110: "x", 120: -7, 130: 2.0, 140: True, 150: b"\xde\xad", 160: 5, 170: ObjectLink(3, 0)}
        )
        self.assertIs(type(test[130]), float)

    def test_instances(self) -> None:
        """Instances share what is in ``each``; what is their own stands over it; the server creates the like."""
        script = parsed('[objects.3303]\ninstances = 3\neach = { 5700 = 20.0, 5701 = "Cel" }\n1.5700 = 4.5\n').script
        self.assertEqual([script.contents[Path((3303, n))][5700] for n in range(3)], [20.0, 4.5, 20.0])
        assert script.supported is not None
        self.assertEqual(
            (script.supported[3303].dynamic, script.supported[3303].fill), (True, {5700: 20.0, 5701: "Cel"})
        )
        self.assertEqual(sorted(parsed("[objects.3303]\ninstances = [4, 2]\n").script.contents), [(3303, 2), (3303, 4)])

    def test_by_path(self) -> None:
        """Single values may be given by path, down to a Resource Instance."""
        script = parsed('[values]\n"/3/0/0" = "ACME"\n"/3/0/7/1" = 3700\n"/6/0/0" = 46.5\n').script
        self.assertEqual(script.contents, {Path((3, 0)): {0: "ACME", 7: {1: 3700}}, Path((6, 0)): {0: 46.5}})

    def test_unknown_object(self) -> None:
        """Types of an Object without a model are given, or inferred from the values; there may be executables."""
        script = parsed(
            '[objects.40000]\nversion = "2.1"\nname = "Pump"\n[objects.40000.0]\n1 = 2.5\n2 = "on"\n3 = true\n4 = 7\n'
            '5 = { value = 7, type = "float" }\n6 = { operations = "E" }\n7 = { value = 1, operations = "R" }\n'
            "8 = [1, 2]\n"
            '9 = { function = "toggle", every = 2 }\n10 = { function = "counter" }\n'
        ).script
        assert script.supported is not None
        model = script.supported[40000].model
        self.assertEqual((model.version, model.name), ("2.1", "Pump"))
        self.assertEqual(
            "".join(model.resources[number].type.value[0] for number in range(1, 11)), "fsbif" + "n" + "iibi"
        )
        self.assertEqual((model.resources[6].operations, model.resources[7].operations), ("E", "R"))
        self.assertTrue(model.resources[8].multiple)
        self.assertEqual(script.contents[Path((40000, 0))][5], 7.0)

    def test_nothing_named(self) -> None:
        """An Object of which no Resource is named is there as a whole."""
        script = parsed("[objects.3442.0]\n[objects.6]\n[objects.25]\ndynamic = true\n").script
        assert script.supported is not None
        self.assertIn(110, script.supported[3442].resources)
        self.assertEqual((script.supported[6].dynamic, script.supported[25].dynamic), (False, True))
        self.assertEqual(script.contents, {Path((3442, 0)): {}})

    def test_extra_resource(self) -> None:
        """A Resource that the model does not have is there when it is given a type."""
        script = parsed('[objects.3303.0]\n7000 = { value = 3, type = "integer" }\n').script
        assert script.supported is not None
        self.assertEqual(script.supported[3303].model.resources[7000].type, ResourceType.INTEGER)

    def test_functions(self) -> None:
        """Every function of time, with what it was given and what it takes from the model and the interval."""
        script = parsed(
            "[device]\ninterval = 7\n[objects.3303.0]\n"
            '5700 = { function = "walk", start = 20, step = 0.5, min = 10, max = 30, every = 3 }\n'
            '5601 = { function = "sine", period = 60, amplitude = 2, offset = 9, phase = "random" }\n'
            '[objects.3.0]\n9 = { function = "counter", step = 5 }\n'
            '[objects.3342.0]\n5500 = { function = "toggle" }\n'
            '[objects.3301.0]\n5700 = { function = "replay", file = "day.csv", column = "lux", loop = true }\n'
            '5601 = { function = "square", period = 10, low = 1, high = 2, digits = 1 }\n'
        ).script
        found = {str(motion.path): motion.function for motion in script.motions}
        self.assertEqual(
            found,
            {
                "/3303/0/5700": Walk(20, 0.5, 10, 30, 3),
                "/3303/0/5601": Sine(60, 2, 9, None, 7),
                "/3/0/9": Counter(0, 5, 7, 100),
                "/3342/0/5500": Cycle((False, True), 7),
                "/3301/0/5700": Replay((0, 60, 120), (10.0, 20.5, 30.0), True),
                "/3301/0/5601": Cycle((1.0, 2.0), 5),
            },
        )

    def test_places(self) -> None:
        """Places for name and number are filled in, everything else in braces stays."""
        for text, expected in (
            ("SN-{endpoint}", "SN-pump"),
            ("{n}", "7"),
            ("{n:06d}/{n:3}", "000007/  7"),
            ('{"a": {nn}}', '{"a": {nn}}'),
            ("{n!r}{endpoint.x}", "{n!r}{endpoint.x}"),
        ):
            self.assertEqual(fill(text, "pump", 7), expected)
        script = parsed('[objects.3.0]\n2 = "SN-{n}"\n').script
        self.assertEqual(script.settle(Settings("pump"), 7).instances, {Path((3, 0)): {2: "SN-7"}})
        self.assertEqual(parsed("").script.settle(Settings("pump"), 7), Settings("pump"))

    def test_children(self) -> None:
        """Devices behind a gateway have Objects of their own; the gateway supports theirs and the Gateway Object."""
        script = parsed(
            '[[child]]\nendpoint = "{endpoint}-1"\nprefix = "d01"\n[child.objects.3303.0]\n5700 = 4.5\n'
            '[[child]]\nendpoint = "{endpoint}-2"\nprefix = "d02"\n[child.objects.40000.0]\n1 = "{n}"\n'
        ).script
        assert script.supported is not None
        self.assertEqual(sorted(script.supported), [1, 3, 25, 3303, 40000])
        self.assertEqual(
            script.settle(Settings("g"), 3).children,
            (
                Child("g-1", "d01", {Path((3303, 0)): {5700: 4.5}}),
                Child("g-2", "d02", {Path((40000, 0)): {1: "3"}}),
            ),
        )


class MistakeTests(SynchronousTestCase):
    """What is said about mistakes: where, what stands there, what is expected, and what was probably meant."""

    TABLE = (
        ("[device]\nversoin = '1.1'", "device.versoin = '1.1': expected one of the keys", "did you mean 'version'?"),
        ("[device]\nversion = '1.3'", "device.version = '1.3': expected one of 1.0, 1.1, 1.2", ""),
        ("[device]\nlifetime = 0", "device.lifetime = 0: expected a whole number from 1 to 2147483647", ""),
        ("[device]\nlifetime = true", "device.lifetime = true: expected a whole number", ""),
        ("[device]\nqueue = 1", "device.queue = 1: expected true or false", ""),
        ("[device]\nformats = ['tlv', 'txt']", "device.formats = [...]: expected one of", "did you mean 'text'?"),
        ("[device]\nlabels = { lt = '5' }", "device.labels.lt = '5': expected a name", ""),
        ("[device]\nlabels = 5", "device.labels = 5: expected a table", ""),
        ("[device]\nbinding = 'T'", "device.binding = 'T': expected some of the letters U M H T S N, with U", ""),
        ("[objects.1.0]\n1 = 60", "objects.1.0.1: expected no value: the lifetime is that of [device]", ""),
        ("[device]\npath = 'lwm2m'", "device.path = 'lwm2m': expected an absolute path", ""),
        ("[divice]", "divice = {}: expected one of the keys", "did you mean 'device'?"),
        ("device = 3", "device = 3: expected a table", ""),
        ("event = 3", "event = 3: expected an array of tables", ""),
        ("[behaviour]\nsleep = {}", "behaviour.sleep.awake: expected it to be given", ""),
        ("[behaviour]\nlate = [3, 1]", "behaviour.late = [...]: expected a number of seconds, or a list", ""),
        ("[behaviour]\nloss = 1.5", "behaviour.loss = 1.5: expected a number from 0 to 1", ""),
        ("[behaviour]\nwrong = { every = 2, code = '2.05' }", "behaviour.wrong.code = '2.05': expected the code", ""),
        ("[[event]]\nat = 3\ndo = 'rebot'", "event[1].do = 'rebot': expected one of", "did you mean 'reboot'?"),
        ("[[event]]\ndo = 'die'", "event[1].at: expected a number of seconds from the start, or 'every'", ""),
        ("[[event]]\nat = 1\ndo = 'update'\nback = 3", "event[1].back = 3: expected one of the keys", ""),
        ("[[event]]\nat = 1\ndo = 'set'\npath = '/9/0/0'\nvalue = 3", "event[1].value = 3: expected the path of", ""),
        ("[[child]]\nprefix = 'd'", "child[1].endpoint: expected it to be given", ""),
        ("[[child]]\nendpoint = 'c'\nprefix = 'a/b'", "child[1].prefix = 'a/b': expected letters and digits", ""),
        (
            "[[child]]\nendpoint = 'c'\nprefix = 'd'\n[child.objects.3303.0]\n5700 = { function = 'walk' }",
            "child[1].objects: expected values that stay: /3303/0/5700",
            "",
        ),
        ("[objects.Temperature]", "objects.Temperature: expected the id of an object", "did you mean '3303'?"),
        ("[objects.0.0]", "objects.0: expected another object: a device never shows", ""),
        ("[objects]\n3303 = 4", "objects.3303 = 4: expected a table", ""),
        ("[objects.3303]\ninstence = 2", "objects.3303.instence: expected the id of", "did you mean 'instances'?"),
        ("[objects.3303]\ninstances = -1", "objects.3303.instances = -1: expected how many there are", ""),
        ("[objects.3.1]", "objects.3.1: expected instance 0: there is a single Device", ""),
        ("[objects.3.0]\nname = 'x'", "objects.3.0.name = 'x': expected the id of a resource", ""),
        ("[objects.3.0]\n00 = 'x'", "objects.3.0.00 = 'x': expected the id of a resource", ""),
        ("[objects.3.0]\n0 = 5", "objects.3.0.0 = 5: expected string for Manufacturer (an integer", ""),
        ("[objects.3.0]\n9 = 101", "objects.3.0.9 = 101: expected integer 0..100 for Battery Level", ""),
        ("[objects.3.0]\n7 = 5", "objects.3.0.7: expected several values", ""),
        ("[objects.3.0]\n9 = [5]", "objects.3.0.9 = [...]: expected a single value (Battery Level)", ""),
        ("[objects.3.0]\n7 = { 0 = 'x' }", "objects.3.0.7.0 = 'x': expected integer for Power Source Voltage", ""),
        ("[objects.3.0]\n4 = 1", "objects.3.0.4 = 1: expected no value: Reboot is executed", ""),
        ("[objects.3.0]\n13 = 2026-01-01T00:00:00", "objects.3.0.13", "expected a date and time with an offset"),
        ("[objects.3303.0]\n57000 = 1.0", "objects.3303.0.57000: expected a resource of Temperature", "'5700'?"),
        ("[objects.3303.0]\n5700 = nan", "objects.3303.0.5700 = nan: expected a finite number", ""),
        ("[objects.3303.0]\n5700 = { value = 1, type = 'integer' }", "5700.type = 'integer': expected float, as", ""),
        ("[objects.40000.0]\n1 = 2030-01-01", "objects.40000.0.1: expected a string, a number", ""),
        ("[values]\n'3/0/0' = 1", "values.'3/0/0': expected the path of a resource", "starts with a slash"),
        ("[values]\n'/3/0' = 1", "values.'/3/0': expected the path of a resource such as /3/0/0", ""),
        ("[values]\n'/0/0/1' = 1", "values.'/0/0/1': expected another object", ""),
    )

    FUNCTIONS = (
        ("function = 'sinus', period = 3", "function = 'sinus': expected one of", "did you mean 'sine'?"),
        ("function = 'sine'", "period: expected it to be given", ""),
        ("function = 'sine', period = 0", "period = 0: expected a number of seconds above 0", ""),
        ("function = 'sine', period = 9, phase = 2", "phase = 2: expected a share of the period", ""),
        ("function = 'walk', start = 5, min = 6", "start = 5: expected a number from 6", ""),
        ("function = 'walk', evry = 6", "evry = 6: expected one of the keys", "did you mean 'every'?"),
        ("function = 'walk', every = 0", "every = 0: expected a number of seconds from 0.1 up", ""),
        ("function = 'counter', step = 0", "step = 0: expected a number from 1e-06", ""),
        ("function = 'square', period = 4, low = 1", "high: expected it to be given", ""),
        ("function = 'toggle', values = [1]", "values = [...]: expected a list of at least 2", ""),
        ("function = 'replay'", "file: expected it to be given", ""),
        ("function = 'replay', file = 'none.csv'", "file = 'none.csv': expected a file that can be read (No such", ""),
        ("function = 'replay', file = 'day.csv', column = 'lax'", "expected one of the file's columns", "mean 'lux'?"),
        (
            "function = 'replay', file = 'bare.csv', column = 'lux'",
            "expected a number, since the file names no columns",
            "",
        ),
        ("function = 'replay', file = 'day.csv', column = 1", "column = 1: expected the number of a column", ""),
        ("function = 'replay', file = 'day.csv', column = 9", "expected a value in column 9 of every row (line 2)", ""),
        ("function = 'replay', file = 'back.csv'", "expected times in seconds that ascend (line 3)", ""),
        ("function = 'replay', file = 'short.csv'", "expected a value in column 2 of every row (line 2)", ""),
        ("function = 'replay', file = 'words.csv'", "expected values of type float (line 1", ""),
        ("function = 'replay', file = 'empty.csv'", "expected a file with at least one row", ""),
        ("function = 'replay', file = 'head.csv'", "expected a file with at least one row", ""),
    )

    def test_mistakes(self) -> None:
        """Each mistake is one line that leads to it."""
        for text, place, hint in self.TABLE:
            found = faults(text)
            self.assertEqual(len(found), 1, (text, found))
            self.assertIn(place, found[0], text)
            self.assertIn(hint, found[0], text)

    def test_mistakes_in_functions(self) -> None:
        """So it is in the tables of functions."""
        for text, place, hint in self.FUNCTIONS:
            found = faults(f"[objects.3303.0]\n5700 = {{ {text} }}")
            self.assertEqual(len(found), 1, (text, found))
            self.assertTrue(found[0].startswith("objects.3303.0.5700."), found[0])
            self.assertIn(place, found[0], text)
            self.assertIn(hint, found[0], text)

    def test_function_and_type(self) -> None:
        """A function of numbers is no function of strings or booleans; one beyond the range is refused."""
        [found] = faults("[objects.3.0]\n0 = { function = 'walk' }")
        self.assertIn("0.function = 'walk': expected one that gives values of type string (Manufacturer)", found)
        [found] = faults("[objects.3.0]\n9 = { function = 'sine', period = 9, offset = 90, amplitude = 20 }")
        self.assertIn("9.amplitude = 20: expected a number from 0 to 10", found)
        [found] = faults("[objects.3.0]\n9 = { function = 'replay', file = 'cold.csv' }")
        self.assertIn("expected values for Battery Level (value -300", found)
        [found] = faults("[objects.3.0]\n0 = { function = 'toggle' }")
        self.assertIn("0.values: expected the values to change between", found)

    def test_all_at_once(self) -> None:
        """Everything that is wrong is told at once."""
        found = faults("[device]\nfleet = 0\nx = 1\n[objects.3.0]\n9 = 200\n0 = 3\n[behaviour]\ndrop = -1\n[other]\n")
        self.assertEqual(len(found), 6, found)

    def test_once(self) -> None:
        """What many Instances share is complained of once."""
        found = faults("[objects.3303]\ninstances = 5\neach = { 5700 = 'hot' }\n")
        self.assertEqual(len(found), 1, found)

    def test_syntax(self) -> None:
        """What is no TOML is told with its line; so are a huge number and tables without end."""
        self.assertIn("w.toml, line 2: expected TOML (", faults("[device]\nqueue =\n")[0])
        self.assertIn("TOML", faults(f"[device]\nfleet = {'9' * 5000}\n")[0])
        self.assertIn("TOML", faults(f"x = {'[' * 100000}")[0])

    def test_one_line(self) -> None:
        """A fault stays on one line whatever stands in the file."""
        [found] = faults('[device]\nserver = "a\\nb"\n')
        self.assertNotIn("\n", found)
        self.assertEqual(shown(10**5000), "a huge number")
        self.assertIsNone(nearest("x" * 100000, ["lifetime"]))


KEYS = st.one_of(
    st.sampled_from(
        [
            "device",
            "objects",
            "values",
            "behaviour",
            "event",
            "seed",
            "child",
            "endpoint",
            "prefix",
            "labels",
            "fleet",
            "formats",
            "server",
        ]
    ),
    st.sampled_from(["function", "value", "type", "operations", "digits", "every", "period", "amplitude", "phase"]),
    st.sampled_from(["low", "high", "start", "step", "min", "max", "values", "file", "column", "loop"]),
    st.sampled_from(["sleep", "awake", "asleep", "drop", "late", "loss", "wrong", "code", "at", "do", "path", "back"]),
    st.sampled_from(
        ["instances", "each", "version", "name", "dynamic", "0", "1", "3", "7", "9", "13", "65535", "3303"]
    ),
    st.sampled_from(["5700", "5701", "40000", "99999", "/3/0/0", "/3303/0/5700", "/3/0/7/1", "/", "/3", "x"]),
)
WORDS = st.sampled_from(
    [
        *DEEDS,
        *("walk", "sine", "square", "toggle", "counter", "replay", "constant", "random", "float", "integer", "R", "E"),
        *("day.csv", "words.csv", "lux", "5.03", "/3/0/9", "1.1", "{n}", "coap://h"),
    ]
)
LEAVES = st.one_of(
    WORDS,
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.datetimes(),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.dates(),
    st.times(),
)
TABLES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=5)
)
FUNCTION = st.dictionaries(KEYS, LEAVES, max_size=8)
RESOURCE = st.dictionaries(st.sampled_from(["0", "7", "9", "5700", "1"]), LEAVES | FUNCTION | TABLES, max_size=4)


class AnythingTests(SynchronousTestCase):
    """Whatever stands in a file, nothing is raised but WorldErrors."""

    def _read(self, content: dict[str, Any]) -> None:
        try:
            found = read(content, file="w.toml", models=models(), read_file=read_file)
        except WorldErrors as errors:
            self.assertTrue(all("\n" not in str(fault) for fault in errors.faults))
            return
        for motion in found.script.motions:
            player = motion.function.player(b"k" * 16)
            for elapsed in (0.0, 0.05, 1e9):
                motion.fit(player.value(elapsed))
                self.assertGreater(player.after(elapsed), elapsed)

    @settings(max_examples=300, deadline=None)
    @given(st.dictionaries(KEYS, TABLES, max_size=6))
    def test_any_table(self, content: dict[str, Any]) -> None:
        """Any table that TOML can hold."""
        self._read(content)

    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["3", "3303", "40000", "3441", "x"]),
            st.dictionaries(st.sampled_from(["0", "1", "each", "instances"]), RESOURCE | LEAVES, max_size=3),
            max_size=3,
        ),
        st.dictionaries(st.sampled_from(["at", "every", "do", "path", "value", "back"]), LEAVES, max_size=6),
    )
    def test_nearly_right(self, objects: dict[str, Any], event: dict[str, Any]) -> None:
        """Tables that are nearly right: objects of functions, and an event."""
        self._read({"objects": objects, "event": [event]})

    @settings(deadline=None)
    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Any text."""
        try:
            parsed(text)
        except WorldErrors as errors:
            self.assertTrue(errors.faults)
