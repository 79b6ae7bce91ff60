"""The table of sessions: addresses, limits, what has to be stored."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.session import PEER, DtlsSession
from lwm2md.security.dtls.sessions import Limits, Sessions, cost
from lwm2md.security.dtls.suites import BY_NAME
from lwm2md.security.identity import Identity

CCM_8 = BY_NAME["PSK-AES128-CCM8"]


class Table:
    """A table, and what it told."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.ended: list[tuple[DtlsSession, str]] = []
        self.moved: list[tuple[DtlsSession, bytes]] = []
        self.sessions = Sessions(
            Random(1).randbytes,
            limits,
            node=7,
            ended=lambda session, cause: self.ended.append((session, cause)),
            moved=lambda session, old: self.moved.append((session, old)),
        )

    def add(self, address: bytes, now: float = 0.0, *, name: str = "", own_cid: bool = False) -> DtlsSession:
        """Add a session."""
        peer = self.sessions.new_peer()
        keys = bytes(CCM_8.block_length)
        session = DtlsSession(peer, address, CCM_8, keys, Identity("psk", name or peer.hex()), own_cid=own_cid)
        self.sessions.add(session, now)
        return session


class NameTests(SynchronousTestCase):
    """What sessions are called."""

    def test_names(self) -> None:
        """A name is the mark of secure peers, the node and seven unguessable octets."""
        first, second = Table().sessions, Sessions(bytes, ended=lambda *_: None, moved=lambda *_: None)
        peer = first.new_peer()
        self.assertEqual((len(peer), peer[:2]), (9, PEER + b"\x07"))
        self.assertNotEqual(first.new_peer(), peer)
        self.assertEqual(second.new_peer(), PEER + bytes(8))

    def test_no_name_twice(self) -> None:
        """A name that is taken is drawn again."""
        drawn = [bytes(7), bytes(7), b"another"]
        sessions = Sessions(lambda _: drawn.pop(0), ended=lambda *_: None, moved=lambda *_: None)
        sessions.add(DtlsSession(sessions.new_peer(), b"a", CCM_8, b"", Identity("psk", "a")), 0.0)
        self.assertEqual(sessions.new_peer(), PEER + b"\0another")


class AddressTests(SynchronousTestCase):
    """Who is where."""

    def test_a_new_session_replaces_the_old_one(self) -> None:
        """At one address is one session; the one before ends."""
        table = Table()
        old, new = table.add(b"a"), table.add(b"a")
        self.assertEqual(table.ended, [(old, "replaced")])
        self.assertEqual(table.sessions.by_address, {b"a": new})
        self.assertEqual(list(table.sessions.by_peer.values()), [new])

    def test_who_has_a_connection_id_lives_on(self) -> None:
        """Another device's session with a Connection ID keeps its name and has no address until it is heard again."""
        table = Table()
        old = table.add(b"a", name="one", own_cid=True)
        new = table.add(b"a", name="two")
        self.assertEqual((table.ended, old.address, table.sessions.counters["displaced"]), ([], b"", 1))
        table.sessions.heard(old, b"b", True, 1.0)
        self.assertEqual(table.sessions.by_address, {b"a": new, b"b": old})
        self.assertEqual(table.moved, [(old, b"")])

    def test_the_same_identity_is_replaced_all_the_same(self) -> None:
        """A device that shook hands again needs its old session no more, Connection ID or not."""
        table = Table()
        old = table.add(b"a", name="one", own_cid=True)
        table.add(b"a", name="one", own_cid=True)
        self.assertEqual(table.ended, [(old, "replaced")])

    def test_a_move(self) -> None:
        """A newer record from elsewhere moves a session, an older one does not."""
        table = Table()
        session = table.add(b"a", own_cid=True)
        table.sessions.heard(session, b"b", False, 1.0)
        self.assertEqual((session.address, table.moved), (b"a", []))
        table.sessions.heard(session, b"b", True, 1.0)
        self.assertEqual((session.address, table.moved), (b"b", [(session, b"a")]))
        self.assertEqual(table.sessions.by_address, {b"b": session})

    def test_a_move_to_where_somebody_is(self) -> None:
        """A record with a forged address costs nobody anything: who has only its address is still found there."""
        for own_cid in (False, True):
            table = Table()
            sitting, moving = table.add(b"b", own_cid=own_cid), table.add(b"a", own_cid=True)
            table.sessions.heard(moving, b"b", True, 1.0)
            self.assertEqual((table.ended, sitting.address, moving.address), ([], b"b", b"b"))
            self.assertEqual(table.sessions.by_address, {b"b": moving if own_cid else sitting})
            table.sessions.heard(moving, b"a", True, 1.0)
            self.assertEqual(table.sessions.by_address[b"a"], moving)
            table.sessions.drop(moving, "ended")
            self.assertNotIn(moving, table.sessions.by_address.values())

    def test_who_lost_its_address_does_not_take_it_along(self) -> None:
        """The end of a displaced session leaves the one in its place alone."""
        table = Table()
        old = table.add(b"a", name="one", own_cid=True)
        new = table.add(b"a", name="two")
        table.sessions.drop(old, "ended")
        self.assertEqual(table.sessions.by_address, {b"a": new})


