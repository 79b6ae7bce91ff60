"""The HTTP API under ``/v1``, server-sent events, health and metrics, on twisted.web's HTTP channel.

What callers rely on: ``docs/api.md``. `lwm2md.http.api.Api` is the factory to listen with; the other modules hold one
group of routes each, as a tuple of `lwm2md.http.routes.Route` that the OpenAPI document is generated from.

RULES: the shell (`lwm2md.service`) gives a `lwm2md.http.node.Node`; nothing here reads a clock or imports the reactor.
Whatever changed the core is followed by ``node.settle()``. Every refusal is a problem document (RFC 9457).
"""
