"""Our device against servers that others wrote: Eclipse Leshan's demo server over its REST API, and a newer engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers
from tests.peers.leshan_demo_server import LeshanDemoServer
from tests.peers.leshan_server import LeshanServer
from tests.processes import Process, script

_DEVICE = "our-device"
EVERYTHING = (numbers.TLV, numbers.JSON, numbers.SENML_JSON, numbers.SENML_CBOR)
TYPED = {
    110: ("Zürich 5\u20ac", ""),
    120: (str(-(2**63)), str(2**63 - 1)),
    125: ("0", str(2**63 - 1)),
    130: ("-0.125", "1.5E300"),
    140: ("true", "false"),
    150: ("deadbeef", ""),
    160: ("1", "1795341600"),
    170: ("3:0", "65535:65535"),
    180: ("</3/0>", "</3442/0/120>;pmin=5"),
}
"""Two values of each type as Leshan's main writes them, by Resource of 3442; the one 1000 above has several."""


class LeshanDemoServerTests(TestCase):
    """A device in a process of its own, registered there."""

    timeout = 120

    def _device(self, server: LeshanDemoServer, *options: str) -> Process:
        command = [script("twistd"), "-n", "lwm2m-device", "--server", server.coap, *options]
        return Process.start(self, command)

    async def _ask(self, server: LeshanDemoServer, method: str, path: str, status: str, **how: Any) -> Any:
        _, answer = await server.api(method, f"/clients/{_DEVICE}{path}", **how)
        self.assertEqual(answer["status"], status, answer)
        return answer

    async def test_every_operation(self) -> None:
        """The device registers, is read, written, executed, observed, extended and discovered, and de-registers."""
        server = await LeshanDemoServer.start(self)
        events = await server.events()
        device = self._device(
            server, "--endpoint", _DEVICE, "--label", "farm=north-{}", "--interval", "0.5", "--verbose"
        )
        await device.await_line(f"{_DEVICE} registered at rd/")
        registration = (await events.next("REGISTRATION")).data
        self.assertEqual(registration["lwM2mVersion"], "1.1")
        self.assertEqual(registration["additionalRegistrationAttributes"], {"farm": "north-1"})

        answer = await self._ask(server, "GET", "/3/0/0", "CONTENT(205)")
        self.assertEqual(answer["content"]["value"], "lwm2md")
        answer = await self._ask(server, "GET", "/3/0", "CONTENT(205)")
        values = {resource["id"]: resource for resource in answer["content"]["resources"]}
        self.assertEqual(values[2]["value"], _DEVICE)
        self.assertEqual(values[6]["values"], {"0": 5, "1": 1})
        for path in ("/1", "/4/0", "/6/0/0", "/3303", "/3/0/7"):
            await self._ask(server, "GET", path, "CONTENT(205)")
        await self._ask(server, "GET", "/3/0/4", "METHOD_NOT_ALLOWED(405)")
        await self._ask(server, "GET", "/1/0/2", "NOT_FOUND(404)")

        await self._ask(server, "PUT", "/3/0/15", "CHANGED(204)", body={"id": 15, "value": "Europe/Berlin"})
        answer = await self._ask(server, "GET", "/3/0/15", "CONTENT(205)")
        self.assertEqual(answer["content"]["value"], "Europe/Berlin")
        await self._ask(server, "PUT", "/1/0/1", "CHANGED(204)", body={"id": 1, "value": 120})
        self.assertEqual((await events.next("UPDATED")).data["registration"]["lifetime"], 120)

        for path, listed in (("/3303", "/3303/0"), ("/3303/0", "/3303/0/5700"), ("/3/0/7", "/3/0/7/1")):
            answer = await self._ask(server, "GET", f"{path}/discover", "CONTENT(205)")
            self.assertIn(listed, [link["url"] for link in answer["objectLinks"]])

        resource = {"id": 5750, "kind": "singleResource", "type": "string", "value": "Hall"}
        answer = await self._ask(server, "POST", "/3303", "CREATED(201)", body={"resources": [resource]})
        self.assertEqual(answer["location"], "3303/1")
        self.assertIn(
            "/3303/1", [link["url"] for link in (await events.next("UPDATED")).data["registration"]["objectLinks"]]
        )
        await self._ask(server, "DELETE", "/3303/1", "DELETED(202)")

        await self._ask(server, "PUT", "/3303/0/5700/attributes?pmin=1", "CHANGED(204)")
        await self._ask(server, "POST", "/3303/0/5700/observe", "CONTENT(205)")
        for _ in range(2):
            notification = (await events.next("NOTIFICATION")).data
            self.assertEqual((notification["res"], notification["val"]["id"]), ("/3303/0/5700", 5700))
        # It cancels passively: the next notification is Reset.
        await server.api("DELETE", f"/clients/{_DEVICE}/3303/0/5700/observe")
        await device.await_line(f"{_DEVICE} observation of /3303/0/5700 ended \\(reset\\)")

        seen = device.mark()
        await self._ask(server, "POST", "/3/0/4", "CHANGED(204)")
        await device.await_line("registered at rd/", since=seen)
        await events.next("REGISTRATION")
        await device.stop()
        await events.next("DEREGISTRATION", endpoint=_DEVICE)

    async def _value(self, server: LeshanDemoServer, path: str) -> Any:
        return (await self._ask(server, "GET", path, "CONTENT(205)"))["content"]["value"]

    async def _one_value(self, server: LeshanDemoServer, name: str, second: int) -> None:
        for text in (f"zone {second}", "Zürich"):
            await self._ask(server, "PUT", f"/3/0/15?format={name}", "CHANGED(204)", body={"id": 15, "value": text})
            self.assertEqual(await self._value(server, f"/3/0/15?format={name}"), text)
        moment = f"2021-01-01T00:00:0{second}Z"
        time = {"id": 13, "kind": "singleResource", "type": "time", "value": moment}
        await self._ask(server, "PUT", f"/3/0/13?format={name}", "CHANGED(204)", body=time)
        self.assertEqual((await self._value(server, f"/3/0/13?format={name}"))[:17], moment[:17])
        self.assertEqual(await self._value(server, f"/6/0/0?format={name}"), 46.5)
        await self._ask(server, "GET", f"/3/0/6/1?format={name}", "CONTENT(205)")

    async def _several_values(self, server: LeshanDemoServer, name: str, lifetime: int) -> None:
        for path in ("/3", "/3/0", "/3/0/6"):
            await self._ask(server, "GET", f"{path}?format={name}", "CONTENT(205)")
        partial = {"id": 0, "resources": [{"id": 1, "value": lifetime}, {"id": 3, "value": 60}]}
        await self._ask(server, "PUT", f"/1/0?format={name}&replace=false", "CHANGED(204)", body=partial)
        answer = await self._ask(server, "GET", f"/1/0?format={name}", "CONTENT(205)")
        values = {resource["id"]: resource["value"] for resource in answer["content"]["resources"]}
        self.assertEqual((values[1], values[3], values[5]), (lifetime, 60, 86400))

    async def test_every_format(self) -> None:
        """Values of every level are read and written in each format that Leshan has, and refused where none fits."""
        server = await LeshanDemoServer.start(self)
        world = Path(self.mktemp()).resolve()
        world.write_text(
            '[objects.5.0]\n0 = ""\n3 = 0\n5 = 0\n7 = "firmware"\n9 = 2\n[objects.6.0]\n0 = 46.5\n', "utf-8"
        )
        device = self._device(server, "--endpoint", _DEVICE, "--label", "a=b", "--world", str(world))
        await device.await_line(f"{_DEVICE} registered at rd/")
        for second, name in enumerate(("TLV", "JSON", "SENML_JSON", "SENML_CBOR", "TEXT", "CBOR")):
            await self._one_value(server, name, second)
            if name not in ("TEXT", "CBOR"):
                await self._several_values(server, name, 200 + second)
        for name in ("TEXT", "CBOR", "OPAQUE"):
            for path in ("/3", "/3/0", "/3/0/6"):
                await self._ask(server, "GET", f"{path}?format={name}", "NOT_ACCEPTABLE(406)")
        await self._ask(server, "GET", "/3/0/0?format=OPAQUE", "NOT_ACCEPTABLE(406)")
        package = {"id": 0, "kind": "singleResource", "type": "opaque", "value": "0102"}
        await self._ask(server, "PUT", "/5/0/0?format=OPAQUE", "CHANGED(204)", body=package)
        await device.stop()

    async def test_sends(self) -> None:
        """Sends with values of several times, and Send Data, are understood in both formats of SenML."""
        server = await LeshanDemoServer.start(self)
        world = Path(self.mktemp()).resolve()
        for name in ("senml-cbor", "senml-json"):
            world.write_text(
                f'[device]\nlabels = {{ a = "b" }}\nreport-format = "{name}"\n[objects.3442.0]\n6 = ["/3/0/0"]\n'
                '[objects.3303.0]\n5700 = { function = "counter", start = 20, every = 0.5 }\n5701 = "Cel"\n'
                '[[send]]\npaths = ["/3303/0"]\nevery = 2\ncollect = 1\n',
                "utf-8",
            )
            device = self._device(server, "--endpoint", _DEVICE, "--world", str(world))
            await device.await_line(f"→ Send {name} [0-9]{{3}} bytes → 2.04")
            await self._ask(server, "POST", "/3442/0/5", "CHANGED(204)")
            await device.await_line(f"→ Send {name} [1-9][0-9] bytes → 2.04")
            await device.stop()

    async def test_fleet_in_every_version(self) -> None:
        """A fleet registers one after the other, in each version, with its flags and names."""
        server = await LeshanDemoServer.start(self)
        events = await server.events()
        for version in ("1.0", "1.1", "1.2"):
            name = f"fleet-{version}-{{:02d}}"
            # Without a label Leshan's REST API fails: Gson may not look into an empty map of newer Java versions.
            options = ("--endpoint-pattern", name, "--version", version, "--label", "row={}", "--stagger", "0.3")
            fleet = self._device(server, "--fleet", "3", "--queue", *options)
            for number in (1, 2, 3):
                registration = (await events.next("REGISTRATION")).data
                self.assertEqual(registration["endpoint"], f"fleet-{version}-{number:02d}")
                self.assertEqual((registration["lwM2mVersion"], registration["queuemode"]), (version, True))
                self.assertEqual(registration["additionalRegistrationAttributes"], {"row": str(number)})
            await fleet.stop()
            gone = {(await events.next("DEREGISTRATION")).data["endpoint"] for _ in range(3)}
            self.assertEqual(gone, {f"fleet-{version}-{number:02d}" for number in (1, 2, 3)})


