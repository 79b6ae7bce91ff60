"""A tree of txthings resources as its own documentation has people write one; nothing in it knows of lwm2md."""

from __future__ import annotations

import warnings
from typing import Any

from twisted.internet import defer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    from txthings import coap, error, resource

__all__ = ("LARGE", "Tree", "coap", "error", "resource")

LARGE = bytes(ord("a") + index % 26 for index in range(3000))


class CounterResource(resource.CoAPResource):
    """Counts how often it was asked."""

    def __init__(self, start: int = 0) -> None:
        resource.CoAPResource.__init__(self)
        self.counter = start
        self.visible = True
        self.addParam(resource.LinkParam("title", "Counter resource"))

    def render_GET(self, request: Any) -> Any:
        response = coap.Message(code=coap.CONTENT, payload=str(self.counter))
        self.counter += 1
        return defer.succeed(response)


class LargeResource(resource.CoAPResource):
    """More than fits one block."""

    def __init__(self) -> None:
        resource.CoAPResource.__init__(self)
        self.visible = True

    def render_GET(self, request: Any) -> Any:
        return defer.succeed(coap.Message(code=coap.CONTENT, payload=LARGE))


class SeparateResource(resource.CoAPResource):
    """Takes longer than an acknowledgement may."""

    def __init__(self, reactor: Any, delay: float) -> None:
        resource.CoAPResource.__init__(self)
        self.visible = True
        self.reactor = reactor
        self.delay = delay

    def render_GET(self, request: Any) -> Any:
        d: Any = defer.Deferred()
        self.reactor.callLater(self.delay, self.responseReady, d, request)
        return d

    def responseReady(self, d: Any, request: Any) -> None:
        d.callback(coap.Message(code=coap.CONTENT, payload=b"at last"))


class StoreResource(resource.CoAPResource):
    """Keeps what was put."""

    def __init__(self) -> None:
        resource.CoAPResource.__init__(self)
        self.visible = True
        self.observable = True
        self.value = b""

    def render_GET(self, request: Any) -> Any:
        response = coap.Message(code=coap.CONTENT, payload=self.value)
        response.opt.content_format = request.opt.accept or 42
        response.opt.etag = b"tag"
        return defer.succeed(response)

    def render_PUT(self, request: Any) -> Any:
        self.value = request.payload
        self.updatedState()
        return defer.succeed(coap.Message(code=coap.CHANGED))

    def render_POST(self, request: Any) -> Any:
        response = coap.Message(code=coap.CREATED, payload=request.payload)
        response.opt.location_path = [b"store", b"%d" % len(request.payload)]
        return defer.succeed(response)

    def render_DELETE(self, request: Any) -> Any:
        self.value = b""
        return defer.succeed(coap.Message(code=coap.DELETED))


class TimeResource(resource.CoAPResource):
    """A clock that can be observed."""

    def __init__(self, reactor: Any, period: float) -> None:
        resource.CoAPResource.__init__(self)
        self.visible = True
        self.observable = True
        self.reactor = reactor
        self.period = period
        self.ticks = 0
        self.pad = b""
        self.call: Any = None

    def notify(self) -> None:
        self.ticks += 1
        self.updatedState()
        self.call = self.reactor.callLater(self.period, self.notify)

    def render_GET(self, request: Any) -> Any:
        return defer.succeed(coap.Message(code=coap.CONTENT, payload=b"tick %d" % self.ticks + self.pad))


class CoreResource(resource.CoAPResource):
    """The list of links that such trees bring along."""

    def __init__(self, root: Any) -> None:
        resource.CoAPResource.__init__(self)
        self.root = root

    def render_GET(self, request: Any) -> Any:
        data: list[str] = []
        self.root.generateResourceList(data, "")
        response = coap.Message(code=coap.CONTENT, payload=",".join(data))
        response.opt.content_format = coap.media_types_rev["application/link-format"]
        return defer.succeed(response)


class Tree:
    """The tree, and those of its resources that tests want to reach; `names` makes the names of children."""

    def __init__(self, reactor: Any, names: Any = str, delay: float = 3.0, period: float = 60.0) -> None:
        self.root = root = resource.CoAPResource()
        well_known = resource.CoAPResource()
        root.putChild(names(".well-known"), well_known)
        well_known.putChild(names("core"), CoreResource(root))
        self.counter = CounterResource(5000)
        root.putChild(names("counter"), self.counter)
        self.time = TimeResource(reactor, period)
        root.putChild(names("time"), self.time)
        other = resource.CoAPResource()
        root.putChild(names("other"), other)
        self.large = LargeResource()
        other.putChild(names("large"), self.large)
        self.separate = SeparateResource(reactor, delay)
        other.putChild(names("separate"), self.separate)
        self.store = StoreResource()
        root.putChild(names("store"), self.store)
