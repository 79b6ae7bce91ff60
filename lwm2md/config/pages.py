"""The pages that are made from the schema: the commented ``etc/lwm2md.ini`` and the reference ``docs/settings.md``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from lwm2md.config.schema import SECTIONS, settings_of
from lwm2md.config.setting import Setting

_WIDTH = 120

_INI_HEAD = """\
Settings of lwm2md. Every key is here with its default; uncomment what you change.
Files conf.d/*.ini beside this one are read after it, in the order of their names; what comes later wins.
Durations are written 500ms, 90s, 15m, 24h, 1d; sizes 512B, 64KiB, 1MiB. A list has one item a line, the lines after
the first indented, or commas. A secret may name its source: file:PATH or env:NAME.
Check with: twistd -n lwm2md --config FILE --check
"""

_REFERENCE_HEAD = """\
# Settings

Made from the schema by `python -m lwm2md.config`; a test fails when they differ.

`twistd -n lwm2md --config FILE` reads FILE (without it `/etc/lwm2md/lwm2md.ini`, if that exists), then `conf.d/*.ini`
beside it in the order of their names, then each `--set section.key=value` of the command line; what comes later wins.
`--check` reads all of it, prints every error, and exits with 0 or 1.

- Durations are written `500ms`, `90s`, `15m`, `24h`, `1d`; sizes `512B`, `64KiB`, `1MiB`.
- A list has one item a line, the lines after the first indented, or commas between the items.
- A secret is the text itself, `file:PATH` (a file of one line; relative to the working directory), or `env:NAME`
  (a variable of the environment). It is shown nowhere.
- A comment is a line that starts with `#` or `;`. Names are case-sensitive. An unknown section or key is an error.
"""


def _comment(text: str) -> Iterator[str]:
    for paragraph in text.splitlines():
        yield from (f"# {line}" for line in textwrap.wrap(paragraph, _WIDTH - 2))


def _help(section: type) -> str:
    return (section.__doc__ or "").strip()


def ini() -> str:
    """Return the text of ``etc/lwm2md.ini``: every key, commented out, with its default."""
    lines = list(_comment(_INI_HEAD))
    for name, section in SECTIONS.items():
        lines += ["", "", *_comment(_help(section)), f"[{name}]"]
        for setting in settings_of(section):
            note = f"{setting.help}.\n{setting.kind.name}, {setting.kind.range}"
            lines += ["", *_comment(note), f"#{setting.key} = {setting.default}".rstrip()]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """Return the text of ``docs/settings.md``: a table per section."""
    lines = [_REFERENCE_HEAD]
    for name, section in SECTIONS.items():
        lines += [f"## [{name}]", "", _help(section), ""]
        lines += ["| key | type | default | range | reload | |", "|---|---|---|---|---|---|"]
        lines += [*map(_row, settings_of(section)), ""]
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default else "empty"
    reload = "yes" if setting.reloadable else "restart"
    cells = (f"`{setting.key}`", setting.kind.name, default, setting.kind.range, reload, f"{setting.help}.")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
