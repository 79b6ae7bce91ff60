"""The command for object models: list, show, put and delete them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lwm2md.ctl.client import Client, pages, path_of
from lwm2md.ctl.errors import DONE, USAGE, CommandError
from lwm2md.ctl.output import Output
from lwm2md.ctl.tables import facts, show, table

_MODELS: Final = ("id", "version", "name", "multiple", "mandatory", "lwm2m_version", "source")
_RESOURCES: Final = ("id", "name", "operations", "type", "multiple", "mandatory", "range", "unit")

_Action = Callable[[Sequence[str], Namespace, Client, Output], None]


def models(options: Namespace, client: Client, output: Output) -> int:
    """``models``: what the daemon knows of Objects; all of it, one of them, or what is put in force or taken back."""
    ACTIONS[options.action](options.what, options, client, output)
    return DONE


def _list(words: Sequence[str], options: Namespace, client: Client, output: Output) -> None:
    _expect(words, 0, 0, "list takes no more")
    output.items(pages(client, "/v1/models", {}, options.limit), _heads(_MODELS), _MODELS)


def _show(words: Sequence[str], options: Namespace, client: Client, output: Output) -> None:
    _expect(words, 1, 2, "show OBJECT [VERSION] is expected")
    found = client.get(path_of("models", *words))
    if len(words) == 1:
        output.items(found["items"], _heads(_MODELS), _MODELS)
    else:
        output.document(found, _lines(found, output.columns))


def _put(words: Sequence[str], options: Namespace, client: Client, output: Output) -> None:
    _expect(words, 1, len(words), "put FILE... is expected")
    _once(options)
    for name in words:
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror or error}", USAGE) from None
        document = client.request("PUT", "/v1/models", body=content).document
        lines = [f"{each['id']} {each['version']} {show(each['name'])}" for each in document["items"]]
        output.document(document, [*lines, *(f"{name}, {show(remark)}" for remark in document["remarks"])])


def _delete(words: Sequence[str], options: Namespace, client: Client, output: Output) -> None:
    _expect(words, 2, 2, "delete OBJECT VERSION is expected")
    _once(options)
    client.request("DELETE", path_of("models", *words))


def _expect(words: Sequence[str], least: int, most: int, expected: str) -> None:
    if not least <= len(words) <= most:
        raise CommandError(f"models: {expected}", USAGE)


def _once(options: Namespace) -> None:
    if options.every is not None:
        raise CommandError("models: --watch is for list and show", USAGE)


def _lines(model: Mapping[str, Any], columns: int) -> Iterator[str]:
    yield from facts({name: value for name, value in model.items() if name != "resources"})
    yield ""
    rows = [[resource[name] for name in _RESOURCES] for resource in model["resources"]]
    yield from table(_heads(_RESOURCES), rows, columns)


def _heads(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ").upper() for name in names]


ACTIONS: Final[Mapping[str, _Action]] = {"list": _list, "show": _show, "put": _put, "delete": _delete}
"""What can be done with object models, by its word."""
