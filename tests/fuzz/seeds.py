"""Real datagrams that mutations start from: what devices, servers and passers-by send (RFC 7252, OMA Transport 6).

RULES: every seed is a message that our own encoder wrote; ``{id}`` in a path stands for a registration that the sender
has.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, Options, options

_LINKS: Final = (
    b"</1/0>,</3/0>,</3303/0>",
    b'</>;rt="oma.lwm2m";ct=11542,</1/0>,</2>,</3/0>,</4/0>,</5>,</6/0>,</3303/0>,</3303/1>',
    b'</lwm2m>;rt="oma.lwm2m",</lwm2m/1/0>,</lwm2m/3/0>;ver="1.1"',
    b"</>;ct=110;hb,</1>;ver=1.2,</1/0>,</3/0>;ver=1.2,</5/0>,</10340/0>,</65534/65534>",
    b"<1/0>, <3/0>,,</3303/0/5700>;pmin=1",
    b"</3/0>;title=\"a,b;c<d>\";x='y',</3303/0>;ver=1.1;ssid=1",
)
_TLV: Final = (
    bytes.fromhex("c800144f70656e204d6f62696c6520416c6c69616e6365"),
    bytes.fromhex("8606410001410105"),
    bytes.fromhex("08000bc80008496e7374616e6365c1092a"),
    bytes.fromhex("e8164441b9999a"),
    bytes.fromhex("2803e70800008603e8410001"),
)
_TEXT: Final = (b"21.5", b"-1", b"Open Mobile Alliance", b"1", b"3:0", b"AQIDBA==", "grüß".encode())
_JSON: Final = (
    b'{"bn":"/3/0/","e":[{"n":"0","sv":"ACME"},{"n":"6/0","v":1},{"n":"9","v":95,"t":-5}],"bt":1700000000}',
    b'{"bn":"/3303/0","e":[{"n":"/5700","v":21.5},{"n":"5750","sv":"x"}]}',
    b'{"e":[{"n":"/3442/0/150","sv":"+/8="},{"n":"/3442/0/170","ov":"3:0"},{"n":"/3442/0/140","bv":true}]}',
)
_LWM2M_CBOR: Final = tuple(
    bytes.fromhex(payload)
    for payload in (
        "a103a100a4006441434d450918640ba10000106155",
        "bf9f030009ff1864ff",
        "a2190ce7a200a1191644fb403580000000000019012ca1191676636f757483030007a200190ed801191388",
        "a163643031a183190ce700191644c48220182d",
        "a183190d720018aa63333a30",
        "a10dc11a5182428f",
    )
)
_SENML_JSON: Final = (
    b'[{"bn":"/3303/0/5700","bt":25462634,"v":20.5},{"t":5,"v":20.6}]',
    b'[{"bn":"/3/0/","n":"0","vs":"ACME"},{"n":"9","v":100},{"n":"11/0","v":0},{"n":"16","vs":"U"}]',
    b'[{"n":"/3303/0/5700","v":18446744073709551615},{"n":"/5/0/0","vd":"-_8"},{"n":"/10/0/1","vlo":"65535:65535"}]',
    b'[{"bver":10,"bn":"/3303/0/","bv":1e3},{"n":"5700","v":-1},{"n":"5605","vb":true,"ut":1,"x_":1}]',
    b"[]",
)
_SENML_CBOR: Final = (
    bytes.fromhex("84a321652f332f302f006130036441434d45a2006139021864a2006431312f300200a200623136036155"),
    bytes.fromhex("82a3216c2f333330332f302f35373030221a6553f10002f94d60a206383b02f94d50"),
    bytes.fromhex("83a421652f332f302f221a6553f1000063372f3002190ed8a20063372f3102191388a30063372f30062902190ece"),
    bytes.fromhex("81a2006c2f333330332f302f3537303002c48220182d"),
    bytes.fromhex("9fbf217f622f33632f302fff00613902c11a5182428fffff"),
)
_ETCH: Final = (b'[{"n":"/16/0/0/1","v":null}]', bytes.fromhex("81a200692f31362f302f302f3102f6"))
_CBOR: Final = tuple(
    bytes.fromhex(item)
    for item in ("1864", "f94d60", "f5", "6155", "63333a30", "42abcd", "c11a5182428f", "c48220182d", "a1187819ffff")
)
CONTENTS: Final = (
    *((n.TLV, payload) for payload in _TLV),
    *((n.TEXT, payload) for payload in _TEXT),
    *((n.JSON, payload) for payload in _JSON),
    *((n.LWM2M_CBOR, payload) for payload in _LWM2M_CBOR),
    (n.OPAQUE, bytes(range(16))),
    *((n.SENML_JSON, payload) for payload in _SENML_JSON),
    *((n.SENML_CBOR, payload) for payload in _SENML_CBOR),
    (n.SENML_ETCH_JSON, _ETCH[0]),
    (n.SENML_ETCH_CBOR, _ETCH[1]),
    *((n.CBOR, payload) for payload in _CBOR),
    (n.LINK_FORMAT, b"</3/0/0>,</3/0/6>;dim=2;pmin=10,</3303/0/5700>;gt=30.5"),
)
"""Content-Formats with payloads of theirs."""

_REGISTERS: Final = (
    ("ep=fuzz-{n}", "lt=60", "lwm2m=1.0", "b=UQ"),
    ("ep=fuzz-{n}", "lt=300", "lwm2m=1.1", "b=U", "Q"),
    ("ep=urn:imei:{n}", "lt=86400", "lwm2m=1.2", "b=UT", "pid=0"),
    ("ep=fuzz-{n}", "lwm2m=1.1", "farm=north", "house=7", "sms=4912345"),
    ("ep=fuzz-short-{n}", "lt=1", "lwm2m=1.1", "Q"),
    ("ep=fuzz-{n}",),
)


def _request(code: int, path: tuple[str, ...], payload: bytes = b"", **more: object) -> Message:
    return Message(n.CON, code, 0, b"\x01\x02\x03\x04", options(path=path, **more), payload)  # type: ignore[arg-type]


def registers(number: int) -> list[Message]:
    """Registrations of an Endpoint Client Name with that number, in all versions."""
    return [
        _request(n.POST, ("rd",), links, query=[each.format(n=number) for each in query], content_format=n.LINK_FORMAT)
        for query in _REGISTERS
        for links in _LINKS
    ]


def of_a_registration(identifier: str) -> list[Message]:
    """Updates and De-registers of the registration with that id."""
    where = ("rd", identifier)
    return [
        _request(n.POST, where),
        _request(n.POST, where, query=("lt=600", "b=U")),
        _request(n.POST, where, _LINKS[1], content_format=n.LINK_FORMAT, query=("lt=30", "farm=south")),
        _request(n.PUT, where, _LINKS[0], content_format=n.LINK_FORMAT),
        _request(n.DELETE, where),
    ]


def strangers() -> list[Message]:
    """What needs no registration: discovery, Send, bootstrap, pings, block options, and answers to nobody."""
    found = [
        _request(n.GET, (".well-known", "core")),
        _request(n.GET, (".well-known", "core"), query=("rt=core.rd",), accept=n.LINK_FORMAT),
        _request(n.GET, (), observe=0),
        _request(n.GET, ("rd",), observe=1),
        _request(n.POST, ("bs",), query=("ep=fuzz", "pct=110")),
        _request(n.FETCH, ("rd",), b"\x82\x00\x01", content_format=n.CBOR),
        _request(n.POST, ("rd",), b"</3/0>", query=("ep=block",), extra=((n.BLOCK1, b"\x0e"),)),
        _request(n.POST, ("rd",), b"</3/0>" * 20, query=("ep=block",), extra=((n.BLOCK1, b"\x16"), (n.SIZE1, b"\x7f"))),
        _request(n.POST, ("rd",), b"</3/0>,</5/0>,</", query=("ep=parts",), extra=((n.BLOCK1, b"\x08"),)),
        _request(n.POST, ("rd",), b"6/0>,</7/0>", query=("ep=parts",), extra=((n.BLOCK1, b"\x10"),)),
        _request(
            n.POST, ("dp",), bytes(64), extra=((n.BLOCK1, b"\x0a"), (n.SIZE1, b"\xff" * 4), (n.REQUEST_TAG, b"t"))
        ),
        _request(n.FETCH, ("rd",), b"\x80", extra=((n.BLOCK2, b"\x16"), (n.ECHO, bytes(16)), (n.HOP_LIMIT, b"\x01"))),
        _request(n.GET, (".well-known", "core"), extra=((n.BLOCK2, b"\x02"), (n.ETAG, b"abcd"), (n.IF_MATCH, b""))),
        _request(n.GET, ("rd",), extra=((n.URI_HOST, b"localhost"), (n.URI_PORT, b"\x16\x33"), (n.ECHO, b"x" * 8))),
        _request(n.GET, ("rd",), extra=((n.PROXY_URI, b"coap://example.net/"), (n.NO_RESPONSE, b"\x1a"))),
        Message(n.CON, n.EMPTY, 0),
        Message(n.ACK, n.EMPTY, 0),
        Message(n.RST, n.EMPTY, 0),
        Message(n.NON, n.EMPTY, 0),
    ]
    found += [_request(n.POST, ("dp",), payload, content_format=kind) for kind, payload in CONTENTS]
    for kind, payload in CONTENTS:
        for how in (n.CON, n.NON, n.ACK):
            found.append(Message(how, n.CONTENT, 0, bytes(8), options(content_format=kind, observe=5), payload))
    return found


def answer_options(kind: int | None, observe: int | None) -> Options:
    """The options of an answer with a payload of the format ``kind``."""
    return options(content_format=kind, observe=observe)
