"""Loading: files, ``conf.d``, command line; then every entry against the schema; then what settings ask of each other.

RULES: later overrides earlier: the main file, ``conf.d/*.ini`` beside it in the order of their names, ``--set``. Every
entry is checked, the overridden ones too. All faults are reported together, those of the files of object models too.
Of the environment only ``env:NAME`` of a secret is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from lwm2md.config.errors import ConfigError, ConfigErrors, nearest
from lwm2md.config.reader import COMMAND_LINE, Entry, read_file, read_sets
from lwm2md.config.schema import SECTIONS, Settings, settings_of, value_of
from lwm2md.config.setting import Setting
from lwm2md.config.values import PLUGIN_NAME, STORAGE_EXPECTED, STORAGE_SCHEMES, BadValue

DEFAULT_FILE: Final = "/etc/lwm2md/lwm2md.ini"
PLUGIN: Final = "plugin"
"""What stands before the colon and a plugin's name in the name of its section."""

_Key = tuple[str, str]


def load(path: str | None = None, sets: Sequence[str] = ()) -> Settings:
    """Load the configuration from the file at ``path``, its ``conf.d``, and ``sets`` (``section.key=value``).

    ``path`` None means built-in defaults below ``sets``. Raises ConfigErrors with everything that is wrong.
    """
    files = [] if path is None else [path, *_drop_ins(path)]
    entries: list[Entry] = []
    errors: list[ConfigError] = []
    for found, faults in (*map(read_file, files), read_sets(sets)):
        entries += found
        errors += faults
    of_plugins, entries = _plugin_entries(entries)
    values, origins = _check(entries, errors)
    settings = attrs.evolve(_build(values, origins, tuple(files)), plugin_entries=of_plugins)
    broken = {(error.section, error.key) for error in errors}
    errors += [error for needed, error in _relations(settings) if broken.isdisjoint(needed)]
    settings = _with_material(_with_models(settings, errors), errors)
    if errors:
        raise ConfigErrors(errors)
    # Absolute: the daemon may go to another directory before a plugin is looked for again.
    where = [Path(_beside(settings, ("plugins", "path"), path)).absolute() for path in settings.plugins.path]
    return attrs.evolve(settings, plugins=attrs.evolve(settings.plugins, path=tuple(map(str, where))))


def describe(settings: Settings) -> Iterator[str]:
    """Give the lines of ``--check``: the files in their order, then each setting that was set, secrets masked, then
    what is odd in the files of object models.
    """
    for file in settings.files:
        yield f"file {file}"
    for name, section in SECTIONS.items():
        for setting in settings_of(section):
            origin = settings.origins.get((name, setting.key))
            if origin is not None:
                value = setting.kind.show(value_of(settings, name, setting.key))
                yield f"[{name}] {setting.key} = {value} ({origin})"
    yield from (f"note {remark}" for remark in settings.remarks)


def _with_models(settings: Settings, errors: list[ConfigError]) -> Settings:
    """The settings with the models of the directory; add what is wrong with its files to ``errors``."""
    if not settings.lwm2md.models:
        return settings
    from lwm2md.config import modelfiles  # noqa: PLC0415  most configurations name no directory

    try:
        found = modelfiles.read(_beside(settings, ("lwm2md", "models"), settings.lwm2md.models))
    except OSError as error:
        reason = f"a readable directory ({error.strerror})"
        errors.append(fault_of(settings, "lwm2md", "models", reason))
        return settings
    errors += found.errors
    return attrs.evolve(settings, object_models=found.models, remarks=found.remarks)


def _with_material(settings: Settings, errors: list[ConfigError]) -> Settings:
    """The settings with what is in the files of ``[security]``; add what is wrong with them to ``errors``."""
    security = settings.security
    if not any((security.psk, security.certificates, security.key, security.ca, security.crl)):
        return settings
    from lwm2md.config import material  # noqa: PLC0415  most configurations name no file

    found, faults = material.read(security, lambda key, path: _beside(settings, ("security", key), path))
    errors += faults
    return attrs.evolve(settings, material=found)


def _beside(settings: Settings, key: _Key, path: str) -> str:
    """A path that is relative to the file that has it; to the working directory where the command line does."""
    origin = settings.origins.get(key)
    return str(Path(origin).parent / path) if origin in settings.files else path


def _drop_ins(path: str) -> list[str]:
    return [str(file) for file in sorted((Path(path).parent / "conf.d").glob("*.ini"))]


def _check(entries: Sequence[Entry], errors: list[ConfigError]) -> tuple[dict[_Key, Any], dict[_Key, str]]:
    """Parse each entry by the schema; add what is wrong to ``errors``, once per unknown section of a file."""
    schema = {name: {setting.key: setting for setting in settings_of(section)} for name, section in SECTIONS.items()}
    values: dict[_Key, Any] = {}
    origins: dict[_Key, str] = {}
    unknown: set[tuple[str, str]] = set()
    for entry in entries:
        known = schema.get(entry.section)
        if known is None:
            if (entry.file, entry.section) not in unknown:
                unknown.add((entry.file, entry.section))
                errors.append(_unknown_section(entry))
        elif entry.key is not None:
            value = _parse(entry, known)
            if isinstance(value, ConfigError):
                errors.append(value)
            else:
                values[entry.section, entry.key] = value
                origins[entry.section, entry.key] = entry.file
    return values, origins


