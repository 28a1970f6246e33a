"""The OpenAPI document as a page to read: plain HTML, everything escaped.

Without its script (client/pages/reference.js) it shows the examples for the shell, and all else.
"""

import json
import re
from html import escape
from typing import Any

from service.api.openapi.samples import BASE_URL

METHODS = ("get", "post", "delete")
_ERRORS = (
    "All errors look the same, by RFC 9457: `detail` says what is wrong and what would be right, "
    "`field` which field is meant."
)
MOST_OPTIONAL = 5  # that are shown without being asked for
_LABELS = {"Shell": "curl", "JavaScript": "JavaScript", "Python": "Python"}


def render(document: dict[str, Any], style: str, script: str) -> str:
    """The page. `style` is trusted CSS, `script` a trusted module."""
    page = _Page(document)
    info = document["info"]
    sections = "".join(page.section(tag) for tag in document["tags"])
    schemas = "".join(
        page.schema(name, schema) for name, schema in document["components"]["schemas"].items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(info['title'])} · HTTP API</title>\n<style>{style}</style>\n</head>\n"
        f'<body>\n<div class="columns">\n{page.navigation()}\n<main>\n'
        f'<h1>{escape(info["title"])} <span class="muted">{escape(info["version"])}</span></h1>\n'
        f"{_prose(info['description'])}\n{sections}\n"
        f"{page.errors()}\n"
        f'<h2 id="schemas">Schemas</h2>\n<div class="schemas">\n{schemas}</div>\n</main>\n</div>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


