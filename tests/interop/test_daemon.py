"""Block-wise transfer as operators and devices see it: the running daemon, with Californium and aiocoap."""

from __future__ import annotations

import base64
from typing import Any

from twisted.trial.unittest import TestCase

from tests.daemons import Daemon
from tests.interop.support import SIZES, other
from tests.peers import aiocoap
from tests.peers.leshan_client import LeshanClient


def values(document: dict[str, Any]) -> dict[str, Any]:
    """The values of a document by path."""
    return {row["path"]: row["value"] for row in document["values"]}


class CaliforniumTests(TestCase):
    """Californium under Leshan's client, which sends and takes blocks of 512 or 1024 bytes."""

    timeout = 60

    async def test_large_bodies(self) -> None:
        """Values of several kilobytes are written, read, created and observed through the API.

        More than the 8192 bytes that Californium puts together is refused by it with 4.13, and the caller told so.
        """
        daemon = await Daemon.start(self)
        client = LeshanClient.start(self, daemon.coap, "large")
        await client.registered()
        text = "".join(chr(97 + index % 26) for index in range(5000))
        blob = base64.b64encode(other(3100)).decode()
        where = "/v1/devices/large/resources/3441/0"

        async def call(expected: int, method: str, path: str, body: object = None) -> Any:
            status, document = await daemon.api(method, path, **({} if body is None else {"body": body}))
            self.assertEqual(status, expected, document)
            return document

        await call(200, "PUT", f"{where}/110", {"value": text})
        await call(200, "PUT", f"{where}/150", {"value": blob})
        self.assertEqual(values(await call(200, "GET", f"{where}/110")), {"/3441/0/110": text})
        whole = values(await call(200, "GET", where))
        self.assertEqual((whole["/3441/0/110"], whole["/3441/0/150"]), (text, blob))
        await call(200, "PATCH", where, {"values": {"110": text[::-1], "1110": {"0": "x", "5": text[:2000]}}})
        whole = values(await call(200, "GET", where))
        self.assertEqual((whole["/3441/0/110"], whole["/3441/0/1110/5"]), (text[::-1], text[:2000]))
        refused = await call(502, "PUT", f"{where}/110", {"value": text + text})
        self.assertEqual(refused["coap_code"], "4.13")
        operation = {"op": "create", "path": "/3441", "id": 3, "values": {"110": text, "150": blob}}
        made = await call(200, "POST", "/v1/devices/large/operations", operation)
        self.assertEqual(made["coap_code"], "2.01")
        self.assertEqual(values(await call(200, "GET", "/v1/devices/large/resources/3441/3"))["/3441/3/150"], blob)

        events = await daemon.events("types=device.value")
        await call(201, "PUT", "/v1/devices/large/observations/3441/0", {})
        first = (await events.next("device.value", source="observe")).data
        self.assertEqual(values(first)["/3441/0/110"], text[::-1])
        await call(200, "PUT", f"{where}/110", {"value": text})
        told = (await events.next("device.value", source="observe")).data
        self.assertEqual(values(told)["/3441/0/110"], text)


class RegistrationTests(TestCase):
    """aiocoap as a device with a long object list."""

    timeout = 60

    async def test_long_object_list(self) -> None:
        """A Register and an Update of more than 1024 bytes are taken in blocks of every size."""
        daemon = await Daemon.start(self)
        device = await aiocoap.client(self)
        links = ",".join(["</1/0>", "</3/0>", *(f"</3303/{index}>" for index in range(100))])
        fewer = ",".join(["</1/0>", "</3/0>", *(f"</3304/{index}>" for index in range(110))])
        self.assertGreater(min(len(links), len(fewer)), 1024)
        for szx in SIZES:
            made = await device.request(
                f"{daemon.coap}/rd?ep=long-{szx}&lt=300&lwm2m=1.1", "POST", payload=links.encode(), format=40, szx=szx
            )
            self.assertEqual(made.code, "2.01", szx)
            where = "/".join([daemon.coap, *made.options["location"]])
            objects = (await daemon.api("GET", f"/v1/devices/long-{szx}"))[1]["objects"]
            self.assertEqual((len(objects), objects[-1]), (102, "/3303/99"))
            updated = await device.request(where, "POST", payload=fewer.encode(), format=40, szx=szx)
            self.assertEqual(updated.code, "2.04", szx)
            objects = (await daemon.api("GET", f"/v1/devices/long-{szx}"))[1]["objects"]
            self.assertEqual((len(objects), objects[-1]), (112, "/3304/109"))
            self.assertEqual((await device.request(where, "DELETE")).code, "2.02")
