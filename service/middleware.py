"""What is done around every request but the hot one."""

from starlette.datastructures import MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics


class Observed:
    """Counts requests by route template and status, and sets the headers all answers carry."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                template = route.path if isinstance(route, Route) else "none"
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(method, template, str(message["status"])).inc()
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
            await send(message)

        await self._app(scope, receive, send_observed)


_METHODS = frozenset(("GET", "HEAD", "POST", "DELETE", "OPTIONS"))
