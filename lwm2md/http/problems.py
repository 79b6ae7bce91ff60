"""Problem documents (RFC 9457): every refusal and failure that the API answers.

RULES: a problem is raised by its stable ``code``; the table below gives its HTTP status and title, and is the list of
codes that ``docs/api.md`` shows. The text of a problem never holds a secret or a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from lwm2md.config.errors import ConfigError, ConfigErrors
from lwm2md.http.replies import Reply
from lwm2md.server.errors import Refused
from lwm2md.storage.interface import StorageError

CODES: Final[Mapping[str, tuple[int, str]]] = {
    "bad-request": (400, "The request is not HTTP as we understand it"),
    "bad-query": (400, "A query parameter is wrong"),
    "bad-json": (400, "The body is not JSON"),
    "bad-body": (400, "The body does not fit"),
    "bad-path": (400, "The path is not a LwM2M path"),
    "bad-model": (400, "The file does not describe object models"),
    "bad-credential": (400, "The credential does not fit"),
    "bad-operation": (400, "The operation does not fit"),
    "bad-configuration": (422, "The configuration has faults, nothing was changed"),
    "unauthorized": (401, "A valid token is needed"),
    "not-found": (404, "There is no such route"),
    "unknown-device": (404, "The device is not known"),
    "unknown-operation": (404, "The operation is not known"),
    "unknown-observation": (404, "The observation is not known"),
    "unknown-model": (404, "The object model is not known"),
    "unknown-profile": (404, "The device profile is not known"),
    "unknown-template": (404, "The observation template is not known"),
    "unknown-profile-id": (404, "The profile id is not configured"),
    "unknown-trace": (404, "The trace is not known"),
    "unknown-credential": (404, "The credential is not known"),
    "unknown-refusal": (404, "Nothing was refused by this id"),
    "unknown-plugin": (404, "The plugin is not known"),
    "no-value": (404, "No value is known yet"),
    "forbidden": (403, "Who asks may not do this"),
    "method-not-allowed": (405, "The route does not take this method"),
    "not-restartable": (409, "The plugin can be started and stopped only with the daemon"),
    "not-registered": (409, "The device is not registered"),
    "built-in-model": (409, "The object model was not put through the API"),
    "shipped-profile": (409, "The device profile was not put through the API"),
    "configured-credential": (409, "The credential is of a file of the configuration"),
    "admission-needs-more": (409, "A credential alone does not let the device in"),
    "limit-reached": (409, "A configured limit is reached"),
    "cancelled": (409, "The operation was cancelled"),
    "busy": (409, "Another one is under way"),
    "bad-backup": (422, "The file is no backup that can be taken up"),
    "body-too-large": (413, "The body is too large"),
    "queue-full": (429, "Too many requests wait for the device"),
    "internal-error": (500, "Something went wrong here"),
    "plugin-failed": (502, "A plugin failed"),
    "device-error": (502, "The device refused"),
    "device-failed": (502, "The exchange with the device failed"),
    "outcome-unknown": (504, "Nobody knows whether the device did it"),
    "backup-unsupported": (501, "The storage can't be copied by the daemon"),
    "storage-failed": (503, "The change could not be stored"),
    "draining": (503, "The daemon takes nothing new"),
    "overloaded": (503, "Too many callers at once"),
    "no-answer": (504, "The device did not answer"),
    "expired": (504, "The device was not reachable in time"),
}
CONTENT_TYPE: Final = b"application/problem+json"
_LATER: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_TYPE: Final = "urn:lwm2md:problem:"
_encoder: Final = msgspec.json.Encoder()


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one member of a body or one query parameter."""

    field: str
    message: str


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document (RFC 9457) with the members that this API adds: ``code``, ``errors``, ``coap_code``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: Sequence[FieldError] = ()
    coap_code: str | None = None
    operation: str | None = None


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A refusal or failure on its way to the caller; ``code`` is a key of `CODES`.

    ``operation`` is the id of the operation whose failure this is, ``coap_code`` what the device answered.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        coap_code: str | None = None,
        operation: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.status = CODES[code][0]
        self.headers = headers
        self.document = ProblemDocument(
            _TYPE + code, CODES[code][1], self.status, detail, code, tuple(errors), coap_code, operation
        )

    def reply(self) -> Reply:
        """The problem document as an answer."""
        return Reply(self.status, _encoder.encode(self.document), CONTENT_TYPE, tuple(self.headers))


def wrong_field(code: str, field: str, message: str) -> Problem:
    """A problem about one member of the body or one query parameter."""
    return Problem(code, f"{field}: {message}", errors=(FieldError(field, message),))


def foreign(status: int, code: str, detail: str) -> Reply:
    """A problem document with a ``code`` that is none of ours, of a plugin's."""
    title = HTTPStatus(status).phrase
    return Reply(status, _encoder.encode(ProblemDocument(_TYPE + code, title, status, detail, code)), CONTENT_TYPE)


def bad_configuration(errors: ConfigErrors) -> Problem:
    """The problem document for a configuration that can't be taken."""
    faults = [FieldError(_setting(error), str(error)) for error in errors.errors]
    return Problem("bad-configuration", "; ".join(fault.message for fault in faults), errors=faults)


def _setting(error: ConfigError) -> str:
    return " ".join(word for word in (f"[{error.section}]" if error.section else "", error.key or "") if word)


def from_refusal(refused: Refused) -> Problem:
    """The problem document for what the core refused."""
    code = refused.code if refused.code in CODES else "bad-operation"
    headers = ((b"Retry-After", b"5"),) if CODES[code][0] in _LATER else ()
    errors = (FieldError(refused.field, str(refused)),) if refused.field else ()
    return Problem(code, str(refused), errors=errors, headers=headers)


def unreadable(why: StorageError) -> Problem:
    """The storage did not tell what it has; later it may."""
    return Problem("storage-failed", f"the storage can not be read: {why}", headers=((b"Retry-After", b"5"),))


def storage_failed(why: str | None = None) -> Problem:
    """The change was decided but the storage did not take it, for this reason; nothing is promised."""
    reason = f": {why}" if why else ""
    return Problem("storage-failed", f"the storage did not take the change{reason}", headers=((b"Retry-After", b"5"),))
