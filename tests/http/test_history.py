"""Tests of the routes of history and twin: what a device told, by time, in pages and in periods, and what is known."""

from __future__ import annotations

from itertools import count
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import fail

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, options
from lwm2md.storage.interface import StorageError
from lwm2md.timestamps import rfc3339
from tests.http.node import START, Answer, Device
from tests.http.support import ApiTestCase

TEMPERATURE = "/3303/0/5700"


class HistoryCase(ApiTestCase):
    """A device that sends."""

    def setUp(self) -> None:
        super().setUp()
        self.device = self.node.device("d")
        self._mids = count(1000)
        self.next: str | None = None

    def send(self, *records: str, device: Device | None = None) -> None:
        """Send records of SenML JSON."""
        asked = options(path=("dp",), content_format=n.SENML_JSON)
        body = f"[{','.join(records)}]".encode()
        (device or self.device).send(Message(n.CON, n.POST, next(self._mids), b"s", asked, body))

    def temperatures(self, number: int, step: float = 10.0, path: str = TEMPERATURE) -> None:
        """Send temperatures 0, 1, 2, ... one each ``step`` seconds from `START` on."""
        self.node.clock.advance(max(0.0, START + number * step - self.node.now()))
        self.send(*(f'{{"n":"{path}","v":{each},"t":{START + each * step}}}' for each in range(number)))

    async def page(self, path: str = TEMPERATURE, **query: object) -> list[Any]:
        """The rows of a page; ``next`` is its cursor."""
        given = "&".join(f"{name.rstrip('_')}={quote(str(value))}" for name, value in query.items())
        seen = await self.call("GET", f"/v1/devices/d/history{path}?{given}")
        self.assertEqual(seen.status, 200, seen.body)
        self.next = seen.json["next"]
        items: list[Any] = seen.json["items"]
        return items

    async def points(self, path: str = TEMPERATURE, **query: object) -> list[tuple[float, object]]:
        """The points of a page: seconds since `START`, and value."""
        return [(_seconds(row["time"]), row["value"]) for row in await self.page(path, **query)]


def _seconds(text: str) -> float:
    for second in range(-100, 2000):
        if rfc3339(START + second) == text:
            return second
    raise AssertionError(text)


def at(seconds: float) -> str:
    """The time so long after `START`."""
    return rfc3339(START + seconds)


