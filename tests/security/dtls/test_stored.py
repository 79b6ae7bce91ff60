"""Sessions in storage."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.records import APPLICATION_DATA
from lwm2md.security.dtls.session import EPOCH_1, LAST, DtlsSession
from lwm2md.security.dtls.stored import RESERVE, StoredSession
from lwm2md.security.dtls.suites import BY_NAME, DEFAULT
from lwm2md.security.identity import Identity
from tests.security.dtls.test_session import drops, opened, pair

CCM_8 = BY_NAME["PSK-AES128-CCM8"]


def restored(session: DtlsSession) -> DtlsSession:
    """Return a session as it is after a restart."""
    return StoredSession.from_bytes(StoredSession.of(session).to_bytes()).session()


class RestoreTests(SynchronousTestCase):
    """What a restored session does."""

    def test_everything_comes_back(self) -> None:
        """A restored session is the same, whatever its identity is."""
        for suite in DEFAULT:
            server, _ = pair(suite, own_cid=b"SERVERID", cid=b"CLIENT")
            server.identity = Identity("x509", "müller", ("a.example", "urn:b"), "0a", "CN=CA", "ff")
            server.seen, server.scope = 1.5, "bootstrap"
            found = restored(server)
            for name in ("peer", "address", "suite", "keys", "identity", "own_cid", "cid", "scope", "seen"):
                self.assertEqual(getattr(found, name), getattr(server, name), name)
            self.assertTrue(found.confirmed)
            self.assertFalse(found.changed)

    def test_it_goes_on_in_both_directions(self) -> None:
        """The peer notices nothing of a restart but a gap in the numbers."""
        server, client = pair(CCM_8)
        opened(server, client.seal(APPLICATION_DATA, b"1") or b"", drops())
        again = restored(server)
        self.assertEqual(opened(again, client.seal(APPLICATION_DATA, b"2") or b"", drops()), (23, b"2", True))
        self.assertEqual(opened(client, again.seal(APPLICATION_DATA, b"3") or b"", drops()), (23, b"3", True))

    def test_no_number_serves_twice(self) -> None:
        """A restored session sends above all that the other may have sent since it was stored."""
        server, _ = pair(CCM_8)
        stored = StoredSession.of(server)
        server.sent += RESERVE - 1
        before = server.seal(APPLICATION_DATA, b"")
        after = stored.session().seal(APPLICATION_DATA, b"")
        assert before is not None
        assert after is not None
        self.assertLess(before[3:11], after[3:11])

    def test_no_number_serves_twice_in_many_lives(self) -> None:
        """Nor where one life after the other ends before the session was stored again."""
        server, _ = pair(CCM_8)
        stored = StoredSession.of(server, 1)
        seen = set()
        for life in range(2, 6):
            again = stored.session(life)
            for _ in range(3):
                seen.add((again.seal(APPLICATION_DATA, b"") or b"")[3:11])
            again.sent += RESERVE - 4
            seen.add((again.seal(APPLICATION_DATA, b"") or b"")[3:11])
        self.assertEqual(len(seen), 4 * 4)
        with self.assertRaises(ValueError):
            stored.session(0)

    def test_rows_without_a_life(self) -> None:
        """A row of before there were lives counts as of the one before the first."""
        server, _ = pair(CCM_8)
        row = StoredSession.of(server).to_bytes()
        shorter = msgspec.msgpack.encode(msgspec.msgpack.decode(row)[:-1])
        self.assertEqual(StoredSession.from_bytes(shorter).session(1).sent, server.sent + 2 * RESERVE)

    def test_records_below_what_was_stored_are_replays(self) -> None:
        """What may have been received before the restart is not accepted after it."""
        server, client = pair(CCM_8)
        records = [client.seal(APPLICATION_DATA, bytes((count,))) or b"" for count in range(3)]
        opened(server, records[1], drops())
        again, counters = restored(server), drops()
        self.assertIsNone(opened(again, records[0], counters))
        self.assertIsNone(opened(again, records[1], counters))
        self.assertEqual(counters["replayed"], 2)
        self.assertEqual(opened(again, records[2], counters), (APPLICATION_DATA, b"\2", True))

    def test_the_end_of_the_numbers(self) -> None:
        """Where the reserve lies beyond the last number the restored session sends nothing."""
        server, _ = pair(CCM_8)
        server.sent = LAST - 1
        self.assertIsNone(restored(server).seal(APPLICATION_DATA, b""))


class RefusalTests(SynchronousTestCase):
    """What is no stored session."""

    def test_what_no_session_has(self) -> None:
        """Every field is checked."""
        stored = StoredSession.of(pair(CCM_8)[0])
        for field, value in (
            ("version", 2),
            ("peer", b"short"),
            ("peer", b"\x04" + bytes(8)),
            ("suite", 0x00AE),
            ("suite", 1),
            ("keys", bytes(39)),
            ("cid", bytes(256)),
            ("sent", EPOCH_1),
            ("life", -1),
            ("top", EPOCH_1 - 2),
            ("top", LAST + 1),
        ):
            changed = msgspec.structs.replace(stored, **{field: value})
            with self.assertRaises(ValueError, msg=field):
                StoredSession.from_bytes(changed.to_bytes())

    @given(st.binary(max_size=100))
    def test_any_bytes(self, data: bytes) -> None:
        """Other bytes raise ValueError and nothing else."""
        with self.assertRaises(ValueError):
            StoredSession.from_bytes(data)

    @given(st.data())
    def test_damage(self, data: Any) -> None:
        """Damaged bytes give a session or raise ValueError."""
        good = StoredSession.of(pair(CCM_8)[0]).to_bytes()
        at = data.draw(st.integers(0, len(good) - 1))
        bad = good[:at] + data.draw(st.binary(min_size=1, max_size=1)) + good[at + 1 :]
        with contextlib.suppress(ValueError):
            StoredSession.from_bytes(bad).session().seal(APPLICATION_DATA, b"")
