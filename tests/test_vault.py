"""Credentials where they are kept: lookups, changes, rotation, revocation, sealing, and that no key is told."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.delivery import Delivery
from lwm2md.security import audit
from lwm2md.security.credentials import BadCredential, Credential, Key, Scope
from lwm2md.security.csvfile import Packed, Row, read
from lwm2md.security.rules import Grant
from lwm2md.security.sealing import Seal
from lwm2md.server.errors import ConfiguredCredential, LimitReached, UnknownCredential
from lwm2md.storage.interface import Batch, StorageError, Write
from lwm2md.storage.memory import MemoryStorage
from lwm2md.vault import NotStored, Vault, Wanted

KEY, OTHER = bytes(range(16)), bytes(range(16, 32))
SECRET = "the operator's secret for rows"
LINE = KEY.hex()


class CountingStorage(MemoryStorage):
    """Counts what is asked of a table, and holds answers back where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: list[str] = []
        self.held: list[tuple[Deferred[bytes | None], bytes | None]] | None = None
        self.broken = False

    def get(self, table: str, key: str) -> Deferred[bytes | None]:
        """One row."""
        if table == "credentials":
            self.gets.append(key)
            if self.broken:
                failed: Deferred[bytes | None] = Deferred()
                failed.errback(StorageError("broken"))
                return failed
        found = super().get(table, key)
        if table == "credentials" and self.held is not None:
            waiting: Deferred[bytes | None] = Deferred()
            found.addCallback(lambda row: self.held.append((waiting, row)) if self.held is not None else None)
            return waiting
        return found

    def commit(self, batch: Batch) -> Deferred[bool]:
        """Write, unless it is broken."""
        if self.broken:
            failed: Deferred[bool] = Deferred()
            failed.errback(StorageError("broken"))
            return failed
        return super().commit(batch)


def packed(text: str) -> Packed:
    """The rows of a file."""
    found = Packed()
    for row in read(text):
        assert isinstance(row, Row), row
        found.add(row)
    return found


class VaultCase(SynchronousTestCase):
    """A vault over a storage in memory."""

    secret: str | None = SECRET

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.storage = CountingStorage()
        self.storage.open()
        self.delivery = Delivery(self.storage, self.clock)
        self.delivery.start()
        self.vault = self.again(self.secret)

    def again(self, secret: str | None) -> Vault:
        """Another vault over the same storage."""
        vault = Vault(self.storage, Seal(secret, os.urandom), self.delivery.submit, self.clock, os.urandom)
        self.successResultOf(Deferred.fromCoroutine(vault.start()))
        self.revoked: list[str] = []
        vault.revoked.append(self.revoked.extend)
        return vault

    def put(self, identity: str, key: bytes | None = KEY, overlap: float = 0.0, **fields: Any) -> Credential:
        """Put a credential."""
        credential = Credential(identity, fields.pop("type", "psk"), **fields)
        [(found, _)] = self.successResultOf(self.vault.put((Wanted(credential, key, overlap),), "admin"))
        return found

    def keys(self, identity: bytes, scope: Any = "registration") -> Any:
        """The keys that a handshake gets."""
        found: list[Any] = []
        self.vault.keys(scope).psk(identity, found.append)
        return found[0] if found else None

    def grant(self, *names: str) -> Grant | None:
        """What is granted to these names."""
        found: list[Grant | None] = []
        self.vault.grant(names, found.append, lambda: found.append(None))
        (grant,) = found
        return grant

    def records(self) -> list[audit.Record]:
        """The audit log."""
        return [audit.from_row(row) for _, row in self.successResultOf(self.storage.read("audit"))]

    def rows(self) -> dict[str, bytes]:
        """The rows of credentials."""
        found: list[tuple[str, bytes]] = self.successResultOf(self.storage.scan("credentials"))
        return dict(found)


