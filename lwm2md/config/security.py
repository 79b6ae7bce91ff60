"""The settings of ``[security]``: what the daemon proves itself with, whom it trusts, and who may register as what.

RULES: files are named here and read by `lwm2md.config.material`; the rules on identities and endpoints are those of
`lwm2md.security.rules`.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

from lwm2md.config import values
from lwm2md.config.errors import nearest
from lwm2md.config.setting import setting
from lwm2md.config.values import BadValue, Kind, Secret, split_list
from lwm2md.security.rules import BadRule, Rule, parse_rule
from lwm2md.security.sealing import SHORTEST

DEFAULT_CIPHERS: Final = (
    "TLS_PSK_WITH_AES_128_CCM_8",
    "TLS_PSK_WITH_AES_128_CCM",
    "TLS_PSK_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
)
CIPHERS: Final = (
    *DEFAULT_CIPHERS,
    "TLS_PSK_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
)
"""Suites by the names of IANA; those of CBC mode are used only where they are named."""


def _file() -> Kind:
    def parse(text: str) -> str:
        if len(text) > 4096 or not text.isprintable():
            raise BadValue("the path of a file, or nothing")
        return text

    return Kind("file", parse, str, "PATH")


def _ciphers() -> Kind:
    words = {name.lower().replace("_", "-"): name for name in CIPHERS}

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(split_list(text))
        for name in found:
            if name not in CIPHERS:
                raise BadValue(f"some of {', '.join(CIPHERS)}", words.get(nearest(name, words) or ""))
        if len(set(found)) != len(found):
            raise BadValue("cipher suites, each once")
        return found or DEFAULT_CIPHERS

    def show(found: tuple[str, ...]) -> str:
        return "" if found == DEFAULT_CIPHERS else ", ".join(found)

    return Kind("list", parse, show, ", ".join(CIPHERS))


def _globs() -> Kind:
    def parse(text: str) -> tuple[str, ...]:
        found = tuple(split_list(text))
        if not all(item.isprintable() for item in found):
            raise BadValue("patterns of printable characters, such as sensor-*")
        return found

    return Kind("globs", parse, ", ".join, "PATTERN, ...")


def _rules() -> Kind:
    def parse(text: str) -> tuple[Rule, ...]:
        try:
            return tuple(parse_rule(line) for line in text.splitlines() if line.strip())
        except BadRule as error:
            raise BadValue(str(error)) from None

    return Kind("rules", parse, lambda rules: "\n".join(map(str, rules)), "KIND PATTERN -> ENDPOINT ...")


def _sealing_key() -> Kind:
    secret = values.secret()

    def parse(text: str) -> Secret | None:
        found: Secret | None = secret.parse(text)
        if found is not None and len(found.reveal()) < SHORTEST:
            raise BadValue(f"a secret of at least {SHORTEST} characters")
        return found

    return attrs.evolve(secret, parse=parse)


@attrs.frozen
class Security:
    """What this daemon proves itself with, whom it trusts, and who may register as what."""

    psk: str = setting(
        _file(),
        "",
        "File of lines IDENTITY,KEY in hex,ENDPOINT, beside the credentials that are put through the API; relative to "
        "the file that names it",
        reloadable=True,
    )
    certificates: str = setting(
        _file(),
        "",
        "File with the certificate of this server, then those that it was signed with (PEM); relative as psk",
        reloadable=True,
    )
    key: str = setting(_file(), "", "File with the private key of that certificate (PEM)", reloadable=True)
    ca: str = setting(
        _file(), "", "File with the certificates by which those of devices are trusted (PEM)", reloadable=True
    )
    crl: str = setting(
        _file(),
        "",
        "File with revocation lists of those (PEM), read again with every reload; then there must be one for each",
        reloadable=True,
    )
    ciphers: tuple[str, ...] = setting(
        _ciphers(), "", "Cipher suites, the preferred ones first; empty: all that are not of CBC mode"
    )
    credentials_key: Secret | None = setting(  # noqa: RUF009  a Secret does not change
        _sealing_key(), "", "Secret by which credentials and sessions are encrypted in the storage; empty: stored plain"
    )
    rules: tuple[Rule, ...] = setting(
        _rules(),
        "",
        "Who may register as what beyond its own name, a line each: psk, cn, san, serial, issuer or key-hash, a "
        "pattern, ->, and patterns of endpoints in which {} stands for what was matched",
        reloadable=True,
    )
    allow: tuple[str, ...] = setting(
        _globs(), "", "Patterns of endpoints; where there are any, all others are refused", reloadable=True
    )
    block: tuple[str, ...] = setting(_globs(), "", "Patterns of endpoints that are refused", reloadable=True)
    block_identities: tuple[str, ...] = setting(
        _globs(), "", "Patterns of identities that are refused", reloadable=True
    )
    unsecured: tuple[str, ...] = setting(
        _globs(), "*", "Patterns of endpoints that may register without security (plain CoAP)", reloadable=True
    )
    known_certificates: bool = setting(
        values.boolean(),
        "no",
        "Whether a certificate needs a credential of its own, or being trusted is enough",
        reloadable=True,
    )
    take_over: Literal["same", "proved", "any"] = setting(
        values.choice("same", "proved", "any"),
        "proved",
        "Who may register in place of a live registration: only the same identity, a proved one in place of none too, "
        "or any that may have the endpoint",
        reloadable=True,
    )
    admission_timeout: float = setting(
        values.duration(0.1, 90),
        "10s",
        "How long a Register waits for its credential and the word of plugins before it is refused",
        reloadable=True,
    )
    audit: int = setting(values.integer(0, 1_000_000_000), "100000", "Records kept of who did what", reloadable=True)
