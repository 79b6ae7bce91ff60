"""Credentials where they are kept: in the storage, sealed, with a few grants at hand.

RULES: a key leaves only through `KeysOf`, to a handshake. Handshakes ask the storage each time, for identities that
there are as for those that there are not, so that the time tells nothing. Changes are made one after the other, each
with its record of the audit log in the same transaction. Who listens on ``revoked`` is told of every identity that must
prove itself anew, and then who listens on ``changed`` of all whose credentials are others, or no more.
"""

from __future__ import annotations

import hashlib
import hmac
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import attrs
import msgspec
from twisted.internet.defer import Deferred, DeferredLock, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.security import audit
from lwm2md.security.credentials import (
    LONGEST,
    NOSEC,
    BadCredential,
    Credential,
    Key,
    Scope,
    checked_identity,
    from_row,
    kind_of,
    rotated,
    to_row,
)
from lwm2md.security.csvfile import Packed, Row
from lwm2md.security.rules import Grant, exactly
from lwm2md.security.sealing import Seal, SealError
from lwm2md.server.effects import Commit, Write
from lwm2md.server.errors import ConfiguredCredential, LimitReached, UnknownCredential
from lwm2md.storage.interface import Storage

TABLE: Final = "credentials"
_META: Final = "meta"
_COUNT: Final = "credentials-count"
_AT_HAND: Final = 10_000
_PAGE: Final = 1000
_DECOY: Final = 16
_SECRET: Final = 32
_NOBODY: Final = "\n"


class NotStored(Exception):  # noqa: N818  what the API says of it
    """The change was right, and the storage did not take it."""


@attrs.frozen(slots=True)
class Wanted:
    """A credential as it is to be: `Credential` says what the fields mean; None is as it was.

    After a new ``key`` those before stay valid for ``overlap`` seconds.
    """

    credential: Credential
    key: bytes | None = attrs.field(default=None, repr=False)
    overlap: float = 0.0


