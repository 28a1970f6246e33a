"""Clients that generators make of docs/openapi.json, in TypeScript and Python: they call a real
service as docs/http.md shows, with a token, and are told why they are refused."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import npm
from tests.browser.site import LiveService, running

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
DOCUMENT = npm.ROOT / "docs" / "openapi.json"
PAGE = (npm.ROOT / "docs" / "http.md").read_text()
EXAMPLE_URL = "https://presence.example.org"
TOKEN = "the-token-of-the-operator"
# Status and visitors as on the page; then who is there, by token; then what a refusal names.
EXPECTED = ["204 1", "/pricing", "401", "currentPath"]

MORE_TYPESCRIPT = f"""
import type {{ components }} from "./presence.js";
const headers = {{ Authorization: "Bearer {TOKEN}" }};
const operator = createClient<paths>({{ baseUrl: "{EXAMPLE_URL}", headers }});
const known = await operator.GET("/v1/sites/{{site}}/sessions", {{ params }});
const first: components["schemas"]["Session"] | undefined = known.data?.sessions[0];
console.log(first?.currentPath);
const unknown = await presence.GET("/v1/sites/{{site}}/sessions", {{ params }});
console.log(unknown.response.status);
const wrong = {{ ...body, currentPath: "no slash" }};
const refused = await presence.POST("/v1/sites/{{site}}/heartbeat", {{ params, body: wrong }});
const problem: components["schemas"]["Problem"] | undefined = refused.error;
console.log(problem?.field);
// @ts-expect-error: a heartbeat says where
() => presence.POST("/v1/sites/{{site}}/heartbeat", {{ params, body: {{ sessionId: "s" }} }});
// @ts-expect-error: there is no such number
() => data?.activeVisitorz;
"""
MORE_PYTHON = f"""
from presence_client import AuthenticatedClient
from presence_client.api.operate import sessions
from presence_client.models import Problem, SessionPage

operator = AuthenticatedClient(base_url="{EXAMPLE_URL}", token="{TOKEN}")
known = sessions.sync("blog", client=operator)
assert isinstance(known, SessionPage)
print(known.sessions[0].current_path)
print(int(sessions.sync_detailed("blog", client=client).status_code))
body.current_path = "no slash"
refused = heartbeat.sync("blog", client=client, body=body)
assert isinstance(refused, Problem)
print(refused.field)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    """With an operator, and nobody on its site."""
    folder = tmp_path / "service"
    folder.mkdir()
    with running(folder, "memory://", ADMIN_TOKEN=TOKEN, SESSION_TIMEOUT="600") as service:
        yield service


def shown(language: str) -> str:
    """The example of a language on the page."""
    section = PAGE.partition("## Generated clients")[2]
    [example] = re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return str(example)


def test_typescript(service: LiveService, tmp_path: Path) -> None:
    npm.install(npm.APPS)
    modules = npm.APPS / "node_modules"
    (tmp_path / "node_modules").symlink_to(modules)
    compiler_options = {
        "strict": True, "exactOptionalPropertyTypes": True, "noUncheckedIndexedAccess": True,
        "module": "nodenext", "target": "es2022", "lib": ["es2022", "dom", "dom.iterable"],
        "types": [], "outDir": "out",
    }  # fmt: skip
    program = shown("ts") + MORE_TYPESCRIPT
    files = {
        "package.json": json.dumps({"type": "module"}),
        "tsconfig.json": json.dumps(
            {"compilerOptions": compiler_options, "files": ["program.ts", "presence.d.ts"]}
        ),
        "program.ts": program.replace(EXAMPLE_URL, service.url),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    generator = [str(modules / ".bin" / "openapi-typescript"), str(DOCUMENT)]
    npm.run(*generator, "-o", "presence.d.ts", cwd=tmp_path)
    npm.run(str(modules / ".bin" / "tsc"), "-p", ".", cwd=tmp_path)
    assert npm.run("node", "out/program.js", cwd=tmp_path).splitlines() == EXPECTED


def test_python(service: LiveService, tmp_path: Path) -> None:
    # It knows no SVG; formatting what nobody reads takes longer than all the rest.
    config = {"content_type_overrides": {"image/svg+xml": "text/html"}, "post_hooks": []}
    (tmp_path / "config.json").write_text(json.dumps(config))
    generated = tmp_path / "generated"
    generator = Path(sys.executable).with_name("openapi-python-client")
    run(
        *(str(generator), "generate", "--path", str(DOCUMENT), "--output-path", str(generated)),
        *("--config", str(tmp_path / "config.json"), "--fail-on-warning"),
    )
    program = (shown("python") + MORE_PYTHON).replace(EXAMPLE_URL, service.url)
    printed = run(sys.executable, "-W", "error", "-c", program, PYTHONPATH=str(generated))
    assert printed.splitlines() == EXPECTED


def run(*command: str, **environment: str) -> str:
    """What a command prints; the test fails with it where the command does."""
    ran = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout
