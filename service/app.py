"""create_app(settings): wiring, lifespan and error handlers; nothing else."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import problem_response, unexpected
from service.api.body_budget import BodyBudget
from service.api.coalescer import Coalescer
from service.api.context import Context
from service.api.cors import PublicCors
from service.api.intake import Intake
from service.api.middleware import Observed
from service.api.public_path import PublicPath
from service.api.rate_limits import Slots
from service.api.requests.batches import MAX_BATCH_BODY_BYTES
from service.api.routes import API_ROUTES
from service.api.security import Security
from service.api.share_tokens import ShareTokens
from service.api.user_tokens import UserTokens
from service.errors import PresenceError, RequestError, ShardCountError, TokenError
from service.live.hub import Hub
from service.models import Stats
from service.ops.logs import configure_logs
from service.ops.metrics import Metrics, observe_process
from service.ops.tracing import Tracing, provider_from_env
from service.redis.client import ReplicaReads, connect
from service.redis.connection import Connection
from service.server.draining import Draining
from service.settings import Settings
from service.sites import DEMO_SITE
from service.store.from_settings import make_store
from service.store.keys import Keys
from service.store.shard_count import agree_or_ask_later
from service.store.sweeper import Sweeper
from service.web.demo import DEMO_ROUTES
from service.web.demo_document import ROUTE as DEMO_TOKEN
from service.web.demo_document import Colleagues
from service.web.demo_visitors import Visitors
from service.web.pages import PAGE_ROUTES, refusal, routes_of_script
from service.webhooks.pace import Pace
from service.webhooks.senders import start_senders, stop_senders

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

STREAMS = 10_000  # live streams that one process holds: some 25 KB each
STREAMS_EACH = 256  # those of one address, behind which a whole office may be
BATCH_BODIES = 8  # the largest that one process holds with a token, and as many without

ROUTES = [*API_ROUTES, *PAGE_ROUTES]

log = structlog.get_logger(__name__)


def _connection_of(settings: Settings) -> Connection:
    reads = None
    if settings.read_from == "replicas":
        clock = Keys(settings.key_prefix).clock
        reads = ReplicaReads(clock, round(settings.replica_max_age * 1000))
    return connect(settings.redis_url, reads=reads)


def create_app(
    settings: Settings | None = None,
    *,
    demo: bool = False,
    drains: bool = False,
    traces: "TracerProvider | None" = None,
) -> Starlette:
    """The whole service as one ASGI app; without settings, by the environment.

    Args:
        demo: also serve a demo site, with simulated visitors.
        drains: on SIGTERM and SIGINT, drain before the server that runs the app is told.
        traces: where traces go; unless given, as OpenTelemetry's variables say.

    Raises:
        SettingsError: a setting is wrong.
    """
    if settings is None:
        settings = Settings.from_env()
        configure_logs(settings.log_level)
    if demo:  # its document shows who is here
        sites = settings.sites.with_users(DEMO_SITE, secrets.token_urlsafe(32))
        settings = replace(settings, sites_file=sites)
    metrics = Metrics(frozenset(settings.site_labels))
    metrics.streams_limit.set(STREAMS)
    security = Security(settings)
    _warn_of_short_secrets(settings)
    store = make_store(settings, _connection_of(settings), metrics)
    store.layouts.first = settings.sites.shards
    hub = Hub(store, settings.live_tick)
    stats: Coalescer[tuple[str, int], Stats] = Coalescer(lambda key: store.stats(*key))
    share_tokens = ShareTokens(store.share_digests)
    draining = Draining(settings.drain, hub.close)
    traces = traces or provider_from_env(os.environ)
    tracing = Tracing(traces, security.addresses.is_from_trusted_proxy) if traces else None

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            asking = await agree_or_ask_later(store)
        except ShardCountError:
            await store.close()
            raise
        sweeper = Sweeper(store, metrics)
        sweeping = asyncio.create_task(sweeper.run(), name="sweeper")
        others = [asyncio.create_task(observe_process(metrics), name="pulse")]
        if asking is not None:
            others.append(asking)
        if store.connection.replicas is not None:
            store.connection.replicas.observe = metrics.observe_replica
            others.append(asyncio.create_task(store.follow_replicas(), name="replicas"))
        others.append(asyncio.create_task(store.layouts.run(), name="layouts"))
        if store.retention.is_on:
            others.append(asyncio.create_task(store.retention.run(), name="retention"))
        pace = Pace(grace_s=settings.heartbeat_interval)
        # Who sends must know what is, not what was: of a replica that lags, they would tell that
        # somebody is gone who is here.
        current = make_store(
            settings, replace(store.connection, replicas=None), metrics, store.keys
        )
        senders = start_senders(current, settings.sites, metrics, pace)
        if demo:
            visitors = Visitors(store, settings.heartbeat_interval)
            colleagues = Colleagues(store, settings.heartbeat_interval)
            others.append(asyncio.create_task(visitors.run(), name="demo"))
            others.append(asyncio.create_task(colleagues.run(), name="demo document"))
        try:
            with draining.before_signals() if drains else contextlib.nullcontext():
                yield
        finally:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            await stop_senders(senders)
            hub.close()
            sweeper.stop()
            # Told twice to stop, it is cancelled here; what was accepted is still written below.
            with contextlib.suppress(asyncio.CancelledError):
                await sweeping
                await hub.settled()
                await stats.settled()
                await share_tokens.settled()
            await store.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.shutdown)

    app = Starlette(
        routes=[
            *ROUTES,
            *routes_of_script(settings.script_name),
            *((DEMO_TOKEN, *DEMO_ROUTES) if demo else ()),
        ],
        middleware=[Middleware(PublicCors, security=security)],
        exception_handlers={
            PresenceError: _presence_error,
            HTTPException: _http_error,
            Exception: _unexpected_error,
        },
        lifespan=lifespan,
    )
    # Never redirect to where the Host header says.
    app.router.redirect_slashes = False
    streams = Slots(STREAMS, STREAMS_EACH)
    context = Context(
        settings,
        store,
        security,
        metrics,
        hub,
        stats,
        streams,
        lambda: draining.is_on,
        UserTokens(),
        share_tokens,
        BodyBudget(BATCH_BODIES * MAX_BATCH_BODY_BYTES),
        BodyBudget(BATCH_BODIES * MAX_BATCH_BODY_BYTES),
    )
    app.state.context = context
    app.state.demo = demo
    app.state.intake = Intake(context)
    app.state.draining = draining
    # Outermost: what nobody thought of, Starlette answers outside of the middleware it is given.
    stack = app.build_middleware_stack()
    if tracing is not None:
        stack, store.span = tracing.around(stack), tracing.call
    app.middleware_stack = Observed(stack, metrics, security)
    if settings.public_path:
        app.middleware_stack = PublicPath(app.middleware_stack, settings.public_path)
    return app


def _warn_of_short_secrets(settings: Settings) -> None:
    """RFC 7518, 3.2: a key of HS256 has as many bits as its hash."""
    for name, site in settings.sites.by_id.items():
        if any(len(secret.encode()) < 32 for secret in site.user_secrets):
            log.warning(
                "short_user_secret",
                site=name,
                hint="give 32 bytes or more, such as `openssl rand -base64 32` prints",
            )


async def _presence_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PresenceError)
    if isinstance(error, TokenError):
        security = request.app.state.context.security
        security.limits.note_guess(security.addresses.of_request(request.scope))
    if isinstance(error, RequestError):
        return refusal(request, error)
    return problem_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    detail = error.detail
    if error.status_code == 404:
        detail = "there is nothing here; see /docs"
    elif error.status_code == 405:
        allowed = ", ".join(sorted(headers["Allow"].split(", ")))
        detail = f"{request.method} is not allowed here; allowed: {allowed}"
    return refusal(request, RequestError(error.status_code, detail, headers=headers))


async def _unexpected_error(request: Request, error: Exception) -> Response:
    log.error("unexpected_error", kind=type(error).__name__, exc_info=error)
    return problem_response(unexpected())
