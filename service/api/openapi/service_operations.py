"""The endpoints of the service itself, and its pages."""

from service import models
from service.api.openapi.operation import JSON, PLAIN, PRIVATE_SITES, TEXT, Answer, Operation

SERVICE_OPERATIONS = [
    Operation(
        "GET",
        "/livez",
        "livez",
        "Service",
        "Liveness",
        "Whether the process is up. Says nothing of Redis, so that nobody restarts the service for "
        "Redis's sake.",
        [Answer(200, "It is", {PLAIN: TEXT}, example="ok\n")],
    ),
    Operation(
        "GET",
        "/readyz",
        "readyz",
        "Service",
        "Readiness",
        "Whether a write reaches Redis. Writes for real; meant for load balancers.",
        [Answer(200, "It does", {JSON: models.Ready}, example={"status": "ready"})],
        (503,),
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Service",
        "Metrics for Prometheus",
        "Open, unless the service has a metrics token. Labels are words of the service and route "
        "templates, never what a client sent.",
        [Answer(200, "Prometheus's text format", {PLAIN: TEXT})],
        (401, 403, 429),
        security=PRIVATE_SITES,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        "Service",
        "OpenAPI",
        "The document that describes all of this, OpenAPI 3.1.",
        [Answer(200, "The document", {JSON: {"type": "object"}})],
    ),
    Operation(
        "GET",
        "/docs",
        "docs",
        "Service",
        "Reference",
        "The OpenAPI document to read: one page, without any other host.",
        [Answer(200, "The page", {"text/html": TEXT})],
    ),
    Operation(
        "GET",
        "/",
        "start",
        "Service",
        "Getting started",
        "The script tag, and the first heartbeat as it comes in.",
        [Answer(200, "The page", {"text/html": TEXT})],
    ),
    Operation(
        "GET",
        "/sites/{site}",
        "statsPage",
        "Service",
        "The live stats page",
        "For people. `?wall` is for a screen on a wall, `?embed` and `?pill` for a frame: pages "
        "of the site's origins may show it, any page where none are configured. For a site "
        "that is private or not there it asks for a token, and no frame may show it.",
        [Answer(200, "The page", {"text/html": TEXT})],
        (422,),
        ("site", "theme", "accent"),
    ),
    Operation(
        "GET",
        "/presence.js",
        "client",
        "Service",
        "The browser client",
        "What the script tag loads.",
        [Answer(200, "The script", {"text/javascript": TEXT})],
    ),
]