class Vault:
    """The credentials of one daemon. ``submit`` makes commits durable, ``random(size)`` gives unguessable bytes.

    ``elsewhere(identity, scope)`` is asked for PSK identities that are not here, each time; while it fails there is
    none. None asks nobody.
    """

    def __init__(
        self,
        storage: Storage,
        seal: Seal,
        submit: Callable[[Sequence[Commit]], None],
        clock: IReactorTime,
        random: Callable[[int], bytes],
    ) -> None:
        self.revoked: list[Callable[[Sequence[str]], None]] = []
        self.changed: list[Callable[[Sequence[str]], None]] = []
        self.counters = dict.fromkeys(("lookups", "misses", "unreadable"), 0)
        self.count = 0
        self.most = 2_000_000
        self.seal = seal
        self.elsewhere: Callable[[bytes, Scope], Awaitable[Credential | None]] | None = None
        self._storage = storage
        self._submit = submit
        self._clock = clock
        self._secret = random(_SECRET)
        self._file = Packed()
        self._names: list[str] = []
        self._grants: dict[tuple[str, ...], Grant | None] = {}
        self._generation = 0
        self._lock = DeferredLock()
        self.log = Logger()
        self.nobody = Credential("nobody-there", "psk", keys=(Key(bytes(_DECOY)),), created=1.0, changed=1.0)
        self._dummy = seal.seal(to_row(self.nobody))

    async def start(self) -> None:
        """Read how many there are; the storage is open."""
        self.count = int(await self._storage.get(_META, _COUNT) or b"0")

    def use(self, found: Packed) -> None:
        """Take these of a file instead of those before; who is there no more, or with another key, is revoked."""
        before, self._file = self._file, found
        self._names = sorted(found)
        gone = [name for name in before if before.get(name) != found.get(name)]
        self._changed(gone, (*gone, *(name for name in found if name not in before)))

    # Asking

    def grant(self, names: tuple[str, ...], then: Callable[[Grant | None], None], failed: Callable[[], None]) -> None:
        """Call ``then``, at once or later, with what the credential grants that has the first of these names.

        ``failed`` is called instead where the storage can't say.
        """
        if names in self._grants:
            found = self._grants.pop(names)
            self._grants[names] = found
            then(found)
            return
        generation = self._generation

        def ended(found: Grant | None) -> None:
            if generation == self._generation and self.elsewhere is None:
                self._grants[names] = found
                if len(self._grants) > _AT_HAND:
                    del self._grants[next(iter(self._grants))]
            then(found)

        def unknown(failure: Failure) -> None:
            self.log.error("a credential can't be looked up: {error}", error=failure.value)
            failed()

        asking = Deferred.fromCoroutine(self._first(names))
        asking.addCallbacks(lambda found: ended(None if found is None else _grant(found)), unknown)
        asking.addErrback(lambda failure: self.log.failure("what followed the lookup of a credential failed", failure))

    async def _first(self, names: Sequence[str]) -> Credential | None:
        for name in names:
            found = await self.known(name)
            if found is not None:
                return found
        return None

    async def known(self, identity: str, scope: Scope = "registration") -> Credential | None:
        """The credential of an identity, ours or from ``elsewhere``. Raises StorageError."""
        return await self.or_elsewhere(await self.find(identity), identity, scope)

    async def or_elsewhere(self, found: Credential | None, identity: str, scope: Scope) -> Credential | None:
        """What was found, or where that is nothing the credential that ``elsewhere`` has."""
        if found is None and self.elsewhere is not None and identity != _NOBODY and kind_of(identity) == "psk":
            try:
                return await self.elsewhere(identity.encode(), scope)
            except Exception:
                self.log.failure("credentials from elsewhere can't be had")
        return found

    def find(self, identity: str) -> Deferred[Credential | None]:
        """The credential of an identity; None if there is none. Fails with StorageError."""
        self.counters["lookups"] += 1
        return self._storage.get(TABLE, identity).addCallback(self._found, identity)

    def _found(self, row: bytes | None, identity: str) -> Credential | None:
        listed = self._file.get(identity)
        kept = self._opened(identity, row)
        if listed is not None:
            return of_file(listed)
        self.counters["misses"] += kept is None
        return kept

    def in_file(self, identity: str) -> bool:
        """Whether an identity is of the file that ``[security] psk`` names."""
        return identity in self._file

    def _opened(self, identity: str, row: bytes | None) -> Credential | None:
        """What is in a row; for no row as much is done."""
        name = identity if row is not None else ""
        try:
            found = from_row(self.seal.open(row or self._dummy, name))
        except (SealError, msgspec.DecodeError) as error:
            self.counters["unreadable"] += 1
            self.log.error("the credential {identity} can't be used: {error}", identity=identity, error=error)
            return None
        return None if row is None else found

    async def page(self, after: str, limit: int) -> tuple[list[Credential], str | None]:
        """At most ``limit`` credentials behind an identity, in order, and where the next page goes on."""
        rows = await self._storage.scan(TABLE, after, limit + 1)
        last = rows[-1][0] if len(rows) > limit else None
        start = bisect_right(self._names, after)
        listed = self._names[start : start + limit + 1]
        found = {key: self._opened(key, row) for key, row in rows}
        found |= {name: of_file(row) for name in listed if (row := self._file.get(name)) is not None}
        keys = sorted(found)
        if last is not None:
            keys = [key for key in keys if key <= last]
        shown = keys[:limit]
        more = len(keys) > limit or last is not None
        cursor = shown[-1] if shown and more else None
        return [credential for key in shown if (credential := found[key]) is not None], cursor

    # Changing

    def put(self, wanted: Sequence[Wanted], by: str, *, check: bool = False) -> Deferred[list[tuple[Credential, bool]]]:
        """Make these credentials valid, all or none; each as it is now, and whether it is new. ``check`` only tries.

        Fails with BadCredential (its ``field`` is that of an item ``items[N]`` where there are several),
        ConfiguredCredential, LimitReached, NotStored, StorageError.
        """
        return self._alone(lambda: self._put(wanted, by, check))

    async def _put(self, wanted: Sequence[Wanted], by: str, check: bool) -> list[tuple[Credential, bool]]:
        now = self._clock.seconds()
        before = await self._all_kept([item.credential.identity for item in wanted])
        made, revoked = [], []
        for item, known in zip(wanted, before, strict=True):
            credential = self._made(item, known, now)
            made.append((credential, known is None))
            if _proves_anew(known or Credential(credential.identity, credential.type), credential, now):
                revoked.append(credential.identity)
        coming = sum(new for _, new in made)
        if self.count + coming > self.most:
            raise LimitReached(f"{self.count} credentials are there, and {self.most} may be ([limits] credentials)")
        if not check:
            writes = [Write(TABLE, found.identity, self._row(found)) for found, _ in made]
            await self._commit(writes, coming, _record(made, by, now))
            self._changed(revoked, [credential.identity for credential, _ in made])
        return made

    def _made(self, item: Wanted, known: Credential | None, now: float) -> Credential:
        asked = item.credential
        if asked.identity in self._file:
            raise ConfiguredCredential(f"{asked.identity!r} is in the file that [security] psk names")
        keys = known.keys if known is not None else ()
        if item.key is not None:
            keys = rotated(keys, item.key, item.overlap, now)
        if asked.type == "psk" and not keys:
            raise BadCredential("key", "a new identity needs a key, in hex")
        created = known.created if known is not None else now
        return msgspec.structs.replace(asked, keys=keys, created=created, changed=now)

    def remove(self, identity: str, by: str) -> Deferred[None]:
        """Let an identity prove nothing any more. Fails with UnknownCredential, ConfiguredCredential and as `put`."""
        return self._alone(lambda: self._remove(identity, by))

    async def _remove(self, identity: str, by: str) -> None:
        if identity in self._file:
            raise ConfiguredCredential(f"{identity!r} is in the file that [security] psk names")
        row = await self._storage.get(TABLE, identity)
        if row is None:
            raise UnknownCredential(f"no credential {identity[:LONGEST]!r}")
        record = audit.Record(self._clock.seconds(), by, audit.CREDENTIAL_REMOVED, identity)
        await self._commit([Write(TABLE, identity, None)], -1, record)
        self._changed([identity], [identity])

    async def _all_kept(self, identities: Sequence[str]) -> list[Credential | None]:
        asked = [Deferred.fromCoroutine(self._kept(identity)) for identity in identities]
        try:
            return await gatherResults(asked, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()

    async def _kept(self, identity: str) -> Credential | None:
        row = await self._storage.get(TABLE, identity)
        return None if row is None else self._opened(identity, row)

    def _row(self, credential: Credential) -> bytes:
        return self.seal.seal(to_row(credential), credential.identity)

    def _commit(self, writes: list[Write], more: int, record: audit.Record) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        writes.append(Write(_META, _COUNT, b"%d" % (self.count + more)))

        def ended(committed: bool, _now: float) -> None:
            if committed:
                self.count += more
                done.callback(None)
            else:
                done.errback(NotStored())

        self._submit((Commit(tuple(writes), (), ended, records=(audit.to_row(record),)),))
        return done

    def _changed(self, revoked: Sequence[str], changed: Sequence[str]) -> None:
        self._generation += 1
        self._grants.clear()
        for observer in self.revoked if revoked else ():
            try:
                observer(revoked)
            except Exception:
                self.log.failure("the sessions of revoked identities could not be ended")
        for told in self.changed:
            try:
                told(changed)
            except Exception:
                self.log.failure("the registrations of changed credentials could not be looked at")

    def _alone(self, change: Callable[[], Any]) -> Deferred[Any]:
        return self._lock.run(lambda: Deferred.fromCoroutine(change()))

    # At rest

    async def reseal(self, table: str = TABLE) -> int:
        """Seal the rows of a table that were stored plain before there was a key; how many there were."""
        after, sealed = "", 0
        while self.seal.active:
            rows = await self._storage.scan(table, after, _PAGE)
            plain = [key for key, row in rows if not self.seal.is_sealed(row)]
            if plain:
                sealed += await self._alone(lambda keys=tuple(plain): self._reseal(table, keys))  # type: ignore[misc]
            if len(rows) < _PAGE:
                break
            after = rows[-1][0]
        return sealed

    async def _reseal(self, table: str, keys: Sequence[str]) -> int:
        writes = []
        for key in keys:
            row = await self._storage.get(table, key)
            if row is not None and not self.seal.is_sealed(row):
                writes.append(Write(table, key, self.seal.seal(self.seal.open(row, key), key)))
        done: Deferred[bool] = Deferred()
        self._submit((Commit(tuple(writes), (), lambda committed, _: done.callback(committed)),))
        return len(writes) if await done else 0

    # Handshakes

    def keys(self, scope: Scope) -> KeysOf:
        """The keys for handshakes of a scope."""
        return KeysOf(self, scope)

    def secret_of(self, identity: bytes) -> bytes:
        """A key that is derived of the identity and a secret of this process."""
        return hmac.digest(self._secret, identity, hashlib.sha256)[:_DECOY]

    def now(self) -> float:
        """The time by which keys are valid."""
        return self._clock.seconds()


class KeysOf:
    """`lwm2md.security.credentials.Keys` of one scope."""

    def __init__(self, vault: Vault, scope: Scope) -> None:
        self._vault = vault
        self._scope = scope

    def psk(self, identity: bytes, then: Callable[[Sequence[bytes]], None]) -> None:
        """Call ``then`` with the keys of an identity, newest first; none if unknown, blocked or of another scope."""
        vault, name = self._vault, _text(identity)
        asking = vault.find(name)
        if vault.elsewhere is not None:
            asking.addCallback(lambda found: Deferred.fromCoroutine(vault.or_elsewhere(found, name, self._scope)))
        asking.addCallbacks(self._tell, self._unknown, (then,), errbackArgs=(then,))

    def decoy(self, identity: bytes) -> bytes:
        """The key that an unknown identity is tried with."""
        return self._vault.secret_of(identity)

    def _unknown(self, failure: Failure, then: Callable[[Sequence[bytes]], None]) -> None:
        self._vault.log.error("a handshake fails, its key can't be looked up: {error}", error=failure.value)
        self._tell(None, then)

    def _tell(self, found: Credential | None, then: Callable[[Sequence[bytes]], None]) -> None:
        keys = (found or self._vault.nobody).valid(self._vault.now())
        try:
            then(keys if found is not None and found.type == "psk" and found.scope == self._scope else ())
        except Exception:
            self._vault.log.failure("what followed a lookup of a key failed")


def of_file(row: Row) -> Credential:
    """The credential that a line of a file stands for."""
    keys = (Key(bytes.fromhex(row.key)),) if row.key else ()
    return Credential(row.identity, row.type, row.scope, row.endpoints, keys, note=row.note)


def _grant(credential: Credential) -> Grant:
    endpoints = credential.endpoints
    if credential.type == "nosec":
        endpoints = (exactly(credential.identity.removeprefix(NOSEC)),)
    return Grant(endpoints, credential.labels, credential.scope, credential.blocked)


def _proves_anew(before: Credential, now: Credential, time: float) -> bool:
    """Whether what was proved before is worth nothing by what holds now."""
    if now.blocked or before.scope != now.scope:
        return True
    return not set(before.valid(time)) <= set(now.valid(time))


def _record(made: Sequence[tuple[Credential, bool]], by: str, now: float) -> audit.Record:
    if len(made) == 1:
        credential, new = made[0]
        details = {"new": new, "keys": len(credential.keys), "blocked": credential.blocked, "scope": credential.scope}
        return audit.Record(now, by, audit.CREDENTIAL_PUT, credential.identity, details)
    identities = [credential.identity for credential, _ in made]
    return audit.Record(now, by, audit.CREDENTIALS_IMPORTED, "", {"count": len(made), "identities": identities})


def _text(identity: bytes) -> str:
    """The identity as text; what can't be one is looked up all the same, under a name that nobody has."""
    try:
        return checked_identity(identity.decode(), "psk")
    except (UnicodeDecodeError, BadCredential):
        return _NOBODY
