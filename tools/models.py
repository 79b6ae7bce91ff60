"""``python -m tools.models DIRECTORY...``: put what DDF files describe into the table of models, ``lwm2m/models.txt``.

RULES: the table has the last word. An Object and version that is in it stays as it is, and what a file says otherwise
is printed, for a person to decide; what is not in it is added. Only facts are taken: ids, names, versions, operations,
types, ranges, units. An Object that gets another version is written anew, all others keep their lines.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

import lwm2md.lwm2m
from lwm2md.lwm2m import ddf
from lwm2md.lwm2m.models import ObjectModel, ResourceModel, order, parse

TABLE = Path(lwm2md.lwm2m.__file__).with_name("models.txt")

_HEADER = re.compile(r"^object\|(\d+)\|.*$", re.MULTILINE)
_Span = tuple[ResourceModel, tuple[str, ...]]
"""A Resource with the versions of its Object that have it."""


def read(directories: Iterable[Path]) -> Iterator[ObjectModel]:
    """The models of all DDF files in directories; what can't be read is said on standard error."""
    for directory in directories:
        for file in sorted(directory.glob("*.xml")):
            try:
                found = ddf.read(file.read_bytes())
            except ddf.DdfError as error:
                sys.stderr.write(f"{file}: {error}\n")
                continue
            for remark in found.remarks:
                sys.stderr.write(f"{file}: {remark}\n")
            yield from found.models


def differences(mine: ObjectModel, theirs: ObjectModel) -> Iterator[str]:
    """What a file says of a version that the table has, where it says something else."""
    where = f"object {mine.id} version {mine.version}"
    for name in ("name", "multiple", "mandatory", "enabler"):
        if getattr(mine, name) != getattr(theirs, name):
            yield f"{where}: {name} {getattr(mine, name)!r}, in the file {getattr(theirs, name)!r}"
    for identifier in sorted({*mine.resources, *theirs.resources}):
        known, found = mine.resources.get(identifier), theirs.resources.get(identifier)
        if known is None or found is None:
            yield f"{where}: resource {identifier} is only in the {'file' if known is None else 'table'}"
        elif known != found:
            fields = [field.name for field in attrs.fields(ResourceModel)]
            said = [f"{name} {getattr(known, name)!r}, in the file {getattr(found, name)!r}" for name in fields
                    if getattr(known, name) != getattr(found, name)]  # fmt: skip
            yield f"{where} resource {identifier}: {'; '.join(said)}"


def extended(table: str, models: Iterable[ObjectModel]) -> tuple[str, list[str]]:
    """The table with what was missing in it, and what the models say otherwise, a line each."""
    head, blocks = _split(table)
    known: dict[int, dict[str, ObjectModel]] = {}
    for model in parse(table):
        known.setdefault(model.id, {})[model.version] = model
    said: dict[str, None] = {}
    for model in models:
        versions = known.setdefault(model.id, {})
        if versions.setdefault(model.version, model) is not model:
            said.update(dict.fromkeys(differences(versions[model.version], model)))
        else:
            blocks.pop(model.id, None)
    groups = _groups(head)
    for identifier, versions in known.items():
        if identifier not in blocks:
            found = sorted(versions.values(), key=lambda model: order(model.version))
            blocks[identifier] = _composed(found, head, groups)
    return head + "\n".join(blocks[identifier] for identifier in sorted(blocks)), list(said)


def _split(table: str) -> tuple[str, dict[int, str]]:
    """What stands before the first Object, and the lines of each Object."""
    starts = [(match.start(), int(match[1])) for match in _HEADER.finditer(table)]
    ends = [*(start for start, _ in starts), len(table)]
    blocks: dict[int, str] = {}
    for (start, identifier), end in zip(starts, ends[1:], strict=True):
        blocks[identifier] = blocks.get(identifier, "") + table[start:end].rstrip("\n") + "\n"
    return table[: ends[0]], blocks


def _groups(head: str) -> list[str]:
    return re.findall(r"^group\|(.*)$", head, re.MULTILINE)


def _composed(models: Sequence[ObjectModel], head: str, groups: Sequence[str]) -> str:
    """The lines of one Object; versions that differ in more than Resources and name have a header each."""
    blocks = []
    for shape in dict.fromkeys((model.multiple, model.mandatory) for model in models):
        alike = [model for model in models if (model.multiple, model.mandatory) == shape]
        blocks.append("\n".join(_lines(alike, head, groups)) + "\n")
    return "".join(blocks)


def _lines(models: Sequence[ObjectModel], head: str, groups: Sequence[str]) -> Iterator[str]:
    newest = models[-1]
    words = [model.version if model.enabler == "1.0" else f"{model.version}@{model.enabler}" for model in models]
    shape = ("multiple" if newest.multiple else "single", "mandatory" if newest.mandatory else "optional")
    yield "|".join(("object", str(newest.id), _plain(newest.name), " ".join(words), *shape))
    versions = tuple(model.version for model in models)
    lines: list[_Span | str] = list(_spans(models))
    expanded = {group: _expanded(head, group, versions) for group in groups}
    for group, members in sorted(expanded.items(), key=lambda entry: -len(entry[1])):
        if members and members <= set(lines):
            at = min(map(lines.index, members))
            lines = [group if index == at else line for index, line in enumerate(lines)
                     if index == at or line not in members]  # fmt: skip
    yield from (f"+{line}" if isinstance(line, str) else _line(*line, versions) for line in lines)


def _spans(models: Iterable[ObjectModel]) -> Iterator[_Span]:
    """Every Resource, with neighbouring versions that have the same together; in the order of the ids."""
    found: dict[ResourceModel, list[str]] = {}
    for model in models:
        for resource in model.resources.values():
            found.setdefault(resource, []).append(model.version)
    for resource in sorted(found, key=lambda each: each.id):
        yield resource, tuple(found[resource])


def _expanded(head: str, group: str, versions: Sequence[str]) -> set[_Span | str]:
    """What a group stands for in an Object of these versions."""
    stand_in = f"{head}\nobject|0|x|{' '.join(versions)}|single|optional\n+{group}"
    return set(_spans(parse(stand_in)))


def _line(resource: ResourceModel, found: Sequence[str], versions: Sequence[str]) -> str:
    shape = ("M" if resource.multiple else "S") + ("!" if resource.mandatory else "")
    first, last = versions.index(found[0]), versions.index(found[-1])
    if tuple(found) != tuple(versions[first : last + 1]):
        raise ValueError(f"resource {resource.id} of versions {found} needs two lines, to be written by hand")
    only = f"{found[0] if first else ''}-{found[-1] if last + 1 < len(versions) else ''}"
    fields = (str(resource.id), _plain(resource.name), resource.operations, resource.type.value, shape,
              resource.range, _plain(resource.unit), only if only != "-" else "")  # fmt: skip
    return "|".join(fields).rstrip("|")


def _plain(text: str) -> str:
    return text.replace("|", "¦")


def main(arguments: Sequence[str] | None = None) -> None:
    """Extend the table in the source tree, and print where files say otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.models", description="Extend the table of object models.")
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIRECTORY", help="with DDF files, *.xml")
    given = parser.parse_args(arguments)
    table, said = extended(TABLE.read_text("utf-8"), read(given.directories))
    TABLE.write_text(table, "utf-8")
    sys.stdout.write("".join(f"{line}\n" for line in said))


if __name__ == "__main__":
    main()