class HistoryTests(HistoryCase):
    """Values as they were told."""

    async def test_values(self) -> None:
        """Values come in the order of time, and look as they do everywhere else."""
        self.temperatures(3)
        found = await self.page()
        self.assertEqual([row["value"] for row in found], [0.0, 1.0, 2.0])
        known = {"path": TEMPERATURE, "type": "float", "name": "Sensor Value", "unit": None}
        self.assertEqual(found[2], {**known, "value": 2.0, "time": at(20)})
        self.assertIsNone(self.next)

    async def test_range(self) -> None:
        """The range begins with ``from`` and ends before ``to``; either may be absent."""
        self.temperatures(5)
        self.assertEqual(await self.points(from_=at(10), to=at(30)), [(10, 1.0), (20, 2.0)])
        self.assertEqual(await self.points(from_=at(35)), [(40, 4.0)])
        self.assertEqual(await self.points(to=at(0.001)), [(0, 0.0)])
        self.assertEqual(await self.points(from_=at(30), to=at(10)), [])

    async def test_pages(self) -> None:
        """A cursor leads through all values, and through all paths below the one that was asked for."""
        for path in ("/3303/0/5700", "/3303/0/5601", "/3303/10/5700", "/33030/0/0"):
            self.temperatures(5, path=path)
        found: list[tuple[str, float]] = []
        after: dict[str, object] = {}
        for _ in range(8):
            rows = await self.page("/3303", limit=2, **after)
            found += [(row["path"], row["value"]) for row in rows]
            after = {"after": self.next}
        paths = ("/3303/0/5601", "/3303/0/5700", "/3303/10/5700")
        self.assertEqual(found, [(path, float(value)) for path in paths for value in range(5)])
        self.assertIsNone(self.next)

    async def test_levels(self) -> None:
        """A path stands for itself and what is below it, and for nothing that only begins alike."""
        self.send(*(f'{{"n":"{path}","v":1}}' for path in ("/3/0/7/0", "/3/0/7/1", "/3/0/9", "/3/0/70")))
        for path, expected in (
            ("/3/0/7", ["/3/0/7/0", "/3/0/7/1"]),
            ("/3/0/7/1", ["/3/0/7/1"]),
            ("/3/0", ["/3/0/7/0", "/3/0/7/1", "/3/0/70", "/3/0/9"]),
            ("/3/0/1", []),
        ):
            self.assertEqual([row["path"] for row in await self.page(path)], expected)

    async def test_types(self) -> None:
        """Values of all types are shown as they are when they are read."""
        self.send('{"bn":"/3442/0/","n":"110","vs":"x"}', '{"n":"120","v":-5}', '{"n":"140","vb":true}')
        self.send('{"bn":"/3442/0/","n":"150","vd":"3q0"}', '{"n":"160","v":1700000000}', '{"n":"170","vlo":"3:0"}')
        found = {row["path"][8:]: (row["type"], row["value"]) for row in await self.page("/3442")}
        self.assertEqual(
            found,
            {
                "110": ("string", "x"),
                "120": ("integer", -5),
                "140": ("boolean", True),
                "150": ("opaque", "3q0="),
                "160": ("time", "2023-11-14T22:13:20Z"),
                "170": ("objlnk", "3:0"),
            },
        )

    async def test_reads(self) -> None:
        """What is read is kept by the time of its arrival, as often as it is read."""
        self.device.answers[n.GET, "/3/0/9"] = Answer(n.CONTENT, b"95")
        for _ in range(2):
            self.assertEqual((await self.call("GET", "/v1/devices/d/resources/3/0/9")).status, 200)
            self.node.advance(10)
        self.assertEqual(await self.points("/3/0/9"), [(0, 95), (10, 95)])

    async def test_offline(self) -> None:
        """The history of a device without a registration is there, as far as models are known without one."""
        self.temperatures(2)
        self.node.advance(400)
        self.assertIsNone(self.node.server.devices["d"].registration)
        self.assertEqual(await self.points(), [(0, 0.0), (10, 1.0)])

    async def test_deleted(self) -> None:
        """With a device its history goes; one that comes by its name begins anew."""
        self.temperatures(2)
        self.assertEqual((await self.call("DELETE", "/v1/devices/d")).status, 204)
        await self.refused(404, "unknown-device", "GET", "/v1/devices/d/history/3303")
        self.device.register()
        self.assertEqual(await self.page(), [])

    async def test_refused(self) -> None:
        """What makes no sense is refused by name."""
        await self.refused(404, "unknown-device", "GET", "/v1/devices/x/history/3303/0/5700")
        await self.refused(400, "bad-path", "GET", "/v1/devices/d/history/x")
        for query in ("from=yesterday", "to=1", "after=x", "after=/3@1%0A", "every=0s", "every=5x", "aggregate=sum"):
            refused = await self.refused(400, "bad-query", "GET", f"/v1/devices/d/history/3303?{query}")
            self.assertEqual(refused["errors"][0]["field"], query.partition("=")[0])

    async def test_storage_fails(self) -> None:
        """Where the storage can't be read the caller is told why, and to try again."""
        self.node.storage.names = lambda *_: fail(StorageError("gone"))  # type: ignore[method-assign]
        refused = await self.refused(503, "storage-failed", "GET", "/v1/devices/d/history/3303")
        self.assertEqual(refused["detail"], "the storage can not be read: gone")