class HandshakeTests(VaultCase):
    """The keys of handshakes."""

    def test_keys(self) -> None:
        """An identity has its key, in its scope, unless it is blocked; others have none."""
        self.put("a")
        self.put("b", scope="bootstrap")
        self.put("c", blocked=True)
        self.put("x509:cn", None, type="x509")
        for identity, scope, keys in (
            (b"a", "registration", (KEY,)),
            (b"a", "bootstrap", ()),
            (b"b", "registration", ()),
            (b"b", "bootstrap", (KEY,)),
            (b"c", "registration", ()),
            (b"x509:cn", "registration", ()),
            (b"nobody", "registration", ()),
            (b"\xff\xfe", "registration", ()),
            (b"", "registration", ()),
            (b"a\x00", "registration", ()),
            (b"a" * 70_000, "registration", ()),
        ):
            self.assertEqual(tuple(self.keys(identity, scope)), keys, identity[:20])

    def test_rotation(self) -> None:
        """While a rotation overlaps both keys are valid, the new one first; sessions go on till the overlap is over."""
        self.put("a")
        self.put("a", OTHER, 60.0)
        self.assertEqual((self.keys(b"a"), self.revoked), ((OTHER, KEY), []))
        self.clock.advance(59.0)
        self.assertEqual(self.keys(b"a"), (OTHER, KEY))
        self.clock.advance(1.0)
        self.assertEqual(self.keys(b"a"), (OTHER,))

    def test_same_way(self) -> None:
        """Each handshake asks the storage just once, whether the identity is known, unknown or can't be."""
        self.put("a")
        self.vault.use(packed(f"f,{LINE}\n"))
        for identity in (b"a", b"a", b"nobody", b"\xff", b"f", b"x509:cn"):
            self.storage.gets.clear()
            self.keys(identity)
            self.assertEqual(len(self.storage.gets), 1, identity)

    def test_decoy(self) -> None:
        """An unknown identity gets a key that is always the same for it, and another for others and other starts."""
        keys = self.vault.keys("registration")
        self.assertEqual(keys.decoy(b"a"), keys.decoy(b"a"))
        self.assertEqual(
            len({keys.decoy(b"a"), keys.decoy(b"b"), self.again(SECRET).keys("registration").decoy(b"a")}), 3
        )
        self.assertEqual(len(keys.decoy(b"a")), 16)

    def test_storage_fails(self) -> None:
        """While the storage fails there is no key, and that is told in the log."""
        self.put("a")
        self.storage.broken = True
        self.assertEqual(self.keys(b"a"), ())

    def test_later(self) -> None:
        """A key that the storage gives later is given later."""
        self.put("a")
        self.storage.held = []
        found: list[Any] = []
        self.vault.keys("registration").psk(b"a", found.append)
        self.assertEqual(found, [])
        [(waiting, row)] = self.storage.held
        waiting.callback(row)
        self.assertEqual(found, [(KEY,)])


