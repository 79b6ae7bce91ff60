"""The commands that say how devices are: the doctor, and the profiles by which they are treated.

RULES: what a deviation means and what to do about it is the daemon's to say; here it is only put into lines.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lwm2md.ctl.client import Client, pages, path_of
from lwm2md.ctl.errors import DONE, USAGE, CommandError
from lwm2md.ctl.output import Output
from lwm2md.ctl.tables import facts, show, table
from lwm2md.ctl.values import number_of

_KINDS: Final = ("kind", "devices", "count", "meaning")
_PROFILES: Final = ("name", "source", "priority", "match", "set")
_FACTS: Final = (
    "state_since",
    "state_reason",
    "next_expected",
    "overdue",
    "awake_until",
    "reachable_until",
    "address",
    "version",
    "binding",
    "queue_mode",
    "lifetime",
    "registered_at",
    "updated_at",
    "expires_at",
    "last_seen",
    "gateway",
    "labels",
)
_MATCH: Final = ("manufacturer", "model", "firmware", "endpoint", "labels")
_SAID_BY: Final = {"hand": "by hand", "shipped": "shipped", "profile": "profile", "learned": "shown by the device"}
_INDENT: Final = "  "


def doctor(options: Namespace, client: Client, output: Output) -> int:
    """``doctor``: how a device is, in words; without one, what is wrong in the fleet."""
    if options.of is None:
        _fleet(client, output)
        return DONE
    profile = client.get(path_of("devices", options.of, "profile"))
    device = client.get(path_of("devices", options.of))
    deviations = list(pages(client, path_of("devices", options.of, "deviations"), {}, None))
    document = {"device": device, "profile": profile, "deviations": deviations}
    output.document(document, _patient(device, profile, deviations))
    return DONE


def profiles(options: Namespace, client: Client, output: Output) -> int:
    """``profiles``: the device profiles that are in force."""
    found = pages(client, "/v1/profiles", {}, options.limit)
    output.items(found, [name.upper() for name in _PROFILES], _PROFILES)
    return DONE


def profile(options: Namespace, client: Client, output: Output) -> int:
    """``profile``: show, put or take back one of them."""
    path = path_of("profiles", options.profile)
    if options.remove:
        client.request("DELETE", path)
        output.said(f"{show(options.profile)} is taken back")
        return DONE
    body = _definition(options)
    output.facts(client.get(path) if not body else client.request("PUT", path, body=body).document)
    return DONE


def _definition(options: Namespace) -> dict[str, object]:
    """What the options say of a profile, if they say anything."""
    body: dict[str, object] = {}
    wrong = [name for name, _ in options.match if name not in _MATCH]
    if wrong:
        raise CommandError(f"profile: --match {wrong[0]}= is none of {', '.join(_MATCH)}", USAGE)
    if options.match:
        body["match"] = dict(options.match)
    if options.set:
        body["set"] = {name: _value(name, text) for name, text in options.set}
    if options.priority is not None:
        body["priority"] = options.priority
    if options.note is not None:
        body["note"] = options.note
    return body


def _value(name: str, text: str) -> object:
    if name == "formats":
        return [each for each in text.split(",") if each]
    if text in ("yes", "true", "no", "false"):
        return text in ("yes", "true")
    number = number_of(text)
    return text if number is None else number


def _fleet(client: Client, output: Output) -> None:
    counts = client.get("/v1/status")["counts"]["states"]
    kinds = list(pages(client, "/v1/deviations", {}, None))
    output.document({"devices": counts, "deviations": kinds}, _overview(counts, kinds, output.columns))


def _overview(counts: Mapping[str, Any], kinds: Sequence[Mapping[str, Any]], columns: int) -> Iterator[str]:
    yield f"devices: {show(counts)}"
    if not kinds:
        yield "None of them is known to depart from the specifications."
        return
    yield ""
    rows = [[kind[name] for name in _KINDS] for kind in sorted(kinds, key=lambda each: -each["devices"])]
    yield from table([name.upper() for name in _KINDS], rows, columns)


def _patient(
    device: Mapping[str, Any], profile: Mapping[str, Any], deviations: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    yield f"{show(device['endpoint'])} is {show(device['state'])}."
    yield from _indented(facts({name: device[name] for name in _FACTS if device.get(name) is not None}))
    yield from _treatment(profile)
    yield from _faults(deviations)


def _treatment(profile: Mapping[str, Any]) -> Iterator[str]:
    known = [f"{name} {show(profile[name])}" for name in ("manufacturer", "model", "firmware") if profile[name]]
    yield f"It says it is {', '.join(known)}." if known else "What it is has not been read: /3/0/0, /3/0/1, /3/0/3."
    said = [row for row in profile["values"] if row["source"] in _SAID_BY]
    learned = [row for row in said if row["source"] == "learned"]
    given = [row for row in said if row["source"] != "learned"]
    names = ", ".join(map(show, profile["profiles"]))
    yield f"Profiles for it: {names}." if names else "No profile is for it."
    yield from (f"{_INDENT}{row['name']} {show(row['value'])}, {_said_by(row)}" for row in given)
    if learned:
        again = f" (what it has not is tried again from {show(profile['retry'])} on)" if profile["retry"] else ""
        yield f"It has shown{again}:"
        yield from (f"{_INDENT}{row['name']} {show(row['value'])}" for row in learned)
    if profile["refused_formats"]:
        refused = (f"{show(row['format'] or 'none')} ({show(row['use'])})" for row in profile["refused_formats"])
        yield f"It has refused the formats {', '.join(refused)}."


def _said_by(row: Mapping[str, Any]) -> str:
    return f"{_SAID_BY[row['source']]} ({show(row['profile'])})"


def _faults(deviations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not deviations:
        yield "It is not known to depart from the specifications."
        return
    yield "It departs from the specifications:"
    for each in deviations:
        times = "once" if each["count"] == 1 else f"{each['count']} times"
        yield f"{_INDENT}{show(each['kind'])}, {times}, last {show(each['last'])}"
        yield f"{_INDENT * 2}{show(each['meaning'])}"
        yield f"{_INDENT * 2}To do: {show(each['advice'])}"
        if each["sample"]:
            yield f"{_INDENT * 2}Sample: {show(each['sample'])}"


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (f"{_INDENT}{line}" for line in lines)
