"""What is done around every request but single heartbeats."""

import re
import secrets

import structlog
from starlette.datastructures import MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.answers import problem_response
from service.api.heartbeat_path import is_heartbeat
from service.api.request_head import COUNTED, check_host_in, headers_of
from service.api.security import Security
from service.errors import RequestError
from service.ops.metrics import Metrics

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Observed:
    """Counts requests by route template and status, names each in the logs, and sets the headers
    all answers carry."""

    def __init__(self, app: ASGIApp, metrics: Metrics, security: Security) -> None:
        self._app = app
        self._metrics = metrics
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_heartbeat(scope):
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)

        async def send_observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                if COUNTED not in scope:
                    scope[COUNTED] = True
                    self._metrics.requests.labels(*labels_of(scope), str(message["status"])).inc()
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                check_host_in(scope)
            except RequestError as error:
                await problem_response(error)(scope, receive, send_observed)
                return
            await self._app(scope, receive, send_observed)

    def _request_id(self, scope: Scope) -> str:
        """What a trusted proxy calls the request, or a new name."""
        given = headers_of(scope).get(b"x-request-id", b"")
        if _REQUEST_ID.fullmatch(given) and self._security.addresses.is_from_trusted_proxy(scope):
            return given.decode()
        return secrets.token_hex(16)


def labels_of(scope: Scope) -> tuple[str, str]:
    """Method and route of a request as metrics name them: never what a client made up."""
    route = scope.get("route")
    template = route.path if isinstance(route, Route) else "none"
    return (scope["method"] if scope["method"] in _METHODS else "other"), template


_METHODS = frozenset(("GET", "HEAD", "POST", "DELETE", "OPTIONS"))
