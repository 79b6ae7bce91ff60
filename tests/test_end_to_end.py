"""The whole way, as an operator goes it: the daemon, devices that others wrote, everything through ``/v1``."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.daemons import Daemon, start_devices
from tests.lwm2m.descriptions import described, file, item
from tests.peers import libcoap
from tests.peers.leshan_client import LeshanClient
from tests.processes import directory, free_port, reactor


def values(document: dict[str, Any]) -> dict[str, Any]:
    """The values of a document by path."""
    return {row["path"]: row["value"] for row in document["values"]}


class LeshanDeviceTests(TestCase):
    """Eclipse Leshan's client engine as the device."""

    timeout = 120

    async def test_first_light(self) -> None:
        """It registers, is read, written, executed, discovered, grown, shrunk and observed, and de-registers."""
        daemon = await Daemon.start(self)
        events = await daemon.events()
        client = LeshanClient.start(self, daemon.coap, "urn:dev:first/1", attributes={"farm": "north"})
        location = await client.registered()
        registered = (await events.next("device.registered")).data
        self.assertEqual(location, f"/rd/{registered['registration_id']}")

        await self._look(daemon)
        await self._read(daemon, client)
        await self._write(daemon, client)
        await self._execute(daemon, client)
        await self._create_and_delete(daemon)
        await self._observe(daemon, client)
        await self._formats(daemon)
        await self._compose(daemon, client)

        await client.command("update", "updated")
        await client.command("deregister", "deregistered")
        gone = (await events.next("device.deregistered")).data
        self.assertEqual((gone["endpoint"], gone["labels"]), ("urn:dev:first/1", {"farm": "north"}))
        status, problem = await daemon.api("GET", f"{self.DEVICE}/resources/3/0/0")
        self.assertEqual((status, problem["code"]), (409, "not-registered"))
        await client.command("stop", "stopped")

    DEVICE = "/v1/devices/urn:dev:first%2F1"

    async def _ok(self, daemon: Daemon, expected: int, method: str, path: str, **how: Any) -> Any:
        status, document = await daemon.api(method, self.DEVICE + path, **how)
        self.assertEqual(status, expected, document)
        return document

    async def _look(self, daemon: Daemon) -> None:
        device = await self._ok(daemon, 200, "GET", "")
        self.assertEqual((device["state"], device["version"], device["lifetime"]), ("online", "1.1", 300))
        self.assertEqual(device["labels"], {"farm": "north"})
        self.assertIn("/3303/1", device["objects"])
        objects = {item["id"]: item for item in (await self._ok(daemon, 200, "GET", "/objects"))["items"]}
        self.assertEqual(objects[3303]["name"], "Temperature")
        self.assertEqual(objects[3303]["instances"], [0, 1])

    async def _read(self, daemon: Daemon, client: LeshanClient) -> None:
        single = await self._ok(daemon, 200, "GET", "/resources/3303/0/5700")
        self.assertEqual(single["values"][0]["value"], 20.5)
        self.assertEqual(single["values"][0]["name"], "Sensor Value")
        await client.done(r"read /3303/0/5700 2\.05")
        whole = values(await self._ok(daemon, 200, "GET", "/resources/3/0"))
        self.assertEqual(whole["/3/0/0"], "Example Works")
        self.assertEqual(whole["/3/0/13"], "2023-11-14T22:13:20Z")
        self.assertEqual((whole["/3/0/7/0"], whole["/3/0/7/1"]), (3800, 5000))
        both = values(await self._ok(daemon, 200, "GET", "/resources/3303"))
        self.assertEqual((both["/3303/0/5700"], both["/3303/1/5700"]), (20.5, -4.25))
        text = await self._ok(daemon, 200, "GET", "/resources/3303/1/5700?format=text")
        self.assertEqual(text["values"][0]["value"], -4.25)
        twin = await self._ok(daemon, 200, "GET", "/resources/3/0/0?source=twin")
        self.assertEqual(values(twin), {"/3/0/0": "Example Works"})
        for path, code in (("3/0/4", "4.05"), ("4242", "4.04")):
            refused = await self._ok(daemon, 400, "GET", f"/resources/{path}")
            self.assertEqual((refused["code"], refused["errors"][0]["field"]), ("bad-operation", "path"))
            refused = await self._ok(daemon, 502, "GET", f"/resources/{path}?force=true")
            self.assertEqual(refused["coap_code"], code)

    async def _write(self, daemon: Daemon, client: LeshanClient) -> None:
        await self._ok(daemon, 200, "PUT", "/resources/3/0/14", body={"value": "+05"})
        await client.done(r"write /3/0/14 2\.04 replace \+05")
        test = "/resources/3441/0"
        partial = {
            "values": {"110": "hej", "120": -7, "130": 2.5, "140": True, "150": "3q0=", "1120": {"0": 1, "9": 2}}
        }
        await self._ok(daemon, 200, "PATCH", test, body=partial)
        found = values(await self._ok(daemon, 200, "GET", test))
        self.assertEqual(found["/3441/0/110"], "hej")
        self.assertEqual((found["/3441/0/120"], found["/3441/0/130"], found["/3441/0/140"]), (-7, 2.5, True))
        self.assertEqual(found["/3441/0/150"], "3q0=")
        self.assertEqual((found["/3441/0/1120/0"], found["/3441/0/1120/9"]), (1, 2))
        wrong = await self._ok(daemon, 400, "PUT", "/resources/3441/0/120", body={"value": "many"})
        self.assertEqual(wrong["code"], "bad-operation")

    async def _execute(self, daemon: Daemon, client: LeshanClient) -> None:
        await self._ok(daemon, 200, "POST", "/resources/3441/0/3", body={"arguments": {"0": "a", "1": None}})
        await client.done(r"execute /3441/0/3 2\.04 0='a',1")
        await self._ok(daemon, 200, "POST", "/resources/3/0/4")
        await client.done("rebooting")

    async def _create_and_delete(self, daemon: Daemon) -> None:
        operation = {"op": "create", "path": "/3441", "id": 7, "values": {"110": "made", "120": 5}}
        made = await self._ok(daemon, 200, "POST", "/operations", body=operation)
        self.assertEqual((made["state"], made["coap_code"]), ("done", "2.01"))
        found = values(await self._ok(daemon, 200, "GET", "/resources/3441/7"))
        self.assertEqual((found["/3441/7/110"], found["/3441/7/120"]), ("made", 5))
        links = await self._ok(daemon, 200, "POST", "/operations", body={"op": "discover", "path": "/3441"})
        self.assertIn("/3441/7/110", [link["path"] for link in links["result"]["links"]])
        status, _ = await daemon.api("DELETE", f"{self.DEVICE}/resources/3441/7")
        self.assertIn(status, (200, 204))
        await self._ok(daemon, 502, "GET", "/resources/3441/7?force=true")

    async def _formats(self, daemon: Daemon) -> None:
        """Every format that Leshan has, both ways."""
        for name in ("tlv", "json", "senml-json", "senml-cbor"):
            body = {
                "values": {"110": name, "120": -7, "130": 2.5, "140": True, "150": "3q0=", "1120": {"0": 1, "9": 2}}
            }
            await self._ok(daemon, 200, "PUT", f"/resources/3441/0?format={name}", body=body)
            asked = {"op": "read", "path": "/3441/0", "format": name}
            operation = await self._ok(daemon, 200, "POST", "/operations", body=asked)
            self.assertEqual((operation["state"], operation["format"]), ("done", name))
            found = values(operation["result"])
            self.assertEqual((found["/3441/0/110"], found["/3441/0/120"], found["/3441/0/130"]), (name, -7, 2.5))
            self.assertEqual((found["/3441/0/140"], found["/3441/0/150"], found["/3441/0/1120/9"]), (True, "3q0=", 2))
        for name in ("text", "cbor", "tlv", "senml-cbor"):
            await self._ok(daemon, 200, "PUT", f"/resources/3441/0/120?format={name}", body={"value": 5})
            found = values(await self._ok(daemon, 200, "GET", f"/resources/3441/0/120?format={name}"))
            self.assertEqual(found, {"/3441/0/120": 5})

    async def _compose(self, daemon: Daemon, client: LeshanClient) -> None:
        """The composite operations, and an observation of several paths."""
        written = {"op": "write-composite", "values": {"/3/0/14": "+07", "/3441/0/120": 12}}
        self.assertEqual((await self._ok(daemon, 200, "POST", "/operations", body=written))["state"], "done")
        read = {"op": "read-composite", "paths": ["/3/0/14", "/3441/0/120", "/3303/1", "/9999"]}
        for name in (None, "senml-json", "senml-cbor"):
            operation = await self._ok(daemon, 200, "POST", "/operations", body={**read, "format": name})
            found = values(operation["result"])
            self.assertEqual((found["/3/0/14"], found["/3441/0/120"], found["/3303/1/5700"]), ("+07", 12, 25.5), name)
        events = await daemon.events("types=device.value")
        paths = {"paths": ["/3303/1/5700", "/3/0/14"]}
        wish = await self._ok(daemon, 201, "POST", "/observations", body=paths)
        self.assertEqual(
            (wish["state"], values((await events.next("device.value", source="observe")).data)["/3/0/14"]),
            ("active", "+07"),
        )
        client.set("/3303/1/5700", 27.5)
        told = (await events.next("device.value", source="observe")).data
        self.assertEqual(values(told), {"/3303/1/5700": 27.5, "/3/0/14": "+07"})
        status, _ = await daemon.api("DELETE", f"/v1/observations/{wish['id']}")
        self.assertEqual(status, 204)
        await events.close()

    async def _observe(self, daemon: Daemon, client: LeshanClient) -> None:
        events = await daemon.events("types=device.value")
        wish = await self._ok(daemon, 201, "PUT", "/observations/3303/1/5700", body={"pmin": 0, "pmax": 600})
        self.assertEqual(wish["state"], "active")
        first = (await events.next("device.value")).data
        self.assertEqual(values(first), {"/3303/1/5700": -4.25})
        for value in (21.5, 22.25, 23.75):
            client.set("/3303/1/5700", value)
            told = (await events.next("device.value")).data
            self.assertEqual((told["source"], values(told)), ("observe", {"/3303/1/5700": value}))
        await self._ok(daemon, 200, "PUT", "/observations/3303/1/5700", body={"pmin": 0, "pmax": 900})
        status, _ = await daemon.api("DELETE", f"{self.DEVICE}/observations/3303/1/5700")
        self.assertIn(status, (200, 202, 204))
        told = (await events.next("device.value", source="read")).data  # the answer to the cancellation is a plain read
        self.assertEqual(values(told), {"/3303/1/5700": 23.75})
        status, _ = await daemon.api("GET", f"{self.DEVICE}/observations/3303/1/5700")
        self.assertEqual(status, 404)
        client.set("/3303/1/5700", 25.5)
        await client.command("echo set", "echo set")
        await self._ok(daemon, 200, "GET", "/resources/3303/1/5700")
        told = (await events.next("device.value", source="read")).data
        self.assertEqual(values(told), {"/3303/1/5700": 25.5})


