"""An example plugin: CoAP resources for devices, a tree of txthings' resources as it is written for txthings itself.

A device asks ``coap://SERVER/weather/today``; ``PUT /v1/weather`` says what it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from txthings import coap, resource

from lwm2md import hookimpl
from lwm2md.plugins import ApiProblem, ApiRequest, ApiRoute

API_VERSION = 1
RESTARTABLE = True


class Forecast(msgspec.Struct):
    """The body of ``PUT /v1/weather``."""

    text: str


class Today(resource.CoAPResource):  # type: ignore[misc]  # txthings has no annotations
    """The weather; who observes it hears of every change."""

    def __init__(self) -> None:
        super().__init__()
        self.visible = self.observable = True
        self.text = "unknown"

    def render_GET(self, request: Any) -> Any:
        """Answer with the text."""
        return coap.Message(code=coap.CONTENT, payload=self.text.encode())

    def say(self, text: str) -> None:
        """Let everybody know."""
        self.text = text
        self.updatedState()


class Weather:
    """What this plugin keeps."""

    today: Today | None = None


@hookimpl
def lwm2md_coap_resources() -> Any:
    """A tree with one branch."""
    root, branch = resource.CoAPResource(), resource.CoAPResource()
    Weather.today = Today()
    root.putChild("weather", branch)
    branch.putChild("today", Weather.today)
    return root


@hookimpl
def lwm2md_http_routes() -> Sequence[ApiRoute]:
    """A route outside of ``/v1/plugins``: the word after ``/v1/`` is nobody else's."""
    return [ApiRoute("PUT", "/v1/weather", _put, "Say what the weather is", body=Forecast, status=204)]


async def _put(request: ApiRequest) -> None:
    """On the reactor's thread, where txthings' resources are."""
    if not request.body.text:
        raise ApiProblem(400, "no-weather", "there is always some weather")
    if Weather.today is not None:
        Weather.today.say(request.body.text)