class LeshanServerTests(TestCase):
    """A device that has every type of value, registered at Leshan's server engine of a later version."""

    timeout = 120

    async def _start(self) -> LeshanServer:
        """Start both; the device has the whole test Object."""
        server = await LeshanServer.start(self)
        world = Path(self.mktemp()).resolve()
        world.write_text('[objects.3442.0]\n[objects.3303.0]\n5700 = 20.5\n5701 = "Cel"\n', "utf-8")
        options = ("--server", server.coap, "--endpoint", _DEVICE, "--world", str(world))
        self.device = Process.start(self, [script("twistd"), "-n", "lwm2m-device", *options])
        await server.registered(_DEVICE)
        return server

    async def _code(self, server: LeshanServer, expected: str, do: str, path: str, text: str | None = None) -> Any:
        """The answer to a request without values, which must have this code."""
        answer = await server.reply(do, _DEVICE, paths=(path,), text=text)
        self.assertEqual(answer.get("answer"), expected, (do, path, answer))
        return answer

    async def test_composite(self) -> None:
        """Values of several Objects are read, written and observed together, in both formats."""
        server = await self._start()
        given = {"/3442/0/120": "-5", "/3442/0/1120/0": "1", "/3442/0/1120/1": "2"}
        await server.ask("update", _DEVICE, numbers.TLV, ("/3442/0",), given)
        for number, text in ((numbers.SENML_JSON, "b"), (numbers.SENML_CBOR, "c")):
            paths = ("/3442/0/120", "/3442/0/1120", "/1/0/1", "/3303/0/5700", "/3/0/99")
            code, values = await server.ask("read-composite", _DEVICE, number, paths)
            self.assertEqual((code, values["/3442/0/120"], values["/3442/0/1120/1"]), ("CONTENT(205)", "-5", "2"))
            self.assertEqual(values["/3303/0/5700"], "20.5")

            code, values = await server.ask("observe-composite", _DEVICE, number, ("/3442/0/110", "/3442/0/1120/0"))
            self.assertEqual((code, values["/3442/0/1120/0"]), ("CONTENT(205)", "1"))
            written = {"/3442/0/110": text, "/3442/0/140": "false", "/3442/0/1120/0": "1"}
            code, _ = await server.ask("write-composite", _DEVICE, number, values=written)
            self.assertEqual(code, "CHANGED(204)")
            self.assertEqual(await server.notified(), {"/3442/0/110": text, "/3442/0/1120/0": "1"})
            code, _ = await server.ask("cancel", _DEVICE, number)
            self.assertEqual(code, "CONTENT(205)")

            code, _ = await server.ask("write-composite", _DEVICE, number, values={"/3442/0/110": "x", "/3/0/0": "y"})
            self.assertEqual(code, "METHOD_NOT_ALLOWED(405)")
            code, values = await server.ask("read-composite", _DEVICE, number, ("/3442/0/110", "/3442/0/140"))
            self.assertEqual(values, {"/3442/0/110": text, "/3442/0/140": "false"})

    async def test_levels_and_formats(self) -> None:
        """Instances, Resources and Resource Instances are created, replaced, updated and read in every format."""
        server = await self._start()
        for identifier, number in enumerate(EVERYTHING, 1):
            instance = f"/3442/{identifier}"
            made = {f"{instance}/120": "1", f"{instance}/1120/3": "7"}
            self.assertEqual((await server.ask("create", _DEVICE, number, (instance,), made))[0], "CREATED(201)")
            for verb, given, expected in (
                ("update", {f"{instance}/110": "up"}, {f"{instance}/110": "up", **made}),
                ("replace", {f"{instance}/130": "1.5"}, {f"{instance}/130": "1.5"}),
            ):
                self.assertEqual((await server.ask(verb, _DEVICE, number, (instance,), given))[0], "CHANGED(204)")
                self.assertEqual(await server.ask("read", _DEVICE, number, (instance,)), ("CONTENT(205)", expected))
            several = {f"{instance}/1120/{each}": str(each) for each in (1, 2)}
            asked = await server.ask("replace", _DEVICE, number, (f"{instance}/1120",), several)
            self.assertEqual(asked[0], "CHANGED(204)")
            await server.ask("replace", _DEVICE, number, (f"{instance}/1120/1",), {f"{instance}/1120/1": "9"})
            several[f"{instance}/1120/1"] = "9"
            self.assertEqual((await server.ask("read", _DEVICE, number, (f"{instance}/1120",)))[1], several)
            one = f"{instance}/1120/1"
            self.assertEqual((await server.ask("read", _DEVICE, number, (one,)))[1], {one: "9"})

    async def test_every_type_in_every_format(self) -> None:
        """A value of each type comes back as Leshan wrote it: Resource, Resource Instance, and several of them."""
        server = await self._start()
        for resource, pair in TYPED.items():
            one, several = f"/3442/0/{resource}", f"/3442/0/{resource + 1000}"
            formats = (*EVERYTHING, numbers.CBOR, numbers.OPAQUE if resource == 150 else numbers.TEXT)
            for number in formats:
                for value in pair:
                    code, _ = await server.ask("replace", _DEVICE, number, (one,), {one: value})
                    self.assertEqual(code, "CHANGED(204)", (one, number, value))
                    self.assertEqual(await server.ask("read", _DEVICE, number, (one,)), ("CONTENT(205)", {one: value}))
            both = {f"{several}/{index}": value for index, value in zip((0, 300), pair, strict=True)}
            for number in EVERYTHING:
                await server.ask("replace", _DEVICE, number, (several,), both)
                self.assertEqual(await server.ask("read", _DEVICE, number, (several,)), ("CONTENT(205)", both))
            last = f"{several}/300"
            for number in formats:
                await server.ask("replace", _DEVICE, number, (last,), {last: pair[0]})
                self.assertEqual(await server.ask("read", _DEVICE, number, (last,)), ("CONTENT(205)", {last: pair[0]}))
                await server.ask("replace", _DEVICE, number, (last,), {last: pair[1]})

    async def test_execute_create_delete(self) -> None:
        """Arguments are kept, instances come with and without an id and go, and what can't be is refused."""
        server = await self._start()
        await self._code(server, "CHANGED(204)", "execute", "/3442/0/3", "0='a',1,9='b=c'")
        _, values = await server.ask("read", _DEVICE, numbers.TLV, ("/3442/0/4",))
        self.assertEqual(values["/3442/0/4/0"], "a")
        await self._code(server, "CHANGED(204)", "execute", "/3442/0/2")
        self.assertEqual(
            await server.ask("read", _DEVICE, numbers.TLV, ("/3442/0/110",)), ("CONTENT(205)", {"/3442/0/110": ""})
        )
        for path, code in (
            ("/3/0/0", "METHOD_NOT_ALLOWED(405)"),
            ("/3/0/99", "NOT_FOUND(404)"),
            ("/99/0/1", "NOT_FOUND(404)"),
        ):
            await self._code(server, code, "execute", path)

        chosen = await server.reply("create", _DEVICE, numbers.TLV, ("/3442",), values={"/3442/0/110": "chosen"})
        self.assertEqual((chosen["answer"], chosen["location"]), ("CREATED(201)", "3442/1"))
        for path, values, code in (
            ("/3442/1", {"/3442/1/110": "there"}, "BAD_REQUEST(400)"),
            ("/3/0", {"/3/0/14": "x"}, "METHOD_NOT_ALLOWED(405)"),
            ("/4/0", {"/4/0/0": "1"}, "NOT_FOUND(404)"),
        ):
            self.assertEqual((await server.ask("create", _DEVICE, numbers.SENML_CBOR, (path,), values))[0], code, path)
        await self._code(server, "DELETED(202)", "delete", "/3442/1")
        await self._code(server, "NOT_FOUND(404)", "delete", "/3442/1")
        await self._code(server, "METHOD_NOT_ALLOWED(405)", "delete", "/3/0")

    async def test_discover_and_attributes(self) -> None:
        """Every level is discovered, with its attributes; wrong ones are refused whole, unset ones are gone."""
        server = await self._start()
        for path, query in (
            ("/3303", "pmin=5&pmax=600"),
            ("/3303/0", "epmin=1&epmax=9"),
            ("/3303/0/5700", "gt=30.5&lt=-5&st=0.5"),
            ("/3442/0/1120/1", "pmin=3"),
        ):
            await self._code(server, "CHANGED(204)", "attributes", path, query)
        # Leshan lets nothing out that is wrong in itself; that a text has no bounds only the device knows.
        await self._code(server, "BAD_REQUEST(400)", "attributes", "/3303/0/5701", "gt=1")
        links = await self._links(server, "/3303")
        self.assertLessEqual({"pmin=5", "pmax=600"}, links["/3303"])
        self.assertEqual(links["/3303/0"], {"epmin=1", "epmax=9"})
        self.assertEqual(links["/3303/0/5700"], {"gt=30.5", "lt=-5", "st=0.5"})
        one = await self._links(server, "/3303/0/5700")
        inherited = {"pmin=5", "pmax=600", "epmin=1", "epmax=9"}
        self.assertEqual(one["/3303/0/5700"], {"gt=30.5", "lt=-5", "st=0.5"} | inherited)
        several = await self._links(server, "/3442/0/1120")
        self.assertEqual((several["/3442/0/1120"], several["/3442/0/1120/1"]), ({"dim=2"}, {"pmin=3"}))
        await self._code(server, "CHANGED(204)", "attributes", "/3303/0/5700", "gt&st")
        self.assertEqual((await self._links(server, "/3303"))["/3303/0/5700"], {"lt=-5"})
        for path in ("/99", "/3303/7", "/3303/0/5999"):
            await self._code(server, "NOT_FOUND(404)", "discover", path)

    async def _links(self, server: LeshanServer, path: str) -> dict[str, set[str]]:
        answer = await self._code(server, "CONTENT(205)", "discover", path)
        pairs = (link.split(";") for link in answer["links"])
        return {target.strip("<>"): {*attributes} for target, *attributes in pairs}

    async def test_observe(self) -> None:
        """Each level is observed in each format, told of changes, cancelled both ways, and ended by a Delete."""
        server = await self._start()
        value = 100
        for path in ("/3442/0/120", "/3442/0", "/3442"):
            for number in EVERYTHING:
                self.assertEqual((await server.reply("observe", _DEVICE, number, (path,)))["answer"], "CONTENT(205)")
                value += 1
                await server.ask("update", _DEVICE, number, ("/3442/0",), {"/3442/0/120": str(value)})
                self.assertEqual((await server.notified())["/3442/0/120"], str(value))
                self.assertEqual((await server.reply("cancel", _DEVICE)).get("answer"), "CONTENT(205)")
        instance = "/3442/0/1120/1"
        for number in (*EVERYTHING, numbers.TEXT, numbers.CBOR):
            await server.reply("observe", _DEVICE, number, (instance,))
            value += 1
            await server.ask("replace", _DEVICE, number, (instance,), {instance: str(value)})
            self.assertEqual(await server.notified(), {instance: str(value)})
            await server.reply("cancel", _DEVICE)
        await server.ask("create", _DEVICE, numbers.TLV, ("/3442/5",), {"/3442/5/120": "1"})
        await self._code(server, "CONTENT(205)", "observe", "/3442/5")
        await self._code(server, "DELETED(202)", "delete", "/3442/5")
        self.assertEqual((await server.notification())["code"], "NOT_FOUND(404)")

        await self._code(server, "CONTENT(205)", "observe", "/3442/0/120")
        await server.reply("forget", _DEVICE)
        await server.ask("replace", _DEVICE, numbers.TEXT, ("/3442/0/120",), {"/3442/0/120": "7"})
        await self.device.await_line(r"observation of /3442/0/120 ended \(reset\)")

    async def test_large_values(self) -> None:
        """Values of several kilobytes are written and read in blocks, alone and within an Instance."""
        server = await self._start()
        values = {"/3442/0/110": "abcdefgh" * 400, "/3442/0/150": "0123456789abcdef" * 400}
        for number in EVERYTHING:
            self.assertEqual((await server.ask("update", _DEVICE, number, ("/3442/0",), values))[0], "CHANGED(204)")
            found = (await server.ask("read", _DEVICE, number, ("/3442/0",)))[1]
            self.assertEqual({path: found[path] for path in values}, values)
        for path, value in values.items():
            number = numbers.OPAQUE if path.endswith("150") else numbers.TEXT
            self.assertEqual((await server.ask("replace", _DEVICE, number, (path,), {path: value}))[0], "CHANGED(204)")
            self.assertEqual((await server.ask("read", _DEVICE, number, (path,)))[1], {path: value})