class RestartTests(TestCase):
    """What was acknowledged is there after the daemon was killed."""

    timeout = 120

    async def test_observation_goes_on_after_a_kill(self) -> None:
        """Registration, wish and twin are back, notifications go on, and the device notices nothing."""
        daemon = await Daemon.start(self)
        client = LeshanClient.start(self, daemon.coap, "steady")
        location = await client.registered()
        status, wish = await daemon.api("PUT", "/v1/devices/steady/observations/3303/0/5700", body={})
        self.assertEqual((status, wish["state"]), (201, "active"))
        await daemon.process.kill()
        again = await daemon.again()
        status, device = await again.api("GET", "/v1/devices/steady")
        self.assertEqual((status, device["state"]), (200, "online"))
        self.assertEqual(location, f"/rd/{device['registration_id']}")
        events = await again.events("types=device.value")
        client.set("/3303/0/5700", 30.5)
        self.assertEqual(values((await events.next("device.value")).data), {"/3303/0/5700": 30.5})
        status, twin = await again.api("GET", "/v1/devices/steady/resources/3303/0/5700?source=twin")
        self.assertEqual(values(twin), {"/3303/0/5700": 30.5})
        await client.command("update", "updated")

    async def test_accepted_command_waits_for_a_sleeping_device(self) -> None:
        """A command for a device that sleeps is accepted, survives a kill, and is carried out at the next Update."""
        daemon = await Daemon.start(self, "queue.awake=1s")
        client = LeshanClient.start(self, daemon.coap, "sleepy", queue=True)
        await client.registered()
        operation = {"op": "write", "path": "/3/0/14", "value": "+09"}
        await deferLater(reactor, 1.2)  # the awake window, in another process: no clock that could be advanced
        status, device = await daemon.api("GET", "/v1/devices/sleepy")
        self.assertEqual(device["state"], "sleeping")
        status, accepted = await daemon.api("POST", "/v1/devices/sleepy/operations?wait=0", body=operation)
        self.assertEqual((status, accepted["state"]), (202, "queued"))
        await daemon.process.kill()
        again = await daemon.again()
        events = await again.events("types=operation.done")
        await client.command("update", "updated")
        done = (await events.next("operation.done")).data
        self.assertEqual(done["operation"], accepted["id"])
        await client.done(r"write /3/0/14 2\.04 replace \+09")
        status, ended = await again.api("GET", f"/v1/operations/{accepted['id']}")
        self.assertEqual((status, ended["state"]), (200, "done"))


