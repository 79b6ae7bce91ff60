"""What devices tell because they are observed (OMA Core 6.4, RFC 7641).

RULES: a notification is acknowledged when its values are durable, and not at all where they could not be stored, so
that the device sends it again. One that came late has no say in what is known; its values with times of their own are
told all the same.
"""

from __future__ import annotations

from collections.abc import Callable

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Peer, Receipt, Received
from lwm2md.coap.message import Message
from lwm2md.lwm2m.nodes import ContentError
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.server import negotiation, stored
from lwm2md.server.answers import BadAnswer, diagnostic
from lwm2md.server.effects import Commit, Resume, Told, Write
from lwm2md.server.places import Place
from lwm2md.server.reading import Reading, refuse
from lwm2md.server.records import Device
from lwm2md.server.state import State
from lwm2md.server.tending import Tending
from lwm2md.server.twin import Twin
from lwm2md.server.wish import Fold, Observation
from lwm2md.server.wishes import Wishes


class Notifications:
    """Takes notifications: their values go to the twin and to everybody who reads events.

    ``moved(device, peer, now, then)`` is asked about a proved identity that comes in another session: it moves the
    device there and calls ``then``, or does neither.
    """

    def __init__(
        self,
        state: State,
        wishes: Wishes,
        reading: Reading,
        twin: Twin,
        *,
        uplink: Callable[[Device, float], None],
        tending: Tending,
    ) -> None:
        self._state = state
        self._wishes = wishes
        self._reading = reading
        self._devices = state.devices
        self._effects = state.effects
        self._twin = twin
        self._uplink = uplink
        self._tending = tending
        # By message ID and token: an observation that is renewed meanwhile is another one to the engine.
        self._storing: set[bytes] = set()
        self._commit: Commit | None = None
        self._told = Told(0.0, False, [])
        self._receipts: list[Receipt] = []
        self.moved: Callable[[Device, Peer, float, Callable[[float], None]], None]
        self.listener = self._notified  # one bound method for all

    def values(
        self, device: Device, wish: Observation, message: Message, now: float
    ) -> tuple[tuple[ValueRow, ...], str]:
        """The values of a notification or first answer, and the name of their format. Raises BadAnswer."""
        accept = None
        if message.content_format is None and device.registration is not None and not wish.paths:
            named = negotiation.number_of(wish.format)
            one = len(wish.path) > 2
            preferred = negotiation.preferred_by(self._state.profile(device))
            usual = negotiation.default_accept(device.registration, one=one, preferred=preferred)[0]
            accept = usual if named is None else named
        return self._reading.values(device, wish.path, wish.paths, message, accept=accept, now=now)

    def established(self, wish: Observation, when: float | None) -> None:
        """Store when the device took a wish, or that it has it no more, unless something else is being stored."""
        wish.established = when
        if not wish.aside.superseded:
            self._state.commit((Write(stored.OBSERVATIONS, wish.id, stored.observation_row(wish)),))

    def notice(
        self,
        subject: object | None,
        receipt: Receipt,
        content_format: int,
        payload: bytes,
        *,
        confirmable: bool,
        now: float,
    ) -> Place | None:
        """Take what nearly every notification is: see `coap.engine.Notice`.

        It comes from where the device registered, and has the value of a single Resource in the place of a known one.
        What becomes of it is what becomes of any other.
        """
        place = subject if type(subject) is Place and subject.holds(content_format, self._state.models) else None
        if place is None:
            place = self._place(receipt[0][2:], content_format)
            if place is None:
                return None
        known, registration = place.known, place.registration
        if registration.peer != receipt[1] or known.time > now:
            return None
        try:
            value = place.read(payload, refuse)
        except ContentError:
            return None
        if value is None:
            return None
        device = place.device
        self._uplink(device, now)
        place.wish.came(now)
        known.value, known.time = value, now
        if known.source != "observe":
            known.source = "observe"
        effects = self._effects
        if not effects or effects[-1] is not self._commit or self._told.time != now:
            effects.append(self._begin(now))
        labels = device.all_labels() if device.labels else registration.labels
        self._told.values.append((device.endpoint, labels, place.line.heading, value))
        if confirmable:
            self._storing.add(receipt[0])
            self._receipts.append(receipt)
        return place

    def _place(self, token: bytes, content_format: int) -> Place | None:
        """Where values of an observation go; None where there is more to be done with them than to keep them."""
        wish = self._wishes.with_token(token)
        device = self._devices.get(wish.endpoint) if wish is not None else None
        if wish is None or device is None or device.registration is None or device.twin is None:
            return None
        known, registration = device.twin.get(wish.path), device.registration
        if known is None:
            return None
        line = self._reading.line(registration, wish.path, content_format)
        if line.read is None or not line.bare:
            return None
        return Place(wish, device, registration, registration.objects, known, line, line.read)

    def _begin(self, now: float) -> Commit:
        """A commit for what is told from now on, until there is another one behind it."""
        receipts: list[Receipt] = []

        def ended(committed: bool, now: float) -> None:
            self._storing.difference_update([key for key, _, _ in receipts])
            if committed:
                self._state.engine.acknowledge_all(receipts, now)

        self._receipts = receipts
        self._told = Told(now, self._state.settings.history, [])
        self._commit = Commit(resume=ended, patient=True, told=self._told)
        return self._commit

    def _notified(self, received: Received, fresh: bool) -> None:
        wish = self._wishes.with_token(received.message.token)
        device = self._devices.get(wish.endpoint) if wish is not None else None
        if wish is None or device is None or device.registration is None:
            self._acknowledge(received, True, received.now)
            return
        now, message, receipt = received.now, received.message, received.receipt
        unverified = received.peer != device.registration.peer
        if unverified:
            identity = self._state.environment.describe(received.peer).identity
            if identity != device.registration.identity:
                self._state.count("notifications_refused")
                return
            if identity is not None:
                self.moved(device, received.peer, now, lambda _: self._notified(received, fresh))
                return
        if not unverified:
            self._uplink(device, now)
        if receipt is not None and receipt[0] in self._storing:
            return  # a retransmission of what is being stored, and acknowledged then
        if message.code >> 5 != 2:
            self._ended(device, wish, message, now)
            self._acknowledge(received, True, now)
            return
        wish.came(now)
        if message.max_age is not None:
            self._tending.fresh(wish, message.max_age, now)
        if isinstance(wish, Fold):
            _carried(device, now)
        kept = self.keep(received)
        values = self._read(device, wish, message, now)
        if values is not None and not fresh:
            self._state.count("notifications_reordered")
            values = tuple(row for row in values if row.time != now) or None
        if values is None:
            if kept is not None:
                kept(True, now)
            return
        fields = {"unverified_path": True} if unverified else {}
        whole = (wish.paths or (wish.path,)) if fresh else ()
        self._twin.learn(device, whole, values, "observe", now=now, resume=kept, **fields)

    def keep(self, received: Received) -> Resume | None:
        """What is to be called when it is known whether the values are durable: then they are acknowledged."""
        receipt = received.receipt
        if receipt is None:
            return None
        self._storing.add(receipt[0])

        def kept(durable: bool, now: float) -> None:
            self._storing.discard(receipt[0])
            self._acknowledge(received, durable, now)

        return kept

    def _read(self, device: Device, wish: Observation, message: Message, now: float) -> tuple[ValueRow, ...] | None:
        try:
            return self.values(device, wish, message, now)[0]
        except BadAnswer as error:
            wish.settle("active", str(error))
            self._state.count("notifications_undecodable")
            return None

    def _ended(self, device: Device, wish: Observation, message: Message, now: float) -> None:
        wish.settle("refused", f"{n.dotted(message.code)} {diagnostic(message)}")
        self.established(wish, None)
        self._state.count("observations_ended_by_device")
        self._tending.failed(device, wish, n.dotted(message.code), now)

    def _acknowledge(self, received: Received, durable: bool, now: float) -> None:
        if durable:
            self._state.engine.acknowledge(received, now)


def _carried(device: Device, now: float) -> None:
    """A notification of a fold is one for each wish that it carries."""
    for wish in device.observations:
        if wish.state == "folded":
            wish.last_notification, wish.notifications = now, wish.notifications + 1
