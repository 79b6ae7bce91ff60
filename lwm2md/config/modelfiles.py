"""The operator's directory of object models: every DDF file in it, with all that is wrong with any of them.

RULES: files are ``*.xml``, in the order of their names, without those of directories below. No two files describe the
same version of an Object. A file larger than any may be is told, not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from lwm2md.config.errors import ConfigError
from lwm2md.lwm2m import ddf
from lwm2md.lwm2m.models import ObjectModel

_MOST_FILES: Final = 10_000


@attrs.frozen
class ModelFiles:
    """What a directory has: ``models``, what is wrong, and ``remarks`` on what is odd, a line each."""

    models: tuple[ObjectModel, ...]
    errors: tuple[ConfigError, ...]
    remarks: tuple[str, ...]


def read(directory: str) -> ModelFiles:
    """Read every file of the directory. Raises OSError where there is no directory that can be read."""
    files = sorted(path for path in Path(directory).iterdir() if path.suffix == ".xml")
    found: dict[tuple[int, str], tuple[ObjectModel, Path]] = {}
    errors: list[ConfigError] = []
    remarks: list[str] = []
    if len(files) > _MOST_FILES:
        errors.append(ConfigError(directory, f"at most {_MOST_FILES} files, *.xml"))
    for file in files[:_MOST_FILES]:
        try:
            definitions = ddf.read(_content(file))
        except (OSError, ddf.DdfError) as error:
            errors += _faults(file, error)
            continue
        remarks += [f"{file}, {remark}" for remark in definitions.remarks]
        for model in definitions.models:
            _, first = found.setdefault((model.id, model.version), (model, file))
            if first is not file:
                problem = f"Object {model.id} version {model.version} is in {first} already"
                errors.append(ConfigError(str(file), "", problem=problem))
    return ModelFiles(tuple(model for model, _ in found.values()), tuple(errors), tuple(remarks))


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(ddf.MOST_BYTES + 1)


def _faults(file: Path, error: OSError | ddf.DdfError) -> Iterator[ConfigError]:
    if isinstance(error, OSError):
        yield ConfigError(str(file), f"a readable file ({error.strerror})")
        return
    for fault in error.faults:
        yield ConfigError(str(file), "", problem=f"{fault.element}: {fault.message}", line=fault.line)