def _plugin_entries(entries: Sequence[Entry]) -> tuple[dict[str, list[Entry]], list[Entry]]:
    """The entries of each ``[plugin:NAME]``, by name, and all others."""
    of_plugins: dict[str, list[Entry]] = {}
    others: list[Entry] = []
    for entry in entries:
        prefix, colon, name = entry.section.partition(":")
        if prefix == PLUGIN and colon and PLUGIN_NAME.fullmatch(name):
            of_plugins.setdefault(name, []).append(entry)
        else:
            others.append(entry)
    return of_plugins, others


def _unknown_section(entry: Entry) -> ConfigError:
    if entry.section == "DEFAULT":
        return ConfigError(
            entry.file, "each setting in its own section", entry.section, problem="it has no meaning here"
        )
    expected = f"one of {', '.join(SECTIONS)}, plugin:NAME"
    return ConfigError(
        entry.file, expected, entry.section, suggestion=nearest(entry.section, SECTIONS), problem="unknown section"
    )


def _parse(entry: Entry, known: Mapping[str, Setting]) -> object:
    """Return the entry's value, or the ConfigError that it is."""
    setting = known.get(entry.key or "")
    if setting is None:
        return _unknown_key(entry, known)
    try:
        return setting.kind.parse(entry.value.strip())
    except BadValue as bad:
        value = None if setting.kind.secret else entry.value
        return ConfigError(entry.file, bad.expected, entry.section, entry.key, value, bad.suggestion)


def _unknown_key(entry: Entry, known: Mapping[str, Setting]) -> ConfigError:
    """The value is shown only where it cannot be a misspelt key's secret."""
    guess = nearest(entry.key or "", known)
    meant = [known[guess]] if guess else list(known.values())
    return ConfigError(
        entry.file,
        f"one of {', '.join(known)}",
        entry.section,
        entry.key,
        None if any(setting.kind.secret for setting in meant) else entry.value,
        guess,
        "unknown key",
    )


def _build(values: Mapping[_Key, Any], origins: Mapping[_Key, str], files: tuple[str, ...]) -> Settings:
    settings = Settings(files=files, origins=dict(origins))
    for (section, key), value in values.items():
        changed = attrs.evolve(getattr(settings, section), **{key.replace("-", "_"): value})
        settings = attrs.evolve(settings, **{section: changed})
    return settings


def _relations(settings: Settings) -> Iterator[tuple[set[_Key], ConfigError]]:
    """What is wrong between settings that are each right, with the keys that it is reckoned from."""
    if not settings.coap.nosec:
        hint = "a loopback address, or nosec = yes beside it: plain CoAP beyond this machine must be asked for"
        for address in settings.coap.listen:
            if not address.loopback:
                yield {("coap", "listen"), ("coap", "nosec")}, fault_of(settings, "coap", "listen", hint, str(address))
    scheme = settings.storage.url.partition(":")[0]
    if scheme not in STORAGE_SCHEMES and not settings.plugins.enable:
        guess = nearest(scheme, STORAGE_SCHEMES)
        fault = fault_of(settings, "storage", "url", f"{STORAGE_EXPECTED}; no plugin is enabled that has another")
        yield {("storage", "url"), ("plugins", "enable")}, attrs.evolve(fault, suggestion=guess and f"{guess}:")
    lifetimes = settings.registration
    if lifetimes.min_lifetime > lifetimes.default_lifetime:
        needed = {("registration", "min-lifetime"), ("registration", "default-lifetime")}
        yield needed, fault_of(settings, "registration", "min-lifetime", "at most default-lifetime")
    if 0 < lifetimes.max_lifetime < lifetimes.default_lifetime:
        needed = {("registration", "max-lifetime"), ("registration", "default-lifetime")}
        yield needed, fault_of(settings, "registration", "max-lifetime", "at least default-lifetime")
    security = settings.security
    if bool(security.certificates) != bool(security.key):
        missing = "key" if security.certificates else "certificates"
        expected = "a file, as certificates and key come together"
        yield {("security", "certificates"), ("security", "key")}, fault_of(settings, "security", missing, expected)
    if security.crl and not security.ca:
        yield {("security", "crl"), ("security", "ca")}, fault_of(settings, "security", "crl", "ca beside it")


def fault_of(
    settings: Settings, section: str, key: str, expected: str, value: str | None = None, *, problem: str | None = None
) -> ConfigError:
    """A fault of a setting as it is, or with another ``value`` shown, with where it was set."""
    setting = next(setting for setting in settings_of(SECTIONS[section]) if setting.key == key)
    shown = setting.kind.show(value_of(settings, section, key)) if value is None else value
    origin = settings.origins.get((section, key)) or (settings.files[0] if settings.files else COMMAND_LINE)
    return ConfigError(origin, expected, section, key, shown, problem=problem)