class EndTests(SynchronousTestCase):
    """Who has to go."""

    def test_idle_ones(self) -> None:
        """Who was silent for the whole time ends; whoever was heard does not."""
        table = Table(Limits(idle=100.0))
        first, second = table.add(b"a", 0.0), table.add(b"b", 10.0)
        self.assertEqual(table.sessions.next_deadline(), 100.0)
        table.sessions.heard(first, b"a", True, 20.0)
        self.assertEqual(table.sessions.next_deadline(), 110.0)
        table.sessions.expire(109.9)
        self.assertEqual(table.ended, [])
        table.sessions.expire(115.0)
        self.assertEqual(table.ended, [(second, "idle")])
        table.sessions.expire(1000.0)
        self.assertEqual(table.ended[1:], [(first, "idle")])
        self.assertIsNone(table.sessions.next_deadline())
        self.assertEqual((table.sessions.by_address, table.sessions.bytes), ({}, 0))

    def test_too_many(self) -> None:
        """Beyond the limit the one that was silent longest makes room."""
        table = Table(Limits(sessions=2))
        first, second = table.add(b"a", 0.0), table.add(b"b", 1.0)
        table.sessions.heard(first, b"a", True, 2.0)
        table.add(b"c", 3.0)
        self.assertEqual(table.ended, [(second, "evicted")])
        self.assertEqual(len(table.sessions), 2)

    def test_too_many_bytes(self) -> None:
        """Sessions with long identities count for more."""
        one = Table()
        size = cost(one.add(b"a", name="x" * 10))
        table = Table(Limits(bytes=3 * size))
        sessions = [table.add(bytes((index,)), name="x" * 10) for index in range(3)]
        self.assertEqual((table.ended, table.sessions.bytes), ([], 3 * size))
        table.add(b"z", name="y" * (10 + size))
        self.assertEqual(table.ended, [(sessions[0], "evicted"), (sessions[1], "evicted")])
        self.assertEqual(table.sessions.bytes, 3 * size)

    def test_of_identities(self) -> None:
        """All sessions of an identity are found."""
        table = Table()
        first, _, third = (table.add(name.encode() + b"-", name=name[0]) for name in ("a1", "b1", "a2"))
        self.assertEqual(table.sessions.of_identities({"a", "c"}), [first, third])


class StoringTests(SynchronousTestCase):
    """What has to be stored."""

    def test_new_and_heard_sessions(self) -> None:
        """A session has to be stored when it is new, and once after it was heard however often."""
        table = Table()
        first, second = table.add(b"a"), table.add(b"b")
        self.assertEqual(table.sessions.take_changed(10), [first, second])
        self.assertEqual(table.sessions.take_changed(10), [])
        for _ in range(3):
            table.sessions.heard(second, b"b", True, 1.0)
        self.assertEqual(table.sessions.take_changed(10), [second])

    def test_so_many_at_once(self) -> None:
        """The rest waits for the next time."""
        table = Table()
        sessions = [table.add(bytes((index,))) for index in range(5)]
        self.assertEqual(table.sessions.take_changed(3), sessions[:3])
        self.assertEqual(table.sessions.take_changed(3), sessions[3:])

    def test_what_ended_is_not_stored(self) -> None:
        """A session that is gone does not come back into storage, and nothing waits for it."""
        table = Table()
        session = table.add(b"a")
        table.sessions.drop(session, "ended")
        self.assertEqual((table.sessions.take_changed(10), table.sessions._changed), ([], {}))

    def test_restored_ones(self) -> None:
        """Restored sessions are in the order in which they were heard, and the later one has the address."""
        old, table = Table(), Table(Limits(idle=100.0))
        sessions = [old.add(address, now) for address, now in ((b"a", 3.0), (b"b", 1.0), (b"c", 2.0))]
        for session in sessions:
            session.changed = False
        twin = old.add(b"b", 5.0)
        twin.changed = False
        table.sessions.restore([twin, *sessions])
        self.assertEqual(list(table.sessions.by_peer.values()), [sessions[2], sessions[0], twin])
        self.assertEqual(table.ended, [(sessions[1], "replaced")])
        self.assertEqual((table.sessions.next_deadline(), table.sessions.take_changed(9)), (102.0, []))

    def test_restored_without_an_address(self) -> None:
        """Who was displaced before the restart is found by its Connection ID alone."""
        table = Table()
        sessions = [Table().add(b"", own_cid=True), Table().add(b"", own_cid=True)]
        sessions[1].peer = PEER + b"another1"
        table.sessions.restore(sessions)
        self.assertEqual((len(table.sessions), table.sessions.by_address, table.ended), (2, {}, []))


class WarmTests(SynchronousTestCase):
    """Cipher objects are kept for few."""

    def test_no_more_than_allowed(self) -> None:
        """When too many have theirs, those that have them longest give them up."""
        table = Table(Limits(warm=2))
        sessions = [table.add(bytes((index,))) for index in range(3)]
        for session in sessions:
            table.sessions.warm(session)
        self.assertEqual([session.ciphers is None for session in sessions], [True, False, False])

    def test_an_end_gives_them_up(self) -> None:
        """A session that ended has none, and its place is free after a while."""
        table = Table(Limits(warm=2))
        first, second, third = (table.add(bytes((index,))) for index in range(3))
        table.sessions.warm(first)
        table.sessions.drop(first, "ended")
        self.assertIsNone(first.ciphers)
        table.sessions.warm(second)
        table.sessions.warm(third)
        self.assertIsNotNone(second.ciphers)
        self.assertIsNotNone(third.ciphers)
