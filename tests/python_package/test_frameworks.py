"""What docs/backend.md shows of Django, Flask and FastAPI is run, each in a server of its own, and
seen by a real service."""

import ast
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from presence_api import Presence
from tests import plain
from tests.browser.site import LiveService
from tests.python_package.conftest import TOKEN
from tests.python_package.test_background import PYTHON
from tests.servers import free_port, wait_until

PAGE = (Path(__file__).parents[2] / "docs/backend.md").read_text()
# What surrounds each example: the smallest site with a page, something that is no page, and a
# server on the port of argv[1]. Django's signs somebody in.
AROUND = {
    "Django": """
import sys
from pathlib import Path
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY="a key", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}},
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "presence.PresenceMiddleware",
    ],
)
django.setup()

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application

def sign_in(request):
    login(request, User.objects.get())
    return JsonResponse({})

urlpatterns = [
    path("page", lambda request: HttpResponse("<h1>Here</h1>")),
    path("data", lambda request: JsonResponse({})),
    path("sign-in", sign_in),
]
call_command("migrate", verbosity=0)
User.objects.create_user("anna")
make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application()).serve_forever()
""",
    "Flask": """
import sys
from presence import app

@app.get("/page")
def page():
    return "<h1>Here</h1>"

@app.get("/data")
def data():
    return {}

app.run(port=int(sys.argv[1]))
""",
    "FastAPI": """
import sys
import uvicorn
from fastapi.responses import HTMLResponse
from presence import app

@app.get("/page")
def page():
    return HTMLResponse("<h1>Here</h1>")

@app.get("/data")
async def data():
    return {}

uvicorn.run(app, port=int(sys.argv[1]))
""",
}


def snippet(framework: str) -> str:
    """The example of a framework."""
    section = PAGE.partition(f"### {framework}\n")[2]
    (text,) = re.findall(r"```python\n(.*?)```", section.partition("\n##")[0], re.DOTALL)
    return str(text)


@contextlib.contextmanager
def site(framework: str, folder: Path, service: str) -> Iterator[httpx.Client]:
    """The site of an example, and a visitor with cookies."""
    (folder / "presence.py").write_text(snippet(framework))
    (folder / "site_around.py").write_text(AROUND[framework])
    port = free_port()
    environ = os.environ | {
        "SERVICE_URL": service, "SITE_TOKEN": TOKEN, "SECRET_KEY": "a key",
        "PYTHONPATH": str(PYTHON),
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "site_around.py", str(port)],
            cwd=folder, env=environ, stdout=log, stderr=log,
        )  # fmt: skip

    def is_up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(httpx.TransportError):
            return visitor.get("/data").status_code == 200
        return False

    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as visitor:
            wait_until(is_up, what=framework)
            yield visitor
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("framework", AROUND)
def test_the_example_is_seen(framework: str, tmp_path: Path) -> None:
    service = LiveService(
        tmp_path, "memory://", SITES_FILE="sites.toml",
        SESSION_TIMEOUT="120", HEARTBEAT_INTERVAL="30", HEARTBEAT_DEDUP="10",
    )  # fmt: skip
    (tmp_path / "sites.toml").write_text(
        f'[team]\ntoken = "{TOKEN}"\nuser_secrets = ["a secret of thirty-two bytes, or more"]\n'
    )
    client = Presence(service.url, "team", TOKEN)
    with client.http, site(framework, tmp_path, service.url) as visitor:
        # The service is away: the page is there.
        if framework == "Django":
            visitor.get("/sign-in").raise_for_status()
        for _ in range(2):
            assert visitor.get("/page").text == "<h1>Here</h1>"
        service.start()
        try:

            def is_seen() -> bool:
                assert visitor.get("/page").text == "<h1>Here</h1>"
                visitor.get("/data").raise_for_status()
                return bool(stats()["activeVisitors"])

            def stats() -> dict[str, Any]:
                found: dict[str, Any] = service.get("/v1/sites/team/stats").json()
                return found

            wait_until(is_seen, what="the visitor")
            assert stats()["activeByPath"] == [{"path": "/page", "count": 1}]
            users = [(user["userId"], user["name"]) for user in client.users("/page")["users"]]
            assert users == ([("1", "anna")] if framework == "Django" else [])
            # Who brings back no cookie, and who is not signed in, is nobody.
            for _ in range(3):
                plain.get(f"{visitor.base_url}/page").raise_for_status()
            visitor.get("/page").raise_for_status()
            with service.frozen():  # nor does a page wait for a service that hangs
                assert visitor.get("/page").status_code == 200
            assert stats()["activeVisitors"] == 1
        finally:
            service.close()


def test_the_first_example_answers_as_is_shown(live_service: LiveService) -> None:
    section = PAGE.partition("## In Python\n")[2].partition("\n## ")[0]
    (text,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    begin, rest = text.replace("https://presence.example.org", live_service.url).split(
        "\npresence.", 1
    )
    scope: dict[str, Any] = {}
    exec(begin.replace("the site's token", TOKEN), scope)
    with scope["presence"].http:
        for line in f"presence.{rest}".splitlines():
            call, _, answer = line.partition("  # ")
            assert eval(call, scope) == ast.literal_eval(answer), line