class ChangeTests(VaultCase):
    """What changes, who is told, and what is kept."""

    def test_put(self) -> None:
        """A credential is new once; without a key it keeps the one it has; times are when that was."""
        first = self.put("a")
        self.clock.advance(5.0)
        again = self.put("a", None, endpoints=("x",))
        self.assertEqual((first.created, first.changed, again.created, again.changed), (1000.0, 1000.0, 1000.0, 1005.0))
        self.assertEqual((self.keys(b"a"), self.vault.count, self.revoked), ((KEY,), 1, []))

    def test_needs_a_key(self) -> None:
        """A new PSK identity needs a key."""
        failure = self.failureResultOf(self.vault.put((Wanted(Credential("a", "psk")),), "admin"), BadCredential)
        self.assertEqual(failure.value.field, "key")

    def test_revoked(self) -> None:
        """Sessions end of who is removed, blocked, of another scope, or has a new key without overlap; no others."""
        for number, change in enumerate(
            (
                lambda name: self.put(name, OTHER),
                lambda name: self.put(name, None, blocked=True),
                lambda name: self.put(name, None, scope="bootstrap"),
                lambda name: self.successResultOf(self.vault.remove(name, "admin")),
            )
        ):
            name = f"id-{number}"
            self.put(name)
            self.assertEqual(self.revoked, [])
            change(name)
            self.assertEqual(self.revoked, [name])
            self.revoked.clear()
        self.put("x509:cn", None, type="x509", blocked=True)  # it was trusted without a credential
        self.assertEqual(self.revoked, ["x509:cn"])
        self.revoked.clear()
        self.put("kept")
        self.put("kept", KEY)
        self.put("kept", None, labels={"a": "b"}, endpoints=("y",))
        self.put("kept", OTHER, 10.0)
        self.assertEqual(self.revoked, [])

    def test_changed(self) -> None:
        """Whoever looks at registrations is told of every credential that is another, new or gone."""
        told: list[str] = []
        self.vault.changed.append(told.extend)
        self.put("a")
        self.put("a", None, endpoints=("x",))
        self.successResultOf(self.vault.remove("a", "admin"))
        self.assertEqual(told, ["a"] * 3)

    def test_observer_that_fails(self) -> None:
        """One who is told and fails keeps nobody else from being told."""
        self.put("a")
        self.vault.changed.append(lambda _: 1 / 0)  # type: ignore[arg-type]
        self.vault.revoked.insert(0, lambda _: 1 / 0)  # type: ignore[arg-type]
        self.successResultOf(self.vault.remove("a", "admin"))
        self.assertEqual(self.revoked, ["a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_removed(self) -> None:
        """Who is removed is unknown; who was not there can't be."""
        self.put("a")
        self.successResultOf(self.vault.remove("a", "admin"))
        self.assertEqual((self.keys(b"a"), self.vault.count, self.rows()), ((), 0, {}))
        self.failureResultOf(self.vault.remove("a", "admin"), UnknownCredential)

    def test_all_or_none(self) -> None:
        """Of several none is put when one can't be."""
        wanted = [Wanted(Credential("a", "psk"), KEY), Wanted(Credential("b", "psk"))]
        self.failureResultOf(self.vault.put(wanted, "admin"), BadCredential)
        self.assertEqual((self.rows(), self.vault.count, self.records()), ({}, 0, []))

    def test_check(self) -> None:
        """A trial changes nothing, and fails as the real thing would."""
        made = self.successResultOf(self.vault.put([Wanted(Credential("a", "psk"), KEY)], "admin", check=True))
        self.assertEqual(([new for _, new in made], self.rows(), self.vault.count), ([True], {}, 0))

    def test_limit(self) -> None:
        """There are so many credentials at most, counted over restarts; those that there are may change."""
        self.vault.most = 2
        self.put("a")
        self.put("b")
        self.failureResultOf(self.vault.put([Wanted(Credential("c", "psk"), KEY)], "admin"), LimitReached)
        self.put("b", OTHER)
        self.vault = self.again(SECRET)
        self.assertEqual(self.vault.count, 2)

    def test_storage_fails(self) -> None:
        """A change that is not stored is none."""
        self.put("a")
        held, self.storage.held = self.storage.held, None
        self.assertIsNone(held)
        wanted = self.vault.put([Wanted(Credential("b", "psk"), KEY)], "admin")
        self.successResultOf(wanted)
        self.storage.broken = True
        self.failureResultOf(self.vault.put([Wanted(Credential("c", "psk"), KEY)], "admin"), StorageError)
        self.storage.broken = False
        self.assertEqual(self.vault.count, 2)

    def test_commit_fails(self) -> None:
        """Where the rows can be read and not written, the caller hears that nothing was stored."""

        def refuse(batch: Batch) -> Deferred[bool]:
            failed: Deferred[bool] = Deferred()
            failed.errback(StorageError("full"))
            return failed

        self.patch(self.storage, "commit", refuse)
        self.failureResultOf(self.vault.put([Wanted(Credential("a", "psk"), KEY)], "admin"), NotStored)
        self.assertEqual((self.vault.count, self.keys(b"a")), (0, ()))

    def test_one_after_the_other(self) -> None:
        """Two changes of one identity at once are made one after the other: none is lost."""
        self.storage.held = []
        first = self.vault.put([Wanted(Credential("a", "psk"), KEY)], "admin")
        second = self.vault.put([Wanted(Credential("a", "psk"), OTHER, 60.0)], "admin")
        while self.storage.held:
            waiting, row = self.storage.held.pop(0)
            waiting.callback(row)
            if self.storage.held:
                # What was asked after the first change was written sees it.
                waiting, _ = self.storage.held.pop(0)
                waiting.callback(self.rows().get("a"))
        self.assertEqual([new for _, new in self.successResultOf(first)], [True])
        self.assertEqual([new for _, new in self.successResultOf(second)], [False])
        self.storage.held = None
        self.assertEqual((self.keys(b"a"), self.vault.count), ((OTHER, KEY), 1))

    def test_records(self) -> None:
        """Each change is in the audit log with who did it, and no record holds a key."""
        self.put("a")
        self.successResultOf(
            self.vault.put([Wanted(Credential(name, "psk"), OTHER) for name in ("b", "c")], "lwm2mctl")
        )
        self.successResultOf(self.vault.remove("a", "admin"))
        self.assertEqual(
            [(record.by, record.action, record.subject) for record in self.records()],
            [
                ("admin", "credential.put", "a"),
                ("lwm2mctl", "credentials.imported", ""),
                ("admin", "credential.removed", "a"),
            ],
        )
        self.assertEqual(self.records()[1].details["identities"], ["b", "c"])
        told = msgspec.json.encode(self.records()).decode()
        for key in (KEY, OTHER):
            self.assertNotIn(key.hex(), told)


class GrantTests(VaultCase):
    """What registrations are granted."""

    def test_first_name(self) -> None:
        """The first name that has a credential counts; a leave is for its endpoint only."""
        self.put("x509:cn", None, type="x509", endpoints=("a",))
        self.put("x509:san:b", None, type="x509", endpoints=("b",), labels={"x": "y"})
        self.put("nosec:toy-*", None, type="nosec")
        self.assertEqual(self.grant("x509:sha256:00", "x509:san:b", "x509:cn"), Grant(("b",), {"x": "y"}))
        self.assertEqual(self.grant("nosec:toy-*"), Grant(("toy-[*]",)))
        self.assertIsNone(self.grant("nobody"))

    def test_at_hand(self) -> None:
        """What was asked is at hand until something changes; then it is asked anew."""
        self.put("a", endpoints=("x",))
        self.grant("a")
        self.storage.gets.clear()
        self.assertEqual(self.grant("a"), Grant(("x",)))
        self.assertEqual(self.storage.gets, [])
        self.put("a", None, endpoints=("y",))
        self.assertEqual(self.grant("a"), Grant(("y",)))
        self.successResultOf(self.vault.remove("a", "admin"))
        self.assertIsNone(self.grant("a"))

    def test_storage_fails(self) -> None:
        """Where the storage can't say what there is whoever asks is told that at once, and nothing is kept of it."""
        self.put("a", endpoints=("x",))
        self.storage.held = []
        found: list[Grant | str | None] = []
        self.vault.grant(("a",), found.append, lambda: found.append("failed"))
        [(waiting, _)] = self.storage.held
        self.storage.held = None
        waiting.errback(StorageError("broken: on purpose"))
        self.assertEqual(found, ["failed"])
        self.assertEqual(self.grant("a"), Grant(("x",)))

    def test_answer_from_before(self) -> None:
        """An answer that was asked before a change and comes after it is not kept."""
        self.put("a", endpoints=("x",))
        self.storage.held = []
        found: list[Grant | None] = []
        self.vault.grant(("a",), found.append, lambda: None)
        [(waiting, row)] = self.storage.held
        self.storage.held = None
        self.put("a", None, endpoints=("y",))
        waiting.callback(row)
        self.assertEqual(self.grant("a"), Grant(("y",)))

    def test_bounded(self) -> None:
        """So many grants are at hand, however many are asked for."""
        for number in range(10_100):
            self.grant(f"id-{number}")
        self.assertEqual(len(self.vault._grants), 10_000)


class ElsewhereTests(VaultCase):
    """Credentials from elsewhere."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str] = []
        self.vault.elsewhere = self.elsewhere

    async def elsewhere(self, asked: bytes, scope: Scope) -> Credential | None:
        """A plugin that knows one identity, and fails for another."""
        identity = asked.decode()
        self.asked.append(identity)
        if identity == "broken":
            raise ValueError(identity)
        return Credential(identity, "psk", endpoints=("x",), keys=(Key(OTHER),)) if identity == "far" else None

    def test_asked(self) -> None:
        """Only who is unknown here is asked for elsewhere, for handshakes and for registrations."""
        self.put("a")
        self.assertEqual((self.keys(b"a"), self.keys(b"far"), self.keys(b"nobody")), ((KEY,), (OTHER,), ()))
        self.assertEqual(self.grant("far"), Grant(("x",)))
        self.assertEqual(self.asked, ["far", "nobody", "far"])

    def test_fails(self) -> None:
        """A failure elsewhere is a no."""
        self.assertEqual((self.keys(b"broken"), self.grant("broken")), ((), None))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)


class FileTests(VaultCase):
    """Credentials of a file."""

    def test_used(self) -> None:
        """Those of the file come before those of the storage, and are shown among them; nobody changes them."""
        self.put("b")
        self.put("c", OTHER)
        self.vault.use(packed(f"a,{LINE},x\nc,{LINE}\n"))
        self.assertEqual((self.keys(b"a"), self.keys(b"c"), self.grant("a")), ((KEY,), (KEY,), Grant(("x",))))
        shown, cursor = self.successResultOf(Deferred.fromCoroutine(self.vault.page("", 10)))
        self.assertEqual(([each.identity for each in shown], cursor), (["a", "b", "c"], None))
        self.failureResultOf(self.vault.put([Wanted(Credential("a", "psk"), KEY)], "admin"), ConfiguredCredential)
        self.failureResultOf(self.vault.remove("c", "admin"), ConfiguredCredential)

    def test_reload(self) -> None:
        """Who is in the file no more, or with another key, is revoked."""
        self.vault.use(packed(f"a,{LINE}\nb,{LINE}\nc,{LINE}\n"))
        self.assertEqual(self.revoked, [])
        self.vault.use(packed(f"a,{LINE}\nb,{OTHER.hex()}\nd,{LINE}\n"))
        self.assertEqual(sorted(self.revoked), ["b", "c"])
        self.assertEqual((self.keys(b"c"), self.keys(b"b")), ((), (OTHER,)))

    def test_pages(self) -> None:
        """Pages have each credential once, in order, of both sources."""
        for number in range(0, 40, 3):
            self.put(f"id-{number:02}")
        self.vault.use(packed("".join(f"id-{number:02},{LINE}\n" for number in range(0, 40, 2))))
        wanted = sorted({f"id-{number:02}" for number in (*range(0, 40, 3), *range(0, 40, 2))})
        for limit in (1, 2, 3, 7, 100):
            found: list[str] = []
            after: str | None = ""
            while after is not None:
                shown, after = self.successResultOf(Deferred.fromCoroutine(self.vault.page(after, limit)))
                self.assertLessEqual(len(shown), limit)
                found += [each.identity for each in shown]
            self.assertEqual(found, wanted, limit)


class RestTests(VaultCase):
    """Keys at rest."""

    def test_sealed(self) -> None:
        """With a secret no row shows a key, nor the file's credentials a row; without it keys can't be had."""
        self.put("a")
        self.assertNotIn(KEY, b"".join(self.rows().values()))
        self.vault = self.again(None)
        self.assertEqual(self.keys(b"a"), ())
        self.assertEqual(self.vault.counters["unreadable"], 1)
        self.vault = self.again("another secret of the operator")
        self.assertEqual(self.keys(b"a"), ())
        self.vault = self.again(SECRET)
        self.assertEqual(self.keys(b"a"), (KEY,))

    def test_swapped(self) -> None:
        """A row that somebody put in the place of another gives no key."""
        self.put("a")
        self.put("b", OTHER)
        self.storage.commit(Batch(writes=(Write("credentials", "b", self.rows()["a"]),)))
        self.assertEqual(self.keys(b"b"), ())

    def test_taken_over(self) -> None:
        """Rows that were stored plain go on with a secret, and are sealed by it."""
        self.vault = self.again(None)
        for number in range(5):
            self.put(f"id-{number}")
        self.assertIn(KEY, self.rows()["id-0"])
        self.vault = self.again(SECRET)
        self.assertEqual(self.keys(b"id-0"), (KEY,))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.vault.reseal())), 5)
        self.assertNotIn(KEY, b"".join(self.rows().values()))
        self.assertEqual(self.keys(b"id-4"), (KEY,))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.vault.reseal())), 0)

    def test_damaged(self) -> None:
        """A damaged row is no credential, and keeps no others from being listed."""
        self.put("a")
        self.put("b")
        self.storage.commit(Batch(writes=(Write("credentials", "a", b"\x00nonsense"),)))
        self.assertEqual(self.keys(b"a"), ())
        shown, _ = self.successResultOf(Deferred.fromCoroutine(self.vault.page("", 10)))
        self.assertEqual([each.identity for each in shown], ["b"])
