"""``[plugin:NAME]`` by the plugin's own schema: the values of its settings, or everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs

from lwm2md.config.errors import ConfigError, nearest
from lwm2md.config.reader import COMMAND_LINE, Entry
from lwm2md.config.values import BadValue
from lwm2md.plugins.contributions import Setting

PREFIX: Final = "plugin:"


@attrs.frozen
class Found:
    """The ``values`` by key, with ``origins`` of those that were set, or the ``errors``."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    errors: tuple[ConfigError, ...] = ()


def check(name: str, schema: Sequence[Setting], entries: Sequence[Entry]) -> Found:
    """Read the entries of a plugin's section by its schema; later ones override earlier ones."""
    known = {setting.key: setting for setting in schema}
    errors: list[ConfigError] = []
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for entry in entries:
        if entry.key is None:
            continue
        setting = known.get(entry.key)
        if setting is None:
            errors.append(_unknown(entry, known))
            continue
        try:
            values[entry.key] = setting.kind.parse(entry.value.strip())
            origins[entry.key] = entry.file
        except BadValue as bad:
            shown = None if setting.kind.secret else entry.value
            errors.append(ConfigError(entry.file, bad.expected, entry.section, entry.key, shown, bad.suggestion))
    wrong = {error.key for error in errors}
    where = entries[0].file if entries else COMMAND_LINE
    for setting in schema:
        if setting.key in values or setting.key in wrong:
            continue
        if setting.default is None:
            errors.append(ConfigError(where, setting.kind.range, PREFIX + name, setting.key, problem="it is needed"))
        else:
            values[setting.key] = setting.kind.parse(setting.default)
    return Found(MappingProxyType(values), origins, tuple(errors))


def shown(name: str, schema: Sequence[Setting], found: Found) -> Iterator[str]:
    """Lines that say what was set, and where; secrets are masked."""
    for setting in schema:
        if setting.key in found.origins:
            value = setting.kind.show(found.values[setting.key])
            yield f"[{PREFIX}{name}] {setting.key} = {value} ({found.origins[setting.key]})"


def _unknown(entry: Entry, known: Mapping[str, Setting]) -> ConfigError:
    guess = nearest(entry.key or "", known)
    meant = [known[guess]] if guess else list(known.values())
    shown = None if any(setting.kind.secret for setting in meant) else entry.value
    expected = f"one of {', '.join(known)}" if known else ""
    problem = "unknown key" if known else "this plugin has no settings"
    return ConfigError(entry.file, expected, entry.section, entry.key, shown, guess, problem)
