"""Heartbeats by Starlette and redis-py, one script call each."""

import os
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

ORIGIN = os.environ["ORIGIN"]
RULES = [os.environ[name] for name in ("DEDUP_MS", "TIMEOUT_MS", "VIEW_DEDUP_MS")]
SITE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
SESSION = re.compile(r"[A-Za-z0-9_-]{16,64}")
PATH = re.compile(r"/(?!/)[^\x00-\x1f?#]{0,511}")
TYPE = re.compile(r"[a-z0-9_-]{1,32}|")
COUNTRY = re.compile(r"[A-Za-z]{2}|")

redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
script = redis.register_script(Path(__file__).with_name("heartbeats.lua").read_text())
outcomes: Counter[str] = Counter()


def refusal(status: int, detail: str) -> Response:
    """An error in a few words."""
    return JSONResponse({"detail": detail}, status)


async def heartbeat(request: Request) -> Response:
    """POST /v1/sites/{site}/heartbeat."""
    site = request.path_params["site"]
    if not SITE.fullmatch(site):
        return refusal(422, "site")
    if request.headers.get("origin") != ORIGIN:
        return refusal(403, "origin")
    try:
        body = await request.json()
        session, path = body["sessionId"], body["currentPath"]
        page_type, country = body.get("pageType") or "", body.get("country") or ""
        referrer = urlsplit(body.get("referrer") or "").hostname or ""
        is_valid = (
            SESSION.fullmatch(session)
            and PATH.fullmatch(path)
            and TYPE.fullmatch(page_type)
            and COUNTRY.fullmatch(country)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return refusal(400, "body")
    if not is_valid:
        return refusal(422, "a field is invalid")
    address = request.client.host if request.client else ""
    (outcome,) = await script(
        keys=[f"presence:{{{site}}}:"],
        args=[*RULES, session, path, page_type, referrer, country.upper(), address],
    )
    outcomes[outcome] += 1
    if outcome == "limited":
        return refusal(429, "too many new sessions")
    return Response(
        status_code=204, headers={"Presence-Status": outcome, "Access-Control-Allow-Origin": ORIGIN}
    )


async def metrics(request: Request) -> Response:
    return PlainTextResponse(
        "".join(f'presence_heartbeats_total{{outcome="{o}"}} {n}\n' for o, n in outcomes.items())
    )


app = Starlette(
    routes=[
        Route("/v1/sites/{site}/heartbeat", heartbeat, methods=["POST"]),
        Route("/metrics", metrics),
    ]
)
