"""Completion in a shell: scripts for bash and zsh, and what they ask: which words can stand where the cursor is.

RULES: whatever goes wrong, there are no candidates and nothing is said: the operator is in the midst of typing. What
devices call themselves is offered only where it is printable, and the scripts quote it.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from lwm2md.ctl.client import Client, find_token, pages, path_of
from lwm2md.ctl.errors import DONE, CommandError
from lwm2md.ctl.output import Output

_PATIENCE: Final = 2.0
_MOST: Final = 200
_HIGHEST: Final = "\U0010ffff"
_LEVELS: Final = 3
_LISTED: Final = 1000
FORMATS: Final = ("cbor", "json", "lwm2m-cbor", "opaque", "senml-cbor", "senml-json", "text", "tlv")
"""The Content-Formats by name, without what it takes to read them."""

Source = Callable[[Client, Mapping[str, str], str], Iterator[str]]
"""``source(client, given, begun)``: candidates, by what was given before, for a word that is begun."""

_BASH: Final = r"""# lwm2mctl in bash: source <(lwm2mctl completion bash)
_lwm2mctl() {
    local words=() word joined= head candidate quoted
    # bash takes words apart at : and =, which Endpoint Client Names are full of.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if (( ${#words[@]} )) && [[ $joined || $word == [:=]* ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        joined=
        [[ $word == *[:=] ]] && joined=1
    done
    word=${words[${#words[@]}-1]}
    head=${word%"${word##*[:=]}"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        printf -v quoted %q "${candidate#"$head"}"
        COMPREPLY+=("$quoted")
    done < <("${COMP_WORDS[0]}" completion words "${words[@]}" 2>/dev/null)
}
complete -o default -F _lwm2mctl lwm2mctl
"""
_ZSH: Final = r"""#compdef lwm2mctl
# lwm2mctl in zsh: source <(lwm2mctl completion zsh)
_lwm2mctl() {
    local -a found
    found=("${(@f)$("${words[1]}" completion words "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    (( ${#found} )) && compadd -- "${found[@]}"
}
compdef _lwm2mctl lwm2mctl
"""
_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH}


def script(options: Namespace, client: Client, output: Output) -> int:
    """``completion``: what makes a shell complete commands, options, endpoints and paths."""
    output.text(_SCRIPTS[options.shell])
    return DONE


def candidates(top: ArgumentParser, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The words that can stand in place of the last one of ``words``, which is begun."""
    *before, begun = words or [""]
    try:
        found = list(_offered(_Line(top, before), begun, environment))
    except CommandError:
        return []
    return sorted({word for word in found if word.startswith(begun) and word.isprintable()})


class _Line:
    """What was typed: the parser in charge, values by destination, and the option whose value is to come."""

    def __init__(self, top: ArgumentParser, words: Iterable[str]) -> None:
        self.parser: ArgumentParser | None = top
        self.top = top
        self.positionals: list[Action] = []
        self.given: dict[str, str] = {}
        self.open: Action | None = None
        for word in words:
            self._read(word)

    def option(self, name: str) -> Action | None:
        """The option of this name where the line is now."""
        return None if self.parser is None else self.parser._option_string_actions.get(name)

    def _read(self, word: str) -> None:
        if self.open is not None:
            self.given[self.open.dest], self.open = word, None
        elif word.startswith("-"):
            name, equals, value = word.partition("=")
            action = self.option(name)
            if action is not None and equals:
                self.given[action.dest] = value
            elif action is not None and action.nargs is None:
                self.open = action
        elif self.parser is self.top:
            self.parser = commands_of(self.top).get(word)
            if self.parser is not None:
                self.positionals = [action for action in self.parser._actions if not action.option_strings]
        elif self.positionals:
            action = self.positionals[0]
            self.given[action.dest] = word
            if action.nargs not in ("*", "+"):
                del self.positionals[0]


def commands_of(top: ArgumentParser) -> Mapping[str, ArgumentParser]:
    """The parsers of all commands by name."""
    (found,) = [action for action in top._actions if isinstance(action, _SubParsersAction)]
    choices: Mapping[str, ArgumentParser] = found.choices
    return choices


def _offered(line: _Line, begun: str, environment: Mapping[str, str]) -> Iterable[str]:
    if line.parser is None:
        return ()
    if line.open is not None:
        return _values(line, line.open, begun, environment)
    if begun.startswith("-"):
        name, equals, value = begun.partition("=")
        action = line.option(name)
        if equals and action is not None:
            return [f"{name}={word}" for word in _values(line, action, value, environment)]
        return line.parser._option_string_actions
    if line.parser is line.top:
        return commands_of(line.top)
    return _values(line, line.positionals[0], begun, environment) if line.positionals else ()


def _values(line: _Line, action: Action, begun: str, environment: Mapping[str, str]) -> Iterable[str]:
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    source = _SOURCES.get(action.dest)
    if source is None:
        return ()
    url = line.given.get("url") or line.top.get_default("url")
    client = Client(url, find_token(line.given.get("token_file"), environment), _PATIENCE)
    return source(client, line.given, begun)


def _endpoints(client: Client, given: Mapping[str, str], begun: str) -> Iterator[str]:
    """The endpoints that begin so, of a fleet of any size: the list is ordered, so ask from right before them."""
    after = None
    if begun and ord(begun[-1]) > 1:
        before = chr(ord(begun[-1]) - 1)
        after = begun[:-1] + (before if before.isprintable() else "") + _HIGHEST * before.isprintable()
    items = client.get("/v1/devices", {"limit": _MOST, "after": after})["items"]
    return (item["endpoint"] for item in items)


def _paths(client: Client, given: Mapping[str, str], begun: str) -> Iterator[str]:
    """Paths as deep as what is begun, and one level deeper where that is a path already."""
    level = max(1, min(begun.count("/"), _LEVELS))
    items: Sequence[Mapping[str, Any]] = client.get(path_of("devices", given["endpoint"], "objects"))["items"]
    for path in _all_paths(items):
        if path.count("/") == level or path.rpartition("/")[0] == begun:
            yield path


def _all_paths(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for item in items:
        yield f"/{item['id']}"
        for instance in item["instances"]:
            yield f"/{item['id']}/{instance}"
            yield from (f"/{item['id']}/{instance}/{resource['id']}" for resource in item["resources"])


def _operations(client: Client, given: Mapping[str, str], begun: str) -> Iterator[str]:
    return (item["id"] for item in client.get("/v1/operations", {"limit": 1000})["items"])


def _models(client: Client, given: Mapping[str, str], begun: str) -> Iterator[str]:
    """Objects, and behind one its versions; files are for the shell to complete."""
    if given.get("action") not in ("show", "delete"):
        return iter(())
    if "what" in given:
        return (item["version"] for item in client.get(path_of("models", given["what"]))["items"])
    return (str(item["id"]) for item in pages(client, "/v1/models", {}, None))


def _credentials(client: Client, given: Mapping[str, str], begun: str) -> Iterator[str]:
    """Identities; files to import are for the shell to complete, and one to add is new."""
    if given.get("action") not in (None, "show", "rotate", "block", "unblock", "revoke"):
        return iter(())
    return _names("/v1/credentials", "identity")(client, given, begun)


def _formats(client: Client, given: Mapping[str, str], begun: str) -> Iterator[str]:
    return iter(FORMATS)


def _names(path: str, field: str) -> Source:
    """What the items of a list are called."""
    return lambda client, given, begun: (str(item[field]) for item in pages(client, path, {}, _LISTED))


def _all_names(path: str, field: str) -> Source:
    """The same of a list that comes whole."""
    return lambda client, given, begun: (str(item[field]) for item in client.get(path)["items"])


_SOURCES: Final[Mapping[str, Source]] = {
    "credential": _credentials,
    "endpoint": _endpoints,
    "format": _formats,
    "id": _operations,
    "identity": _credentials,
    "kind": _names("/v1/deviations", "kind"),
    "of": _endpoints,
    "path": _paths,
    "paths": _paths,
    "pid": _names("/v1/profile-ids", "pid"),
    "plugin": _all_names("/v1/plugins", "name"),
    "profile": _names("/v1/profiles", "name"),
    "refused": _names("/v1/refused", "id"),
    "template": _names("/v1/observation-templates", "name"),
    "trace": _all_names("/v1/traces", "id"),
    "what": _models,
}
"""Who knows the values of an argument, by where argparse puts it: what differs needs names that differ."""
