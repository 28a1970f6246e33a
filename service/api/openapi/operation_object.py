"""An operation in OpenAPI's words."""

from typing import Any

from service.api.openapi.headers import header
from service.api.openapi.operation import JSON, Answer, Operation
from service.api.openapi.problems import problem_name
from service.api.openapi.references import ref
from service.api.openapi.samples import samples


def _answer(answer: Answer) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        response["headers"] = {
            name: ref("headers", words)
            if isinstance(words, str)
            else header("What became of it.", {"type": "string", "enum": words})
            for name, words in answer.headers.items()
        }
    content: dict[str, Any] = {}
    for media_type, schema in answer.content.items():
        is_struct = isinstance(schema, type)
        content[media_type] = {"schema": ref("schemas", schema.__name__) if is_struct else schema}
    if content and answer.example is not None:
        next(iter(content.values()))["example"] = answer.example
    return response | ({"content": content} if content else {})


def operation_object(operation: Operation) -> dict[str, Any]:
    """OpenAPI's Operation Object."""
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "security": operation.security,
        "responses": {str(answer.status): _answer(answer) for answer in operation.answers}
        | {str(status): ref("responses", problem_name(status)) for status in operation.problems},
        "x-codeSamples": samples(operation),
    }
    if operation.parameters:
        described["parameters"] = [ref("parameters", name) for name in operation.parameters]
    if operation.body:
        described["requestBody"] = {
            "description": f"At most {operation.body_limit}. The `Content-Type` is not looked at.",
            "required": True,
            "content": {
                JSON: {
                    "schema": ref("schemas", operation.body.__name__),
                    "example": operation.example,
                }
            },
        }
    return described
