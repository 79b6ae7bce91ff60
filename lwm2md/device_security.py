"""What a device proves itself with on ``coaps://``, from the command line: pre-shared keys or certificates.

RULES: everything is read and checked here, before anything is opened; a mistake is one UsageError, which names the
option and never shows a key. A file of keys has lines of identity and key in hex, such as `lwm2mctl credentials
generate` writes; what follows on a line is not looked at. OpenSSL is loaded only for who asks for ``coaps://``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.python import usage

if TYPE_CHECKING:
    from lwm2md.net.calling import ClientTerms

OPTIONS: Final = (
    ("psk-identity", None, "The PSK identity of a single device (default: its Endpoint Client Name)."),
    ("psk-identity-pattern", None, "The PSK identities of a fleet, formatted with 1, 2, 3 ... (default: their names)."),
    ("psk-file", None, "A file with lines IDENTITY,KEY in hex: the keys of the devices."),
    ("psk", None, "The key of every device, in hex; others on this machine can see it, as they can't see a file."),
    ("psk-master", None, "A file with a secret; the key of an identity is the first half of its HMAC-SHA-256."),
    ("cert", None, "A file with the device's certificate, then those that it was signed with (PEM)."),
    ("key", None, "A file with the private key of --cert (PEM)."),
    ("ca", None, "A file with the authorities by which the server is trusted (PEM)."),
    (
        "server-cert",
        None,
        "A file with the certificate that the server, or with usage 0 its authority, must have (PEM).",
    ),
    ("certificate-usage", None, "What is asked of the server's certificate, 0 to 3 as in /0/x/15 (default: 2 or 3)."),
    ("connection-id", None, "both, server (only the server is given one) or none (default: server)."),
)
"""Options of the command line: name, default, help."""

_CID_MODES: Final = {"both": b"\0", "server": b"", "none": None}
_LONGEST_KEY: Final = 64
_LONGEST_IDENTITY: Final = 128
_KEY: Final = 16

Options = Mapping[str, Any]


@attrs.frozen(slots=True, eq=False)
class GroupSecurity:
    """How the devices of a group shake hands; ``identity`` gives that of a device by its number and name, ``key`` that
    of an identity, both None with certificates. ``material`` are PEM texts (chain, key, authorities), so is ``pinned``.
    """

    host: str
    identity: Callable[[int, str], str] | None
    key: Callable[[str], bytes] | None = attrs.field(repr=False)
    material: tuple[bytes, bytes, bytes] = attrs.field(default=(b"", b"", b""), repr=False)
    pinned: bytes = b""
    usage: int = 2
    cid: bytes | None = b""

    def terms(self) -> Callable[[int, str], ClientTerms]:
        """Return what makes the terms of a device by its number and name. Raises ValueError for bad certificates."""
        from cryptography import x509  # noqa: PLC0415  only who speaks coaps pays for OpenSSL

        from lwm2md.net.calling import ClientTerms  # noqa: PLC0415
        from lwm2md.net.certificates import ServerTerms  # noqa: PLC0415
        from lwm2md.net.openssl import Context, Material  # noqa: PLC0415
        from lwm2md.security.dtls.suites import DEFAULT  # noqa: PLC0415

        identity, key = self.identity, self.key
        if identity is not None and key is not None:
            context = Context(tuple(suite for suite in DEFAULT if suite.psk), server=False)

            def by_key(number: int, endpoint: str) -> ClientTerms:
                name = identity(number, endpoint)
                return ClientTerms(context, name.encode(), key(name), cid=self.cid)

            return by_key
        pinned = x509.load_pem_x509_certificate(self.pinned) if self.pinned else None
        server = ServerTerms(self.usage, self.host, pinned)
        suites = tuple(suite for suite in DEFAULT if not suite.psk)
        terms = ClientTerms(
            Context(suites, server=False, material=Material(*self.material)), server=server, sni=self.host, cid=self.cid
        )
        return lambda _number, _endpoint: terms


def security(options: Options, host: str, format_pattern: Callable[[str, str, int], str]) -> GroupSecurity:
    """Read what the options say of ``coaps://`` to ``host``. Raises UsageError."""
    mode = options["connection-id"] or "server"
    if mode not in _CID_MODES:
        raise usage.UsageError(f"--connection-id: {mode!r} is none of {', '.join(_CID_MODES)}")
    cid = _CID_MODES[mode]
    if options["cert"] is not None:
        return _by_certificate(options, host, cid)
    single, pattern = options["psk-identity"], options["psk-identity-pattern"]
    if single is not None and (pattern is not None or options["fleet"] is not None):
        raise usage.UsageError("--psk-identity: the identities of a fleet are named by --psk-identity-pattern")

    def identity(number: int, endpoint: str) -> str:
        if single is not None:
            return _identity(str(single))
        return _identity(endpoint if pattern is None else format_pattern("psk-identity-pattern", pattern, number))

    identity(1, "a")
    return GroupSecurity(host, identity, _keys(options), cid=cid)


