"""Small apps of others, built with the packed npm client and served from an origin of their own."""

import json
import mimetypes
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests import npm
from tests.browser.web import answer_page, web_server

BUNDLED = ("react", "vue", "svelte")

# Pages without a bundler: the package's modules as they are, and its script tag.
UNBUNDLED = {
    "module": """<output data-state="connecting">connecting</output><script type="module">
        import {{ createPresence }} from "/package/dist/index.js";
        const presence = createPresence({{ api: {api}, site: {site}, allowLocalhost: true }});
        const output = document.querySelector("output");
        presence.subscribe(({{ activeVisitors, activeOnPath, isConnected }}) => {{
          output.dataset.state = isConnected ? "live" : "stale";
          output.textContent = `${{activeVisitors}} here, ${{activeOnPath}} on this page`;
        }}, {{ path: location.pathname }});
        </script>""",
    "script": """<output><b data-presence-count></b> here, <b data-presence-count="/script"></b>
        on this page</output><script defer src="/package/dist/script/presence.js" data-api={api}
        data-site={site} data-allow-localhost></script>""",
}


@dataclass
class Apps:
    """A folder with the apps of client/apps/, beside the packed client and nothing else of it."""

    folder: Path
    packed: Path

    @property
    def package(self) -> Path:
        """The client as it is installed."""
        return self.folder / "node_modules" / "presence-client"

    def run(self, script: str) -> str:
        """What `npm run` prints of a script of their package.json."""
        return npm.run("npm", "run", script, cwd=self.folder)

    def tool(self, *command: str) -> str:
        """What a program of their packages prints."""
        return npm.run("npx", "--no-install", *command, cwd=self.folder)

    @contextmanager
    def served(self, api: str) -> Iterator["Origin"]:
        """The built apps at /react, /vue and /svelte, and two that need no building."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            path = urlsplit(request.path).path
            name = path.split("/")[1]
            if name in UNBUNDLED:
                answer_page(request, UNBUNDLED[name].format(api=json.dumps(api), site='"blog"'))
            elif name in BUNDLED:
                _send(request, self.folder / "dist" / name / "index.html")
            elif name == "package":
                _send(request, self.package / path.removeprefix("/package/"))
            else:
                _send(request, self.folder / "dist" / path.lstrip("/"))

        with web_server(answer) as port:
            yield Origin(f"http://127.0.0.1:{port}", api)


@dataclass
class Origin:
    """Where the apps are served."""

    url: str
    api: str

    def page(self, app: str) -> str:
        """The address of one of them."""
        return f"{self.url}/{app}?{urlencode({'api': self.api, 'site': 'blog'})}"


def _send(request: BaseHTTPRequestHandler, file: Path) -> None:
    body = file.read_bytes()
    request.send_response(200)
    request.send_header("Content-Type", mimetypes.guess_type(file.name)[0] or "text/plain")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def install(folder: Path) -> Apps:
    """Copies the apps' sources, and installs what they need, the client from its packed file."""
    npm.install(npm.APPS)
    package = npm.pack(folder / "packed")
    apps = Apps(folder / "apps", package.with_name("packed.tgz"))
    shutil.copytree(npm.APPS, apps.folder, ignore=shutil.ignore_patterns("node_modules"))
    modules = apps.folder / "node_modules"
    modules.mkdir()
    for installed in (npm.APPS / "node_modules").iterdir():
        (modules / installed.name).symlink_to(installed)
    package.rename(apps.package)
    return apps