class ModelsTests(TestCase):
    """The operator's own object models and a device that others wrote."""

    timeout = 120

    async def test_models_type_values(self) -> None:
        """A DDF file that is put types what a device sends at once, after a kill too, until it is taken back."""
        daemon = await Daemon.start(self)
        client = LeshanClient.start(self, daemon.coap, "modelled")
        await client.registered()
        where = "/v1/devices/modelled/resources/3441/0/110"
        status, _ = await daemon.api("PUT", where, body={"value": "hej"})
        self.assertEqual(status, 200)
        blob = item(110, Name="Blob", Operations="RW", Type="Opaque", RangeEnumeration="0..9", Units="")
        text = file(described(blob, ObjectID="3441", ObjectVersion="1.0", Name="Mine"))
        status, document = await daemon.api("PUT", "/v1/models", data=text)
        self.assertEqual(status, 201, document)
        await self._blob(daemon, where)
        await daemon.process.kill()
        again = await daemon.again()
        await self._blob(again, where)
        status, objects = await again.api("GET", "/v1/devices/modelled/objects")
        self.assertIn("Mine", [found["name"] for found in objects["items"]])
        status, _ = await again.api("DELETE", "/v1/models/3441/1.0")
        self.assertEqual(status, 204)
        (row,) = (await again.api("GET", where))[1]["values"]
        self.assertEqual((row["value"], row["type"], row["name"]), ("hej", "string", "String Value"))

    async def _blob(self, daemon: Daemon, where: str) -> None:
        status, document = await daemon.api("GET", f"{where}?format=tlv")  # the format without types
        self.assertEqual(status, 200, document)
        (row,) = document["values"]
        self.assertEqual((row["value"], row["type"], row["name"]), ("aGVq", "opaque", "Blob"))


