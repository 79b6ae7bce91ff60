"""``python -m tests.plugins.pages``: put the code of the example and the hooks into ``docs/plugins.md`` anew."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import attrs

from lwm2md import hookspecs, plugins
from lwm2md.hookspecs import SPECIFIED
from tests.processes import ROOT

PAGE = ROOT / "docs" / "plugins.md"
_CODE = re.compile(r"<!-- (examples/\S+) -->\n```(\w+)\n.*?```\n", re.DOTALL)
_NAMES = re.compile(r"<!-- names -->\n.*?(?=\n## )", re.DOTALL)
_HOOKS = re.compile(r"<!-- hooks -->\n.*?(?=\n## )", re.DOTALL)


def made(page: str) -> str:
    """The page with what is made of the code."""

    def code(found: re.Match[str]) -> str:
        text = (ROOT / found[1]).read_text("utf-8")
        return f"<!-- {found[1]} -->\n```{found[2]}\n{text}```\n"

    page = _CODE.sub(code, page)
    page = _NAMES.sub(lambda _: "<!-- names -->\n\n| name | what it is |\n|---|---|\n" + "".join(_names()), page)
    return _HOOKS.sub(lambda _: "<!-- hooks -->\n" + "".join(_hooks()), page)


def _names() -> Iterator[str]:
    for name in plugins.__all__:
        found = getattr(plugins, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            text = " ".join((inspect.getdoc(found) or "").split()).replace("``", "`").replace("|", "\\|")
            yield f"| `{name}{_members(found)}` | {text} |\n"


def _members(found: Any) -> str:
    """What a record has, or a function takes, in parentheses."""
    if inspect.isfunction(found):
        return f"({', '.join(inspect.signature(found).parameters)})"
    if not attrs.has(found):
        return ""
    return f"({', '.join(each.name + '=' * (each.default is not attrs.NOTHING) for each in attrs.fields(found))})"


def _hooks() -> Iterator[str]:
    for name, call in SPECIFIED.items():
        function = getattr(hookspecs, name)
        arguments = ", ".join(inspect.signature(function).parameters)
        words = [call.kind, *(["secure"] if call.secure else []), *(["load"] if call.at == "load" else [])]
        returns = inspect.signature(function).return_annotation
        answer = "" if returns == "None" else f" → `{returns}`"
        text = (inspect.getdoc(function) or "").replace("``", "`")
        yield f"\n### `{name}({arguments})`\n\n*{', '.join(words)}*{answer}\n\n{text}\n"


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text("utf-8")), encoding="utf-8")
