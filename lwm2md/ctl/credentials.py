"""What the command line does with credentials: list, show, add, generate, rotate, block, revoke them, and import files.

RULES: a key is on no command line, where everybody on the machine could read it: it comes from a file or standard
input. A generated one is shown once, or written to a file that only its owner reads; nothing gives it again. A file is
sent when all of it is right.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from lwm2md.ctl.client import Client, pages, path_of
from lwm2md.ctl.errors import DONE, FAILED, USAGE, CommandError
from lwm2md.ctl.output import Output, complain
from lwm2md.ctl.tables import show
from lwm2md.security.credentials import BadCredential, key_of, kind_of
from lwm2md.security.csvfile import Fault, Row, read

_NAMES: Final = ("identity", "type", "scope", "endpoint", "keys", "overlap_until", "blocked", "source")
_KEPT: Final = ("type", "scope", "endpoint", "labels", "note", "blocked")
_MOST: Final = 1000
_ITEM: Final = re.compile(r"items\[([0-9]+)\]\.")
_ERASE: Final = "\r\x1b[K"

_Action = Callable[[Sequence[str], Namespace, Client, Output], int]


def _list(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    _expect(words, 0, "list takes no more")
    found = pages(client, "/v1/credentials", {}, options.limit)
    output.items(found, [name.replace("_", " ").upper() for name in _NAMES], _NAMES)
    return DONE


def _show(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    output.facts(client.get(_path(words, "show")))
    return DONE


def _add(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    path = _path(words, "add")
    body = _body(words[0], options)
    key = given_key(options)
    if key is not None:
        body["key"] = key
    elif body["type"] == "psk":
        raise CommandError("credentials: add needs --key-file FILE, or generate makes a key", USAGE)
    output.facts(client.request("PUT", path, body=body).document)
    return DONE


def _rotate(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    path = _path(words, "rotate")
    key = given_key(options)
    known = client.get(path)
    body = {name: known[name] for name in _KEPT}
    body["overlap"] = options.overlap or 0
    if key is None:
        return _generated(words[0], body, options, client, output)
    output.facts(client.request("PUT", path, body={**body, "key": key}).document)
    return DONE


def _generate(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    _path(words, "generate")
    return _generated(words[0], _body(words[0], options), options, client, output)


def _generated(identity: str, body: Mapping[str, object], options: Namespace, client: Client, output: Output) -> int:
    """Put a random key, and hand it out once."""
    path = path_of("credentials", identity)
    if body["type"] != "psk":
        raise CommandError("credentials: only a PSK identity has a key that can be generated", USAGE)
    key = secrets.token_hex(options.bytes)
    if options.out is not None:
        _write(options.out, key)
    try:
        document = client.request("PUT", path, body={**body, "key": key}).document
    except CommandError:
        if options.out is not None:
            Path(options.out).unlink()
        raise
    if options.out is None:
        output.document({**document, "key": key}, [f"{show(identity)} {key}"])
    else:
        output.document(document, [f"the key of {show(identity)} is in {options.out}"])
    return DONE


def _revoke(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    client.request("DELETE", _path(words, "revoke"))
    output.said(f"{show(words[0])} proves nothing any more")
    return DONE


def _block(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    return _blocked(words, client, output, block=True)


def _unblock(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    return _blocked(words, client, output, block=False)


def _blocked(words: Sequence[str], client: Client, output: Output, *, block: bool) -> int:
    path = _path(words, "block" if block else "unblock")
    known = client.get(path)
    body = {**{name: known[name] for name in _KEPT}, "blocked": block}
    output.facts(client.request("PUT", path, body=body).document)
    return DONE


def _import(words: Sequence[str], options: Namespace, client: Client, output: Output) -> int:
    """Send the lines of files: a file that has a fault not at all, or with ``--partial`` all its other lines."""
    if not words:
        raise CommandError("credentials: import FILE... is expected", USAGE)
    status = DONE
    for name in words:
        rows, faults = _rows(name)
        for fault in faults:
            complain(f"{name}: {fault}")
        if faults:
            status = FAILED
        if faults and not options.partial:
            complain(f"{name}: nothing is imported, {len(faults)} of its lines are wrong")
            continue
        if not _send(name, rows, options, client, output):
            status = FAILED
    return status


def _send(name: str, rows: Sequence[Row], options: Namespace, client: Client, output: Output) -> bool:
    """Whether all rows were taken; first it is looked whether they would be, unless a part of them will do."""
    whole = True
    done = {"created": 0, "replaced": 0}
    for check in (False,) if options.partial else (True, False):
        for number, chunk in enumerate(_chunks(rows)):
            _progress(f"{name}: {'checking' if check else 'importing'}, {number * _MOST} of {len(rows)}")
            taken = _put(name, chunk, options, client, {} if check else done, check=check)
            whole = whole and taken
            if not taken and not options.partial:
                if not check:
                    complain(f"{name}: the lines before are imported; it can be imported again")
                return False
    _progress("")
    output.document({"file": name, **done}, [f"{name}: {done['created']} new, {done['replaced']} replaced"])
    return whole


def _put(
    name: str, rows: Sequence[Row], options: Namespace, client: Client, done: dict[str, int], *, check: bool
) -> bool:
    """Put these rows, or with ``--partial`` those of them that are taken; whether all were."""
    body = {"items": [_item(row, options) for row in rows], "check": check}
    try:
        document = client.request("POST", "/v1/credentials", body=body).document
    except CommandError as error:
        if error.status != FAILED:
            raise
        if options.partial and len(rows) > 1:
            middle = len(rows) // 2
            parts = [_put(name, part, options, client, done, check=check) for part in (rows[:middle], rows[middle:])]
            return all(parts)
        _progress("")
        complain(f"{name}: {_ITEM.sub(lambda found: f'line {rows[int(found[1])].line}: ', str(error))}")
        return False
    for what in done:
        done[what] += document[what]
    return True


def _item(row: Row, options: Namespace) -> dict[str, object]:
    item: dict[str, object] = {
        "identity": row.identity,
        "type": row.type,
        "endpoint": list(row.endpoints),
        "scope": row.scope,
        "note": row.note,
        "overlap": options.overlap or 0,
    }
    if row.key:
        item["key"] = row.key
    if row.type == "nosec":
        del item["endpoint"]
    return item


def _rows(name: str) -> tuple[list[Row], list[Fault]]:
    rows: list[Row] = []
    faults: list[Fault] = []
    for found in read(_content(name)):
        if isinstance(found, Row):
            rows.append(found)
        else:
            faults.append(found)
    return rows, faults


def _chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while chunk := list(islice(waiting, _MOST)):
        yield chunk


def _body(identity: str, options: Namespace) -> dict[str, object]:
    body: dict[str, object] = {
        "type": kind_of(identity),
        "scope": options.scope,
        "labels": dict(options.label),
        "note": options.note or "",
        "overlap": options.overlap or 0,
    }
    if options.endpoint:
        body["endpoint"] = options.endpoint
    return body


def given_key(options: Namespace) -> str | None:
    """The key of the file that was named, or of standard input; None where none was."""
    if options.key_file is None:
        return None
    text = _content(options.key_file).strip()
    try:
        key_of(text)
    except BadCredential as error:
        raise CommandError(f"{options.key_file}: {error}", USAGE) from None
    return text


def _content(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}", USAGE) from None
    except UnicodeDecodeError:
        raise CommandError(f"{name}: not UTF-8 text", USAGE) from None


def _write(name: str, key: str) -> None:
    """A new file that only its owner reads: never one that is there."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}", USAGE) from None


def _path(words: Sequence[str], action: str) -> str:
    if len(words) != 1:
        raise CommandError(f"credentials: {action} IDENTITY is expected", USAGE)
    return path_of("credentials", words[0])


def _expect(words: Sequence[str], most: int, expected: str) -> None:
    if len(words) > most:
        raise CommandError(f"credentials: {expected}", USAGE)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(_ERASE + text)
        sys.stderr.flush()


ACTIONS: Final[Mapping[str, _Action]] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "generate": _generate,
    "rotate": _rotate,
    "block": _block,
    "unblock": _unblock,
    "revoke": _revoke,
    "import": _import,
}
"""What can be done with credentials, by its word."""