class LibcoapTests(TestCase):
    """libcoap's client against the daemon, over IPv4 and IPv6."""

    timeout = 60

    async def test_discovery_and_registration(self) -> None:
        """It discovers /rd, registers, updates, de-registers, and is told what is wrong."""
        for host in ("127.0.0.1", "[::1]"):
            daemon = await Daemon.start(self, coap=f"{host}:0")
            core = await libcoap.request(self, f"{daemon.coap}/.well-known/core")
            self.assertEqual(core.code, "2.05")
            self.assertIn(b"</rd>", core.body)
            made = await libcoap.request(self, f"{daemon.coap}/rd?ep=hand&lt=60&lwm2m=1.0", "post", "</1/0>,</3/0>", 40)
            self.assertEqual(made.code, "2.01")
            location = "/".join(made.options["Location-Path"])
            self.assertEqual((await libcoap.request(self, f"{daemon.coap}/{location}", "post")).code, "2.04")
            self.assertEqual((await libcoap.request(self, f"{daemon.coap}/{location}", "delete")).code, "2.02")
            self.assertEqual((await libcoap.request(self, f"{daemon.coap}/{location}", "post")).code, "4.04")
            wrong = await libcoap.request(self, f"{daemon.coap}/rd?ep=hand&lwm2m=9.9", "post", "</3/0>", 40)
            self.assertEqual(wrong.code, "4.12")
            self.assertEqual((await libcoap.request(self, f"{daemon.coap}/nowhere")).code, "4.04")


class FleetTests(TestCase):
    """Our own devices against our own daemon, as ``make run`` shows them."""

    timeout = 60

    async def test_fleet(self) -> None:
        """Fifty devices register from one process, are listed and read, and leave when they are stopped."""
        daemon = await Daemon.start(self)
        devices = start_devices(self, daemon.coap, "--fleet", "50", "--stagger", "1", "--label", "farm=north")
        for number in range(1, 51):
            await devices.await_line(f"sensor-{number:06d} registered")
        status, page = await daemon.api("GET", "/v1/devices?selector=farm=north&limit=1000")
        self.assertEqual((status, len(page["items"])), (200, 50))
        status, document = await daemon.api("GET", "/v1/devices/sensor-000007/resources/3303/0/5700")
        self.assertEqual(status, 200, document)
        self.assertIsInstance(document["values"][0]["value"], float)
        devices.signal(signal.SIGTERM)
        await devices.wait()
        status, page = await daemon.api("GET", "/v1/devices?state=offline&limit=1000")
        self.assertEqual(len(page["items"]), 50)