class _Page:
    """One document, and how its parts look."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._operations = [
            (path, method, item[method])
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item
        ]

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        found: Any = self._document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        resolved: dict[str, Any] = found
        return resolved

    def _of_tag(self, tag: str) -> list[tuple[str, str, dict[str, Any]]]:
        return [row for row in self._operations if tag in row[2]["tags"]]

    def navigation(self) -> str:
        """The contents twice, one for each width: to open and close by width takes a script."""
        contents = self._contents()
        return (
            '<nav class="sidebar" aria-label="Endpoints">\n'
            '<input class="field" type="search" id="search" placeholder="Search" '
            'aria-label="Search the reference" hidden>\n'
            f"{contents}</nav>\n"
            '<details class="sidebar-compact">\n<summary>Endpoints</summary>\n'
            f'<nav aria-label="Endpoints">\n{contents}</nav>\n</details>'
        )

    def _contents(self) -> str:
        groups = "".join(
            f"<h4>{escape(tag['name'])}</h4>\n<ul>\n"
            + "".join(
                f'<li><a href="#{escape(operation["operationId"])}">'
                f"{escape(operation['summary'])}</a></li>\n"
                for _, _, operation in self._of_tag(tag["name"])
            )
            + "</ul>\n"
            for tag in self._document["tags"]
        )
        return (
            '<a href="./">Getting started</a> · '
            f'<a href="openapi.json">OpenAPI</a>\n{groups}'
            '<h4>More</h4>\n<ul><li><a href="#errors">Errors</a></li>'
            '<li><a href="#schemas">Schemas</a></li></ul>\n'
        )

    def section(self, tag: dict[str, Any]) -> str:
        name = tag["name"]
        operations = "".join(self._operation(*row) for row in self._of_tag(name))
        return f"<h2>{escape(name)}</h2>\n{_prose(tag['description'])}\n{operations}"

    def _operation(self, path: str, method: str, operation: dict[str, Any]) -> str:
        security = operation["security"]
        lock = ""
        if {} not in security:
            lock = '<span class="auth">operator token</span>'
        elif len(security) > 1:
            lock = '<span class="auth">token, if one is set</span>'
        parts = [
            f'<div class="line"><span class="method {method}">{method.upper()}</span> '
            f"<code>{escape(path)}</code>{lock}</div>\n"
            f"<h3>{escape(operation['summary'])}</h3>\n{_folded(operation['description'])}\n"
        ]
        # The site and the ids of a path are what its braces say.
        parameters = [self._resolved(row) for row in operation.get("parameters", ())]
        if rows := "".join(self._parameter(row) for row in parameters if row["in"] != "path"):
            parts.append(f"<h4>Parameters</h4>\n{_table(rows)}")
        if body := operation.get("requestBody"):
            media_type, content = next(iter(body["content"].items()))
            limit, *_ = body["description"].partition(". ")
            parts.append(
                f"<h4>Body · {escape(media_type)}</h4>\n{_prose(limit)}\n"
                + self._members(self._resolved(content["schema"]))
            )
        answers = {
            status: self._resolved(answer) for status, answer in operation["responses"].items()
        }
        rows = "".join(
            self._answer(status, answer) for status, answer in answers.items() if status < "400"
        )
        parts.append(f'<div class="answers">{_table(rows)}</div>')
        if errors := [status for status in answers if status >= "400"]:
            parts.append(
                f'<p class="muted"><a href="#errors">Errors</a>: {", ".join(errors)}</p>\n'
            )
        return (
            f'<section class="operation" id="{escape(operation["operationId"])}">\n'
            f'<div class="about">\n{"".join(parts)}</div>\n'
            f'<div class="example"><div>\n{self._example(method, operation)}</div></div>\n'
            "</section>\n"
        )

    def errors(self) -> str:
        """The answers that are errors, once for all endpoints."""
        answers = self._document["components"]["responses"].values()
        examples = {
            str(example["status"]): (answer, example)
            for answer in answers
            for example in [answer["content"]["application/problem+json"]["example"]]
        }
        rows = "".join(self._answer(status, answer) for status, (answer, _) in examples.items())
        shown = json.dumps(examples["422"][1], indent=2, ensure_ascii=False)
        return (
            '<section class="operation" id="errors">\n<div class="about">\n<h2>Errors</h2>\n'
            f"{_prose(_ERRORS)}\n{_table(rows)}</div>\n"
            f'<div class="example"><div><p class="muted">422</p>\n{_code(shown)}</div></div>\n'
            "</section>"
        )

    def _example(self, method: str, operation: dict[str, Any]) -> str:
        languages: dict[str, list[str]] = {}
        for sample in operation["x-codeSamples"]:
            languages.setdefault(sample["lang"], []).append(sample["source"])
        tabs, panels = "", ""
        for language, sources in languages.items():
            label, is_first = _LABELS[language], language == "Shell"
            tabs += (
                f'<button type="button" role="tab" data-language="{label}" '
                f'aria-selected="{str(is_first).lower()}">{label}</button>'
            )
            panels += (
                f'<div role="tabpanel" aria-label="{label}" data-language="{label}"'
                f"{'' if is_first else ' hidden'}>\n{''.join(map(_code, sources))}</div>\n"
            )
        shown = (
            f'<div class="tabs" role="tablist" aria-label="Language" hidden>{tabs}</div>\n{panels}'
        )
        is_open_read = method == "get" and {} in operation["security"]
        if is_open_read and "text/event-stream" not in self._content_of(operation, "200"):
            *_, command = languages["Shell"]
            _, url, *_ = command.split("'")
            sent = escape(url.removeprefix(f"{BASE_URL}/"))
            shown += f'<div class="send" data-url="{sent}" hidden></div>\n'
        for status, answer in operation["responses"].items():
            for content in self._resolved(answer).get("content", {}).values():
                if status.startswith("2") and isinstance(content.get("example"), dict):
                    text = json.dumps(content["example"], indent=2, ensure_ascii=False)
                    shown += f'<div class="given"><h4>{status}</h4>\n{_code(text)}</div>\n'
        return shown

    def _content_of(self, operation: dict[str, Any], status: str) -> Any:
        return self._resolved(operation["responses"].get(status, {})).get("content", {})

    def _parameter(self, parameter: dict[str, Any]) -> str:
        where = "" if parameter["in"] == "query" else f"{parameter['in']}, "
        return _row(
            f"<code>{escape(parameter['name'])}</code>",
            f"{where}{self._type(parameter['schema'])}",
            _inline(parameter["description"]),
        )

    def _answer(self, status: str, answer: dict[str, Any]) -> str:
        kind = "no" if status >= "400" else "ok"
        contents = [
            f"<code>{escape(media_type)}</code> {self._type(content['schema'])}"
            for media_type, content in answer.get("content", {}).items()
        ]
        text = _inline(answer["description"])
        headers = []
        for name, header in answer.get("headers", {}).items():
            schema = self._resolved(header)["schema"]
            words = f": {self._type(schema)}" if "enum" in schema else ""
            headers.append(f"<code>{escape(name)}</code>{words}")
        if headers:
            text += f"<br>{', '.join(headers)}"
        return _row(f'<span class="status {kind}">{status}</span>', "<br>".join(contents), text)

    def schema(self, name: str, schema: dict[str, Any]) -> str:
        # A link to what is folded opens it, if what it leads to is within.
        return (
            f'<details class="schema"><summary>{escape(name)}</summary>\n'
            f'<div id="schema-{escape(name)}">{_prose(schema.get("description", ""))}\n'
            f"{self._members(schema)}</div></details>\n"
        )

    def _members(self, schema: dict[str, Any]) -> str:
        """A table of members; many that are optional are folded."""
        required = schema.get("required", [])
        rows: dict[bool, list[str]] = {True: [], False: []}
        for name, member in schema.get("properties", {}).items():
            kind = f"{self._type(member)}{', required' if name in required else ''}"
            row = _row(f"<code>{escape(name)}</code>", kind, _inline(_description(member)))
            rows[name in required].append(row)
        if not rows[True] or len(rows[False]) < MOST_OPTIONAL:
            return _table("".join(rows[True] + rows[False]))
        return (
            f"{_table(''.join(rows[True]))}<details><summary>{len(rows[False])} optional fields"
            f"</summary>{_table(''.join(rows[False]))}</details>\n"
        )

    def _type(self, schema: dict[str, Any]) -> str:
        """A schema in a few words."""
        if "$ref" in schema:
            name = escape(schema["$ref"].rpartition("/")[2])
            return f'<a href="#schema-{name}">{name}</a>'
        if "anyOf" in schema:
            return " or ".join(self._type(option) for option in schema["anyOf"])
        if "enum" in schema:
            return " | ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"])
        kind = escape(schema.get("type", "anything"))
        if kind == "array":
            most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
            return f"array of {self._type(schema['items'])}{most}"
        if "minimum" in schema and "maximum" in schema:
            kind += f" {schema['minimum']} … {schema['maximum']}"
        if "default" in schema:
            kind += f", else <code>{escape(json.dumps(schema['default']))}</code>"
        return kind


def _code(text: str) -> str:
    # A tab stop, so that long lines can be scrolled by keyboard.
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>\n'


def _description(schema: dict[str, Any]) -> str:
    options = [schema, *schema.get("anyOf", [])]
    return next((option["description"] for option in options if "description" in option), "")


def _row(name: str, kind: str, text: str) -> str:
    return (
        f'<tr><th scope="row">{name}</th><td><small>{kind}</small>{text and f" {text}"}</td></tr>\n'
    )


def _table(rows: str) -> str:
    return f'<div class="scroll"><table>\n{rows}</table></div>\n'


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _folded(text: str) -> str:
    """Prose, of which only the first paragraph is shown at once."""
    first, _, rest = text.partition("\n\n")
    more = f"<details><summary>More</summary>{_prose(rest)}</details>" if rest else ""
    return f"{_prose(first)}{more}"


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)
