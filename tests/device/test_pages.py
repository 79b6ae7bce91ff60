"""What the page about the device shows is true, and the worlds that come with the program run."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.device import fields, worldfile
from lwm2md.device.behaviour import DEEDS
from lwm2md.device.client import Client
from lwm2md.device.faults import WorldErrors
from lwm2md.device.objects import Settings
from lwm2md.device.script import ScriptedWorld
from lwm2md.device.worldfile import WorldFile
from lwm2md.device_plan import load
from lwm2md.device_tap import Options
from tests.device.harness import NOW, SERVER, counting, models

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "device.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
RECORDINGS = re.findall(r"`(\w+\.csv)` beside it:\n\n```csv\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
WORLDS = sorted((ROOT / "etc" / "worlds").glob("*.toml"))


def parsed(text: str) -> WorldFile:
    """An example of the page."""
    return worldfile.parse(text, file="page", models=models(), read_file=dict(RECORDINGS).__getitem__)


def live(world: WorldFile) -> list[str]:
    """Let a device of that world live for an hour; what it could not cope with."""
    errors: list[str] = []
    script = world.script
    assert script.supported is not None
    settings = script.settle(Settings("d-1", world.lifetime or 300, world.version or "1.1"), 1)
    client = Client(
        settings,
        supported=script.supported,
        server=SERVER,
        world=ScriptedWorld(script, "d-1", NOW),
        random=counting(),
        report=lambda text, detail: None,
        now=NOW,
        on_error=errors.append,
    )
    client.start(NOW)
    for second in range(3600):
        client.expire(NOW + second)
    return errors


class PageTests(SynchronousTestCase):
    """``docs/device.md``."""

    def test_examples_run(self) -> None:
        """Every world on the page is right, and a device lives in it."""
        self.assertGreater(len(EXAMPLES), 0)
        for text in EXAMPLES:
            self.assertEqual(live(parsed(text)), [])

    def test_example_is_complete(self) -> None:
        """The complete example has every table and moves in every way that it says."""
        world = parsed(EXAMPLES[0])
        self.assertEqual((world.fleet, world.queue, len(world.script.motions)), (20, True, 6))
        self.assertEqual([event.do for event in world.script.events], ["reboot", "address", "offline", "set"])
        self.assertEqual(world.script.behaviour.late, (0.1, 1.5))

    def test_mistakes_as_shown(self) -> None:
        """The mistakes on the page are told as the page says."""
        text = "[device]\nlifetme = 5\n[objects.3.0]\n9 = 200\n"
        with self.assertRaises(WorldErrors) as caught:
            worldfile.parse(text, file="tank.toml", models=models(), read_file=str)
        first, second = map(str, caught.exception.faults)
        shown = re.findall(r"^    lwm2m-device: (tank\.toml.*)$", PAGE, re.MULTILINE)
        self.assertEqual(second, shown[1])
        before, after = shown[0].split("…")
        self.assertTrue(first.startswith(before) and first.endswith(after), first)

    def test_options_are_documented(self) -> None:
        """The page has every option of the command."""
        for name in (*Options().longOpt,):
            self.assertTrue(name.rstrip("=") in ("help",) or f"`--{name.rstrip('=')}" in PAGE, name)

    def test_keys_are_documented(self) -> None:
        """The page has every key of every table, every function, and everything that can happen."""
        seen: set[str] = set(DEEDS)
        take = fields.Table.take

        def taking(table: fields.Table, key: str, reader: object, default: object) -> object:
            seen.add(key)
            return take(table, key, reader, default)  # type: ignore[arg-type]

        self.patch(fields.Table, "take", taking)
        functions = ("walk", "sine", "square", "toggle", "counter", "replay", "constant")
        rows = "".join(f"{number} = {{ function = '{name}' }}\n" for number, name in enumerate(functions))
        events = "".join(f"[[event]]\nat = 1\ndo = '{deed}'\n" for deed in DEEDS)
        text = f"[objects.40000.0]\n{rows}[behaviour]\nsleep = {{}}\nwrong = {{}}\n{events}[[child]]\n"
        with self.assertRaises(WorldErrors):
            parsed(text)
        self.assertGreater(len(seen), 40)
        for word in (*seen, *functions):
            self.assertTrue(f"`{word}`" in PAGE or f"[{word}" in PAGE, word)


class WorldTests(SynchronousTestCase):
    """The files in ``etc/worlds``."""

    def test_worlds(self) -> None:
        """Every world that comes with the program is right, and a device lives in it."""
        self.assertEqual([path.name for path in WORLDS], ["camera.toml", "sensors.toml"])
        for path in WORLDS:
            self.assertEqual(live(load(str(path), models())), [])
