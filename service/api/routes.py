"""The table of the HTTP resources, one module each."""

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from service.api import (
    badge,
    docs,
    events,
    health,
    heartbeat,
    heartbeat_batches,
    leave,
    live,
    sessions,
    shares,
    stats,
    users,
    views,
    webhooks,
)

_SITE = "/v1/sites/{site}"
# Two days of history are 14 kB of JSON, and 1 kB of gzip.
_GZIPPED = [Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)]
API_ROUTES = [
    Route(f"{_SITE}/heartbeat", heartbeat.HeartbeatEndpoint(), methods=["POST"]),
    Route(f"{_SITE}/heartbeats", heartbeat_batches.heartbeats, methods=["POST"]),
    Route(f"{_SITE}/leave", leave.leave, methods=["POST"]),
    Route(f"{_SITE}/views", views.views, methods=["GET", "POST"]),
    Route(f"{_SITE}/stats", stats.stats, middleware=_GZIPPED),
    Route(f"{_SITE}/active", stats.active),
    Route(f"{_SITE}/history", stats.history, middleware=_GZIPPED),
    Route(f"{_SITE}/sources", stats.sources, middleware=_GZIPPED),
    Route(f"{_SITE}/badge.svg", badge.badge),
    Route(f"{_SITE}/live", live.Live(), methods=["GET"]),
    Route(f"{_SITE}/users", users.users),
    Route(f"{_SITE}/users/status", users.statuses, methods=["POST"]),
    Route(f"{_SITE}/users/{{user_id}}", users.user, methods=["GET", "DELETE"]),
    Route("/v1/sites", sessions.sites),
    Route(f"{_SITE}/sessions", sessions.sessions),
    Route(f"{_SITE}/sessions/{{session_id}}", sessions.session, methods=["GET", "DELETE"]),
    Route(f"{_SITE}/shares", shares.shares),
    Route(f"{_SITE}/shares/{{name}}", shares.share, methods=["POST", "DELETE"]),
    Route(f"{_SITE}/events", events.events),
    Route(f"{_SITE}/webhooks", webhooks.webhooks),
    Route(f"{_SITE}/webhooks/{{name}}/test", webhooks.test, methods=["POST"]),
    Route("/livez", health.livez),
    Route("/readyz", health.readyz),
    Route("/metrics", health.metrics),
    Route("/openapi.json", docs.openapi),
    Route("/docs", docs.page),
]
