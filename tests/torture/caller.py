"""Callers of the API: labels, wishes, operations, models, profile ids, and devices that are forgotten, by chance.

RULES: an answer of 2xx is a promise, one of 4xx a refusal, and so is a 503; no answer at all means that both may be. A
call with a key is made again until it is answered. Nobody changes what another is changing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from random import Random
from typing import Any, Final

from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived

from tests.processes import reactor
from tests.torture.daemon import Daemon
from tests.torture.device import OBSERVED, Device
from tests.torture.model import Asked, Cell, Model, Violation

LOST: Final = (ConnectError, ConnectionClosed, ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed)
"""What a call ends with when the daemon is gone."""
_DDF: Final = """<LWM2M><Object ObjectType="MODefinition"><Name>Torture {0}</Name><Description1>x</Description1>
<ObjectID>{0}</ObjectID><ObjectURN>urn:oma:lwm2m:x:{0}</ObjectURN><LWM2MVersion>1.0</LWM2MVersion>
<ObjectVersion>1.0</ObjectVersion><MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>
<Resources><Item ID="0"><Name>Value</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration></RangeEnumeration><Units></Units>
<Description>x</Description></Item></Resources><Description2></Description2></Object></LWM2M>"""
_OBJECTS: Final = tuple(range(40100, 40104))
NAMED: Final = (
    ("definition", "/v1/profiles", lambda found: found["match"].get("endpoint")),
    ("template", "/v1/observation-templates", lambda found: found["match"].get("endpoint")),
)
"""What has a name and stays as it was put: its kind, its path, and what tells one from another."""
_PIDS: Final = tuple("abcd")


class Callers:
    """What callers do, each time something else. ``marks`` counts what they sent to devices."""

    def __init__(self, daemon: Daemon, devices: dict[str, Device], model: Model, random: Random) -> None:
        self.marks = 0
        self.calls = 0
        self.unanswered: list[Asked] = []
        self._daemon = daemon
        self._devices = devices
        self._model = model
        self._random = random
        self._choices: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (4, self._label),
            (3, self._wish),
            (8, self._operate),
            (2, self._refused),
            (1, self._object_model),
            (1, self._profile),
            (2, self._named),
            (2, self._cancel),
            (1, self._forget),
        ]

    async def act(self) -> None:
        """Make one call. Raises Violation."""
        if self.unanswered and self._random.random() < 0.5:
            await self._ask(self.unanswered.pop())
            return
        weights = [weight for weight, _ in self._choices]
        ((_, action),) = self._random.choices(self._choices, weights)
        await action()

    async def call(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """One request: status and document, 0 where nobody answered. Raises Violation for what is our own mistake."""
        self.calls += 1
        try:
            status, document = await self._daemon.api(method, path, **how)
        except LOST:
            return 0, None
        if method != "GET":
            state = document.get("state") if isinstance(document, dict) else None
            self._model.note(f"{method} {path} {how.get('body', '')} -> {status} {state or ''}")
        if status == 500:
            raise Violation(f"{method} {path} was answered {status}: {document}")
        return status, document

    async def _change(
        self, key: tuple[Hashable, ...], value: Hashable, method: str, path: str, otherwise: Hashable = None, **how: Any
    ) -> None:
        """Change a cell to ``value``; an answer of 404 says that it is ``otherwise``."""
        cell = self._model.cell(*key)
        if cell.busy:
            return
        before = cell.may
        cell.busy = True
        if value not in before or len(before) > 1:
            cell.made = reactor.seconds()
        cell.set(*before, value)
        status, _ = await self.call(method, path, **how)
        cell.busy = False
        if 200 <= status < 300:
            cell.set(value)
        elif status == 404:
            cell.set(otherwise)
        elif status:
            cell.set(*before)

    def _device(self) -> Device:
        return self._random.choice(list(self._devices.values()))

    async def _label(self) -> None:
        endpoint, name = self._device().endpoint, self._random.choice("xyz")
        value = self._random.choice([None, f"v{self._random.randrange(1000)}"])
        body = {"labels": {name: value}}
        await self._change(("label", endpoint, name), value, "PATCH", f"/v1/devices/{endpoint}", body=body)

    async def _wish(self) -> None:
        endpoint, path = self._device().endpoint, self._random.choice(OBSERVED)
        wanted = self._random.random() < 0.7
        where = f"/v1/devices/{endpoint}/observations{path}"
        if wanted:
            # Not of a device that is unknown or gone: what is there then is what was there before, or nothing.
            await self._change(("wish", endpoint, path), True, "PUT", f"{where}?wait=0.2", otherwise=None)
        else:
            await self._change(("wish", endpoint, path), None, "DELETE", where)

    async def _operate(self) -> None:
        self.marks += 1
        mark = f"k{self.marks}k"
        endpoint = self._device().endpoint
        op = self._random.choice(["execute", "execute", "create", "write", "read"])
        body: dict[str, object] = {"op": op}
        if op == "execute":
            body |= {"path": "/3/0/4", "arguments": {"0": mark}}
        elif op == "create":
            body |= {"path": "/3303", "values": {"5750": mark}}
        elif op == "write":
            body |= {"path": "/3/0/15", "value": mark}
        else:
            body |= {"path": "/3/0/0"}
        if op != "read" or self._random.random() < 0.5:
            body["key"] = mark
        asked = self._model.asked[mark] = Asked(endpoint, op, mark, body)
        await self._ask(asked)

    async def _ask(self, asked: Asked) -> None:
        wait = self._random.choice(["0", "0", "0.1", "2"])
        path = f"/v1/devices/{asked.endpoint}/operations?wait={wait}"
        status, document = await self.call("POST", path, body=asked.body)
        if status in (200, 202):
            if asked.id is None:
                asked.id = document["id"]
            elif asked.id != document["id"]:
                raise Violation(f"{asked.mark} was {asked.id}, and with the same key {document['id']}")
            self.learn(asked, document["state"])
            if status == 202 or (asked.op in ("execute", "create") and asked.state == "done"):
                self._model.open[asked.mark] = asked
        elif status in (0, 503):
            asked.doubtful = True
            if "key" in asked.body:
                self.unanswered.append(asked)
        elif status in (404, 409, 429):
            asked.refused = not asked.doubtful
        else:
            raise Violation(f"an operation was answered {status}: {document}")

    def learn(self, asked: Asked, state: str) -> None:
        """An operation was seen in this state. Raises Violation where it had ended otherwise."""
        ends = ("done", "failed", "expired", "cancelled")
        if asked.state in ends and state != asked.state:
            raise Violation(f"operation {asked.id} {asked.mark} had ended as {asked.state}, and is {state}")
        asked.state = state

    async def _cancel(self) -> None:
        waiting = [asked for asked in self._model.open.values() if asked.state in ("queued", "sent")]
        if waiting:
            asked = self._random.choice(waiting)
            status, document = await self.call("DELETE", f"/v1/operations/{asked.id}")
            if status == 200:
                self.learn(asked, document["state"])
            elif status not in (0, 503):
                raise Violation(f"operation {asked.id} was accepted, and its cancellation answered {status}")

    async def _refused(self) -> None:
        """What must be refused, and must never be seen."""
        endpoint = self._device().endpoint
        draw = self._random.randrange(3)
        if draw == 0:
            body: Any = {"labels": {"refused": "x" * 300}}
            status, _ = await self.call("PATCH", f"/v1/devices/{endpoint}", body=body)
        elif draw == 1:
            status, _ = await self.call("PUT", f"/v1/devices/{endpoint}/observations/3/0/4", body={})
        else:
            self.marks += 1
            mark = f"k{self.marks}k"
            body = {"op": "execute", "path": "/3/0/0", "arguments": {"0": mark}, "key": mark}
            self._model.asked[mark] = Asked(endpoint, "execute", mark, body, refused=True)
            status, _ = await self.call("POST", f"/v1/devices/{endpoint}/operations?wait=0", body=body)
        if 200 <= status < 300:
            raise Violation(f"what must be refused was answered {status}")

    async def _object_model(self) -> None:
        number = self._random.choice(_OBJECTS)
        headers = {"Content-Type": "application/xml"}
        data = _DDF.format(number).encode()
        if self._random.random() < 0.6:
            await self._change(("model", number), True, "PUT", "/v1/models", data=data, headers=headers)
        else:
            await self._change(("model", number), None, "DELETE", f"/v1/models/{number}/1.0")

    async def _profile(self) -> None:
        pid = self._random.choice(_PIDS)
        if self._random.random() < 0.6:
            links = f"</3/0>,</3303/{self._random.randrange(9)}>"
            await self._change(("profile", pid), links, "PUT", f"/v1/profile-ids/{pid}", body={"links": links})
        else:
            await self._change(("profile", pid), None, "DELETE", f"/v1/profile-ids/{pid}")

    async def _named(self) -> None:
        """A device profile or an observation template for devices that are not there; it says which one it is."""
        kind, path, _ = self._random.choice(NAMED)
        name, number = self._random.choice(_PIDS), self._random.randrange(1000)
        body: dict[str, Any] = {"match": {"endpoint": f"nobody-{number}"}}
        if kind == "template":
            body["observe"] = [{"path": "/3/0"}]
        if self._random.random() < 0.6:
            await self._change((kind, name), f"nobody-{number}", "PUT", f"{path}/{name}", body=body)
        else:
            await self._change((kind, name), None, "DELETE", f"{path}/{name}")

    async def _forget(self) -> None:
        """Forget a device, and all that it had; it registers again."""
        device = self._device()
        cells = [cell for kind in ("label", "wish", "registration", "lifetime") for cell in self._cells(kind, device)]
        if any(cell.busy for cell in cells):
            return
        before = [cell.may for cell in cells]
        device.forgotten()
        for cell in cells:
            cell.busy = True
            cell.set(*cell.may, None)
        status, _ = await self.call("DELETE", f"/v1/devices/{device.endpoint}")
        for cell, may in zip(cells, before, strict=True):
            cell.busy = False
            if status in (204, 404):
                cell.set(None)
            elif status:
                cell.set(*may)

    def _cells(self, kind: str, device: Device) -> list[Cell]:
        return [cell for _, cell in self._model.of(kind, device.endpoint)]
