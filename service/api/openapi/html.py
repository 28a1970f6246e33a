"""The OpenAPI document as a page to read: plain HTML, no script, everything escaped."""

import json
import re
from html import escape
from typing import Any

METHODS = ("get", "post", "delete")


def render(document: dict[str, Any], style: str) -> str:
    """The page. `style` is trusted CSS."""
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
        f'<h2 id="schemas">Schemas</h2>\n{schemas}\n</main>\n</div>\n</body>\n</html>\n'
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
            f'<nav class="sidebar" aria-label="Endpoints">\n{contents}</nav>\n'
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
            '<h4>More</h4>\n<ul><li><a href="#schemas">Schemas</a></li></ul>\n'
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
            f'<section class="operation" id="{escape(operation["operationId"])}">\n'
            f'<div class="line"><span class="method {method}">{method.upper()}</span> '
            f"<code>{escape(path)}</code>{lock}</div>\n"
            f"<h3>{escape(operation['summary'])}</h3>\n{_prose(operation['description'])}\n"
        ]
        if parameters := operation.get("parameters"):
            rows = "".join(self._parameter(self._resolved(row)) for row in parameters)
            parts.append(f"<h4>Parameters</h4>\n{_table(rows)}")
        if body := operation.get("requestBody"):
            media_type, content = next(iter(body["content"].items()))
            parts.append(
                f"<h4>Body · {escape(media_type)}</h4>\n{_prose(body['description'])}\n"
                + self._members(self._resolved(content["schema"]))
            )
        answers = "".join(
            self._answer(status, self._resolved(answer))
            for status, answer in operation["responses"].items()
        )
        parts.append(f"<h4>Responses</h4>\n{_table(answers)}")
        parts.append(self._example(operation))
        parts.append("</section>\n")
        return "".join(parts)

    def _example(self, operation: dict[str, Any]) -> str:
        shown = "".join(
            f"<h4>{escape(sample['label'])}</h4>\n{_code(sample['source'])}"
            for sample in operation["x-codeSamples"]
        )
        for status, answer in operation["responses"].items():
            for content in self._resolved(answer).get("content", {}).values():
                if status.startswith("2") and isinstance(content.get("example"), dict):
                    text = json.dumps(content["example"], indent=2, ensure_ascii=False)
                    shown += f"<h4>{status}</h4>\n{_code(text)}"
        return shown

    def _parameter(self, parameter: dict[str, Any]) -> str:
        needed = "required" if parameter.get("required") else "optional"
        return _row(
            f"<code>{escape(parameter['name'])}</code><small>{parameter['in']}, {needed}</small>",
            self._type(parameter["schema"]),
            _inline(parameter["description"]),
        )

    def _answer(self, status: str, answer: dict[str, Any]) -> str:
        kind = "no" if status >= "400" else "ok"
        contents = [
            f"<code>{escape(media_type)}</code> {self._type(content['schema'])}"
            for media_type, content in answer.get("content", {}).items()
        ]
        text = _inline(answer["description"])
        for name, header in answer.get("headers", {}).items():
            described = self._resolved(header)
            text += f"<br><code>{escape(name)}</code>: {self._type(described['schema'])}"
        return _row(
            f'<span class="status {kind}">{status}</span>', "<br>".join(contents) or "—", text
        )

    def schema(self, name: str, schema: dict[str, Any]) -> str:
        return (
            f'<section class="schema" id="schema-{escape(name)}">\n<h3>{escape(name)}</h3>\n'
            f"{_prose(schema.get('description', ''))}\n{self._members(schema)}</section>\n"
        )

    def _members(self, schema: dict[str, Any]) -> str:
        required = schema.get("required", [])
        return _table(
            "".join(
                _row(
                    f"<code>{escape(name)}</code>"
                    f"<small>{'required' if name in required else 'optional'}</small>",
                    self._type(member),
                    _inline(_description(member)),
                )
                for name, member in schema.get("properties", {}).items()
            )
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
        if "pattern" in schema and "format" not in schema:
            kind += f" <code>{escape(schema['pattern'])}</code>"
        return kind


def _code(text: str) -> str:
    # With a place among the tab stops, so that long lines can be scrolled by keyboard.
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>\n'


def _description(schema: dict[str, Any]) -> str:
    options = [schema, *schema.get("anyOf", [])]
    return next((option["description"] for option in options if "description" in option), "")


def _row(name: str, kind: str, text: str) -> str:
    return f'<tr><th scope="row">{name}</th><td class="type">{kind}</td><td>{text}</td></tr>\n'


def _table(rows: str) -> str:
    return f'<div class="scroll"><table>\n{rows}</table></div>\n'


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)
