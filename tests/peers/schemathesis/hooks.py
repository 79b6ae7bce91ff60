"""What schemathesis checks beside its own list; runs in its environment, not in ours."""

from __future__ import annotations

from typing import Any

import schemathesis

_MEANING = frozenset({"bad-operation", "bad-model", "bad-credential"})
"""Codes of what fits the document and is refused all the same: for its path, its values, its model, its identity."""


@schemathesis.check  # type: ignore[untyped-decorator]
def refusals(ctx: Any, response: Any, case: Any) -> None:
    """Every refusal is a problem document; what fits the OpenAPI document is refused for its meaning only."""
    if response.status_code < 400:
        return
    if case.path.startswith("/health"):
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind == "application/problem+json", f"a refusal of the type {kind}"
    problem = response.json()
    assert problem["status"] == response.status_code and problem["code"] and problem["detail"]
    assert "Traceback" not in response.text
    mode = case.meta.generation.mode if case.meta is not None else None
    if response.status_code == 400 and mode is not None and mode.is_positive:
        meaning = _MEANING | ({"bad-body"} if case.path.startswith("/v1/traces") else frozenset())
        assert problem["code"] in meaning, f"refused though it fits the document: {problem['detail']}"