def refuse(options: Options) -> None:
    """Raise UsageError if there are options of security without ``coaps://``."""
    for name, _, _ in OPTIONS:
        if options[name] is not None:
            raise usage.UsageError(f"--{name}: only with --server coaps://HOST")


def _keys(options: Options) -> Callable[[str], bytes]:
    given = [name for name in ("psk-file", "psk", "psk-master") if options[name] is not None]
    if len(given) != 1:
        raise usage.UsageError("coaps:// needs one of --psk-file, --psk, --psk-master or --cert")
    if given == ["psk"]:
        key = _hex("psk", options["psk"])
        return lambda _: key
    if given == ["psk-master"]:
        secret = _read("psk-master", options["psk-master"]).strip()
        return lambda identity: hmac.digest(secret, identity.encode(), "sha256")[:_KEY]
    keys = _lines(options["psk-file"])

    def find(identity: str) -> bytes:
        try:
            return keys[identity]
        except KeyError:
            raise usage.UsageError(f"--psk-file: no key for {identity!r}") from None

    return find


def _lines(path: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, line in enumerate(_read("psk-file", path).decode("utf-8", "replace").splitlines(), 1):
        identity, _, rest = line.strip().partition(",")
        if not identity or identity.startswith("#") or identity == "identity":
            continue
        found[identity] = _hex(f"psk-file: {path}, line {number}", rest.partition(",")[0].strip())
    return found


def _by_certificate(options: Options, host: str, cid: bytes | None) -> GroupSecurity:
    if options["key"] is None:
        raise usage.UsageError("--cert: --key is needed too")
    named = options["certificate-usage"]
    pinned = b"" if options["server-cert"] is None else _read("server-cert", options["server-cert"])
    if named is not None and named not in {"0", "1", "2", "3"}:
        raise usage.UsageError(f"--certificate-usage: {named!r} is none of 0, 1, 2, 3")
    use = int(named) if named is not None else 3 if options["ca"] is None else 2
    if use != 3 and options["ca"] is None:
        raise usage.UsageError(f"--certificate-usage: {use} needs --ca")
    if use != 2 and not pinned:
        raise usage.UsageError(f"--server-cert: needed with --certificate-usage {use}, which holds without --ca")
    ca = b"" if options["ca"] is None else _read("ca", options["ca"])
    material = (_read("cert", options["cert"]), _read("key", options["key"]), ca)
    found = GroupSecurity(host, None, None, material, pinned, use, cid)
    try:
        found.terms()
    except ValueError as error:
        raise usage.UsageError(f"--cert, --key, --ca: {error}") from None
    return found


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise usage.UsageError(f"--{name}: {path!r}: {getattr(error, 'strerror', None) or 'no file'}") from None


def _hex(name: str, text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise usage.UsageError(f"--{name}: a key of 1 to {_LONGEST_KEY} bytes in hex is expected")
    return key


def _identity(text: str) -> str:
    if not 1 <= len(text.encode("utf-8", "replace")) <= _LONGEST_IDENTITY or "\0" in text:
        raise usage.UsageError(f"--psk-identity: {text[:40]!r} is empty or too long")
    return text
