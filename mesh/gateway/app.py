"""Routing: the gateway answers its own paths and passes all others on."""

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from mesh.gateway.access import is_authorized, refused_host, refused_origin, refused_site
from mesh.gateway.backend import GatewayBackend
from mesh.gateway.connection import Handler, HttpExchange, Request
from mesh.gateway.counters import Exposition, GatewayCounters
from mesh.gateway.dashboard import dashboard
from mesh.gateway.feed import Feed
from mesh.gateway.leaders import Leaders
from mesh.gateway.model_list import lists_models, model_list
from mesh.gateway.proxy import Proxy
from mesh.gateway.readiness import why_not_ready
from mesh.gateway.replies import Reply, error_reply, json_reply, refusal, reply, unavailable

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

_KEYLESS: Final = frozenset({"/", "/healthz", "/readyz"})
"""Paths that disclose nothing: the dashboard's page is empty until it has the key."""
_OWN: Final = frozenset({"/", "/healthz", "/readyz", "/metrics", "/events", "/status"})


class Gateway:
    """The handler of all exchanges."""

    def __init__(self, backend: GatewayBackend, collectors: "Sequence[Collector]") -> None:
        self._backend = backend
        self._counters = GatewayCounters()
        self._exposition = Exposition(self._counters, collectors)
        self.feed = Feed(backend)
        self._proxy = Proxy(Leaders(backend, self.feed), self._counters)

    def handler(self, api_key: str | None) -> Handler:
        """Answers the requests of one entrance, which wants this key, if any."""
        return partial(self.handle, api_key)

    async def handle(self, api_key: str | None, exchange: HttpExchange) -> None:
        """Answer one request, if it has the key that is wanted."""
        try:
            await self._route(api_key, exchange)
        finally:
            if exchange.status is not None:
                self._counters.answered(exchange.request.path, exchange.status)

    async def _route(self, api_key: str | None, exchange: HttpExchange) -> None:
        request = exchange.request
        if answer := self._for_anybody(request, api_key):
            # Whoever has no key gets one answer: many, unread, would keep a place from those who have it.
            may_go_on = is_authorized(request.headers, api_key)
            await exchange.reply(answer if may_go_on else _last(answer))
        elif lists_models(request.path):
            await exchange.reply(self._models(request))
        elif request.path not in _OWN:
            await self._proxy.handle(exchange)
        elif request.path == "/events" and request.method == "GET":
            await self.feed.watch(exchange)
        else:
            await exchange.reply(self._own(request.path))

    def _for_anybody(self, request: Request, api_key: str | None) -> Reply | None:
        """The answer that does not depend on a key: a refusal, or what discloses nothing."""
        if refused := _refusal(request, api_key):
            return refused
        return self._own(request.path) if request.path in _KEYLESS else None

    def _models(self, request: Request) -> Reply:
        """What is served, known here: neither a leader that is lost nor one that loads is waited for."""
        if refused := self._backend.refused():
            return refusal(refused, request.shape)
        return model_list(self._backend.status(), request.path, int(time.time()))

    def _own(self, path: str) -> Reply:
        if path == "/":
            return dashboard()
        if path == "/healthz":
            return json_reply(200, {"status": "ok"})
        if path == "/metrics":
            return reply(200, Exposition.content_type, self._exposition.render())
        status = self._backend.status()
        if path != "/readyz":
            # A HEAD of /events ends here too, as it has no stream to follow.
            return json_reply(200, status)
        if not_ready := why_not_ready(status):
            return unavailable("not_ready", str(not_ready), not_ready.retry_after)
        return json_reply(200, {"status": "ready"})


def _refusal(request: Request, api_key: str | None) -> Reply | None:
    shape, host = request.shape, request.header(b"host")
    # A page that rebinds its name has no key; and by which names a proxy is known, it alone knows.
    if api_key is None and (reason := refused_host(host, request.local)):
        return error_reply(403, "forbidden_host", reason, shape=shape)
    if reason := refused_origin(request.header(b"origin"), host):
        return error_reply(403, "forbidden_origin", reason, shape=shape)
    site, mode = request.header(b"sec-fetch-site"), request.header(b"sec-fetch-mode")
    if reason := refused_site(site, request.path, mode):
        return error_reply(403, "forbidden_origin", reason, shape=shape)
    if request.path not in _KEYLESS and not is_authorized(request.headers, api_key):
        reason = "this API wants its key as a bearer token, or in the header x-api-key"
        return error_reply(401, "invalid_api_key", reason, [(b"www-authenticate", b"Bearer")], shape)
    if (request.path in _OWN or lists_models(request.path)) and request.method not in ("GET", "HEAD"):
        return error_reply(
            405, "method_not_allowed", "this path can only be read", [(b"allow", b"GET, HEAD")]
        )
    if request.method in ("CONNECT", "TRACE"):
        return error_reply(405, "method_not_allowed", f"{request.method} is not served here", shape=shape)
    return None


def _last(answer: Reply) -> Reply:
    return answer._replace(headers=[*answer.headers, (b"connection", b"close")])
