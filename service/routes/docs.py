"""`/`, `/openapi.json` and `/docs`."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


async def start(request: Request) -> Response:
    return PlainTextResponse("presence\n")


async def openapi(request: Request) -> Response:
    return PlainTextResponse("{}")


async def page(request: Request) -> Response:
    return PlainTextResponse("docs")
