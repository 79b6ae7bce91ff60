"""What a reload does: which settings differ from those that run, which take effect now, and which need a restart.

RULES: nothing is applied here. Files in the directory of object models, and those of certificates and keys, are a part
of the setting that names them. The settings that come out hold what runs for everything that needs a restart, so that
such a change is told again with every reload until there is one. No value is shown: some are secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from lwm2md.config.schema import SECTIONS, Settings, settings_of, value_of

_MODELS = "[lwm2md] models"
_BESIDES = ("files", "origins", "object_models", "remarks", "plugin_entries", "material")


_FILES = ("psk", "certificates", "key", "ca", "crl")


@attrs.frozen
class Reloaded:
    """``settings`` are to run from now on; ``changed`` and ``restart`` name keys as ``[queue] ttl``."""

    settings: Settings
    changed: tuple[str, ...]
    restart: tuple[str, ...]

    def also(self, changed: Sequence[str], restart: Sequence[str]) -> Reloaded:
        """The same with more keys."""
        return attrs.evolve(self, changed=(*self.changed, *changed), restart=(*self.restart, *restart))


def compare(running: Settings, found: Settings) -> Reloaded:
    """Return what comes of reading ``found`` while ``running`` run."""
    changed: list[str] = []
    restart: list[str] = []
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        new: dict[str, object] = {}
        for setting in settings_of(section):
            value = value_of(found, name, setting.key)
            if value == value_of(running, name, setting.key):
                continue
            if setting.reloadable:
                new[setting.key.replace("-", "_")] = value
            (changed if setting.reloadable else restart).append(f"[{name}] {setting.key}")
        sections[name] = attrs.evolve(getattr(running, name), **new)
    if _MODELS not in changed and running.object_models != found.object_models:
        changed.append(_MODELS)
    if running.material != found.material:
        changed += [key for key in _files(running, found) if key not in changed]
    besides = {name: getattr(found, name) for name in _BESIDES}
    settings = attrs.evolve(running, **sections, **besides)
    return Reloaded(settings, tuple(changed), tuple(restart))


def _files(running: Settings, found: Settings) -> Iterator[str]:
    """The settings of files that have another content."""
    for name in _FILES:
        if getattr(running.material, name, None) != getattr(found.material, name, None):
            yield f"[security] {name}"