class WorldTests(TestCase):
    """A device that a world file describes, as the API sees it."""

    timeout = 60

    WORLD = """
    [device]
    endpoint = "w-{n}"
    lifetime = 60
    queue = true
    labels = { kind = "scripted" }
    [objects.3.0]
    0 = "Works of {endpoint}"
    [objects.40000.0]
    1 = { value = 7, type = "integer" }
    [behaviour]
    sleep = { awake = 0.5, asleep = 2 }
    [[event]]
    at = 5
    do = "address"
    [[event]]
    at = 8
    do = "reboot"
    back = 1
    """

    async def test_sleep_address_and_reboot(self) -> None:
        """It sleeps through a read and answers it when it wakes, gets another address, and restarts."""
        file = directory(self) / "w.toml"
        file.write_text(self.WORLD, "utf-8")
        daemon = await Daemon.start(self)
        events = await daemon.events()
        device = start_devices(self, daemon.coap, "--world", str(file))
        registered = (await events.next("device.registered")).data
        self.assertEqual((registered["endpoint"], registered["labels"]), ("w-1", {"kind": "scripted"}))

        await device.await_line("w-1 asleep")
        status, document = await daemon.api("GET", "/v1/devices/w-1/resources/3/0/0?wait=10")
        self.assertEqual((status, values(document)), (200, {"/3/0/0": "Works of w-1"}))
        await device.await_line("w-1 awake")

        moved = await device.await_line(r"w-1 has another address: port (\d+)")
        await device.await_line("w-1 → Update → 2.04", since=device.lines.index(moved.string))
        status, document = await daemon.api("GET", "/v1/devices/w-1")
        self.assertEqual((document["state"], document["address"].rpartition(":")[2]), ("online", moved[1]))
        self.assertEqual(document["registration_id"], registered["registration_id"])

        restarted = await device.await_line("w-1 restarting")
        again = (await events.next("device.updated", reason="resumed")).data
        self.assertEqual(again["endpoint"], "w-1")
        await device.await_line("w-1 registered", since=device.lines.index(restarted.string))

    async def test_stored_values(self) -> None:
        """What a device could not tell in its sleep, or collected, comes with its times when it wakes up elsewhere."""
        file = directory(self) / "w.toml"
        file.write_text(
            '[device]\nendpoint = "w-1"\nqueue = true\n[objects.3303.0]\n5700 = { function = "counter", every = 1 }\n'
            '[[send]]\npaths = ["/3303/0/5700"]\nevery = 4\ncollect = 1\n'
            "[behaviour]\nsleep = { awake = 0.7, asleep = 4, wakes-for = [] }\n",
            "utf-8",
        )
        daemon = await Daemon.start(self)
        events = await daemon.events("types=device.registered,device.value,device.updated")
        device = start_devices(self, daemon.coap, "--world", str(file), "--verbose")
        first = (await events.next("device.registered")).data["address"]
        status, _ = await daemon.api("PUT", "/v1/devices/w-1/observations/3303/0/5700", body={})
        self.assertEqual(status, 201)
        await device.await_line(r"w-1 → Notify /3303/0/5700 senml-cbor \d+ bytes")
        moved = (await events.next("device.updated")).data["address"]
        self.assertNotEqual(moved, first)
        for source in ("observe", "send"):
            while len(rows := (await events.next("device.value", source=source)).data["values"]) < 3:
                continue
            for key in ("value", "time"):
                self.assertEqual([row[key] for row in rows], sorted({row[key] for row in rows}))

    async def test_mistakes(self) -> None:
        """A file with mistakes ends the process with one line for each, and status 1."""
        file = directory(self) / "w.toml"
        file.write_text("[device]\nlifetme = 5\n[objects.3.0]\n9 = 200\n", "utf-8")
        device = start_devices(self, "coap://127.0.0.1:5683", "--world", str(file))
        self.assertEqual(await device.wait(), 1)
        self.assertEqual(len(device.lines), 2, device.output())
        self.assertRegex(device.lines[0], r"w\.toml: device\.lifetme = 5: expected .*did you mean 'lifetime'\?")
        self.assertRegex(device.lines[1], r"w\.toml: objects\.3\.0\.9 = 200: expected integer 0\.\.100")


class BadStartTests(TestCase):
    """A daemon that can't start says why in one line."""

    timeout = 60

    async def test_port_taken(self) -> None:
        """A second daemon on the same CoAP port names the port and exits with 1; the first one goes on."""
        port = free_port()
        daemon = await Daemon.start(self, coap=f"127.0.0.1:{port}")
        with self.assertRaises(AssertionError) as caught:
            await Daemon.start(self, coap=f"127.0.0.1:{port}")
        self.assertIn(f"can't listen on coap://127.0.0.1:{port}", str(caught.exception))
        self.assertIn("status 1", str(caught.exception))
        self.assertNotIn("Traceback", str(caught.exception))
        self.assertEqual((await daemon.api("GET", "/v1/status"))[0], 200)
