"""How an endpoint is called: from a shell, from JavaScript and from Python with httpx."""

import json
import re
from typing import Any

from service.api.openapi.operation import BEARER, SESSION, SHARE, USER, WEBHOOK, Operation

BASE_URL = "http://localhost:8080"  # in examples; pages put their own address in its place


def samples(operation: Operation) -> list[dict[str, str]]:
    """OpenAPI's code samples; of several commands the last shows the answer of the example."""
    answers = [answer for answer in operation.answers if answer.query]
    queries = [("curl", operation.query)]
    queries += [(f"curl, answered {answer.status}", answer.query) for answer in answers]
    shown = [
        {"lang": "Shell", "label": label, "source": curl(operation, query)}
        for label, query in queries
    ]
    _, query = queries[-1]
    return [
        *shown,
        {"lang": "JavaScript", "label": "JavaScript", "source": javascript(operation, query)},
        {"lang": "Python", "label": "Python", "source": python(operation, query)},
    ]


def curl(operation: Operation, query: str) -> str:
    """A shell command that performs the operation."""
    implied = "POST" if operation.body else "GET"
    method = "" if operation.method == implied else f" -X {operation.method}"
    words = [f"curl -i{method} '{_url(operation, query)}'"]
    if _needs_token(operation):
        words.append('-H "Authorization: Bearer $PRESENCE_ADMIN_TOKEN"')
    if operation.body:
        words.append(f"-d '{json.dumps(operation.example, ensure_ascii=False)}'")
    return " \\\n  ".join(words)


def javascript(operation: Operation, query: str) -> str:
    """The same for browsers, and for a server where it takes a token."""
    url = json.dumps(_url(operation, query))
    if operation.is_stream:
        return (
            f"const events = new EventSource({url});\n"
            'for (const kind of ["snapshot", "change"]) {\n'
            "  events.addEventListener(kind, ({ data }) => console.log(kind, JSON.parse(data)));\n}"
        )
    options = []
    if operation.method != "GET":
        options.append(f'method: "{operation.method}",')
    if _needs_token(operation):
        options.append("headers: { Authorization: `Bearer ${process.env.PRESENCE_ADMIN_TOKEN}` },")
    if operation.body:
        body = re.sub(r'^( *)"(\w+)":', r"\1\2:", _pretty(operation.example, 2), flags=re.MULTILINE)
        options.append(f"body: JSON.stringify({body}),".replace("\n", "\n  "))
    more = ", {\n  " + "\n  ".join(options) + "\n}" if options else ""
    return (
        f"const response = await fetch({url}{more});\n"
        "console.log(response.status, await response.text());"
    )


def python(operation: Operation, query: str) -> str:
    """The same with httpx."""
    url = json.dumps(_url(operation, query))
    if operation.is_stream:
        return (
            f'import httpx\n\nwith httpx.stream("GET", {url}, timeout=None) as response:\n'
            "    for line in response.iter_lines():\n        print(line)"
        )
    imports, arguments = "import httpx\n", [url]
    if _needs_token(operation):
        imports = f"import os\n\n{imports}"
        value = "os.environ['PRESENCE_ADMIN_TOKEN']"
        arguments.append(f'headers={{"Authorization": f"Bearer {{{value}}}"}}')
    if operation.body:
        arguments.append(f"json={_pretty(operation.example, 4)}".replace("\n", "\n    "))
    joined = ",\n    ".join(arguments)
    call = f"(\n    {joined},\n)" if len(arguments) > 1 else f"({joined})"
    return (
        f"{imports}\nresponse = httpx.{operation.method.lower()}{call}\n"
        "print(response.status_code, response.text)"
    )


def _pretty(example: Any, indent: int) -> str:
    """JSON, which is Python as well where nothing is true, false or null."""
    return json.dumps(example, ensure_ascii=False, indent=indent)


def _url(operation: Operation, query: str) -> str:
    path = operation.path.replace("{site}", "blog").replace("{session_id}", SESSION)
    path = path.replace("{user_id}", USER)
    path = path.replace("{name}", WEBHOOK if "/webhooks/" in path else SHARE)
    return f"{BASE_URL}{path}{query}"


def _needs_token(operation: Operation) -> bool:
    """Backends that write show theirs: without one, they are refused wherever one is set."""
    is_backend = operation.tag == "Write" and BEARER in operation.security
    return is_backend or {} not in operation.security