class PeriodTests(HistoryCase):
    """Values summed up."""

    async def test_aggregates(self) -> None:
        """A point stands for the values of its period; periods without values have none."""
        self.temperatures(6)
        self.send(f'{{"n":"{TEMPERATURE}","v":-8,"t":{START + 150}}}')
        for aggregate, expected in (
            ("mean", [(0, 1.0), (30, 4.0), (150, -8.0)]),
            ("min", [(0, 0.0), (30, 3.0), (150, -8.0)]),
            ("max", [(0, 2.0), (30, 5.0), (150, -8.0)]),
            ("last", [(0, 2.0), (30, 5.0), (150, -8.0)]),
            ("count", [(0, 3), (30, 3), (150, 1)]),
        ):
            self.assertEqual(await self.points(every="30s", aggregate=aggregate), expected)
        self.assertEqual(await self.points(every=30), [(0, 1.0), (30, 4.0), (150, -8.0)])

    async def test_whole_range(self) -> None:
        """Without a period one point of each path stands for the whole range, with the time of its first value."""
        self.temperatures(6)
        self.assertEqual(await self.points(aggregate="mean"), [(0, 2.5)])
        self.assertEqual(await self.points(aggregate="count", from_=at(15)), [(20, 4)])
        self.assertEqual(await self.points(aggregate="max", to=at(-5)), [])

    async def test_types(self) -> None:
        """A mean is a float, a count an integer without a unit; the rest is of the Resource's type."""
        self.send('{"n":"/3/0/9","v":95}')
        found = {}
        for aggregate in ("mean", "count", "last"):
            (row,) = await self.page("/3/0/9", aggregate=aggregate)
            found[aggregate] = (row["type"], row["value"], row["unit"])
        self.assertEqual(
            found, {"mean": ("float", 95.0, "/100"), "count": ("integer", 1, None), "last": ("integer", 95, "/100")}
        )

    async def test_other_values(self) -> None:
        """What is no finite number has a last value and a count, and no mean."""
        self.send('{"n":"/3/0/0","vs":"Acme"}', '{"n":"/3442/0/140","vb":true}')
        for path, last in (("/3/0/0", "Acme"), ("/3442/0/140", True)):
            self.assertEqual(await self.points(path, aggregate="last"), [(0, last)])
            self.assertEqual(await self.points(path, aggregate="count"), [(0, 1)])
            for aggregate in ("mean", "min", "max"):
                self.assertEqual(await self.points(path, aggregate=aggregate), [])

    async def test_not_finite(self) -> None:
        """A value that is no number does not spoil the others."""
        self.device.answers[n.GET, TEMPERATURE] = Answer(n.CONTENT, bytes.fromhex("f97e00"), n.CBOR)
        self.assertEqual(
            (await self.call("GET", f"/v1/devices/d/resources{TEMPERATURE}")).json["values"][0]["value"], "NaN"
        )
        self.node.advance(1)
        self.send(f'{{"n":"{TEMPERATURE}","v":4}}')
        self.assertEqual(await self.points(aggregate="mean"), [(0, 4.0)])
        self.assertEqual(await self.points(aggregate="count"), [(0, 2)])

    async def test_pages(self) -> None:
        """A cursor goes on with the next period, and more values than fit a page of the storage are read."""
        self.temperatures(2500, step=0.5)
        first = await self.points(every="600s", limit=1, aggregate="count")
        after = self.next
        second = await self.points(every="600s", limit=1, aggregate="count", after=after)
        third = await self.points(every="600s", aggregate="count", after=self.next)
        self.assertEqual([*first, *second, *third], [(0, 1200), (600, 1200), (1200, 100)])


class TwinTests(HistoryCase):
    """What is known."""

    async def test_age_and_source(self) -> None:
        """The twin tells for each value where it came from and how old it is."""
        self.device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"Acme")
        await self.call("GET", "/v1/devices/d/resources/3/0/0")
        self.send(f'{{"n":"/3/0/9","v":95,"t":{START - 30}}}')
        self.node.advance(5)
        seen = await self.call("GET", "/v1/devices/d/resources/3?source=twin")
        found = [(row["path"], row["value"], row["source"], row["age"], row["time"]) for row in seen.json["values"]]
        self.assertEqual(found, [("/3/0/0", "Acme", "read", 5.0, at(0)), ("/3/0/9", 95, "send", 35.0, at(-30))])

    async def test_levels(self) -> None:
        """Every level can be asked for, from a Resource Instance to the whole device."""
        self.send('{"n":"/3/0/7/1","v":5}', '{"n":"/3303/0/5700","v":1}')
        for path, expected in (
            ("/3/0/7/1", ["/3/0/7/1"]),
            ("/3/0/7", ["/3/0/7/1"]),
            ("/3/0", ["/3/0/7/1"]),
            ("/3", ["/3/0/7/1"]),
            ("", ["/3/0/7/1", "/3303/0/5700"]),
        ):
            seen = await self.call("GET", f"/v1/devices/d/resources{path}?source=twin")
            self.assertEqual([row["path"] for row in seen.json["values"]], expected)

    async def test_nothing_known(self) -> None:
        """Where nothing is known there is no value."""
        for path in ("", "/3/0/0"):
            await self.refused(404, "no-value", "GET", f"/v1/devices/d/resources{path}?source=twin")
        await self.refused(404, "unknown-device", "GET", "/v1/devices/x/resources")
        await self.refused(400, "bad-query", "GET", "/v1/devices/d/resources?source=device")
