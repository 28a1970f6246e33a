"""Shell commands that show how an endpoint is called."""

import json

from service.api.openapi.operation import SESSION, USER, Operation

BASE_URL = "http://localhost:8080"  # in examples; pages put their own address in its place


def samples(operation: Operation) -> dict[str, str]:
    """The queries of the examples, by label."""
    others = {
        f"curl, answered {answer.status}": answer.query
        for answer in operation.answers
        if answer.query
    }
    return {"curl": operation.query} | others


def curl(operation: Operation, query: str) -> str:
    """A shell command that performs the operation."""
    path = operation.path.replace("{site}", "blog").replace("{session_id}", SESSION)
    path = path.replace("{user_id}", USER)
    method = "" if operation.method in ("GET", "POST") else f" -X {operation.method}"
    words = [f"curl -i{method} '{BASE_URL}{path}{query}'"]
    if {} not in operation.security:
        words.append('-H "Authorization: Bearer $PRESENCE_ADMIN_TOKEN"')
    if operation.body:
        words.append(f"-d '{json.dumps(operation.example, ensure_ascii=False)}'")
    return " \\\n  ".join(words)
