"""Writes docs/api-reference.md from the OpenAPI document: `python -m research.api_page > docs/api-reference.md`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import create_engine

from producer.api.app import create_app
from producer.api.service import Service
from research.evaluation.markdown import make_table
from storage.blobs import Blobs
from storage.settings import Settings

HEAD: Final = """\
# Reference of the API

Every request with its parameters and responses, followed by the objects that they contain.
[The API](api.md) explains how to use them; `/docs` of a running API lets you try them out.

`scripts/fix` generates this page from the OpenAPI document: edit `producer/api/` and `client/starlight_vocabulary/`
instead.
"""
PROBLEM: Final = "application/problem+json"
Document = Mapping[str, Any]


def build_document() -> dict[str, Any]:
    """Return the OpenAPI document, without connecting to a server."""
    limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
    service = Service(create_engine("postgresql+psycopg://"), Blobs("memory:///"), Settings.model_construct(), limiter)
    return create_app(service).openapi()


def page(document: Document) -> str:
    """Return the whole page."""
    return "\n\n".join([HEAD.rstrip(), "## Requests", *_requests(document), "## Objects", *_objects(document)]) + "\n"


def _requests(document: Document) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"### `{method.upper()} {path}`"
            yield _flow(operation.get("description") or operation["summary"])
            if parameters := operation.get("parameters"):
                yield make_table(("parameter", "in", "type", ""), [_parameter(each) for each in parameters])
            if body := operation.get("requestBody"):
                yield f"Body: {_content(body)}."
            yield f"Answer: {_answers(operation['responses'])}."


def _parameter(parameter: Document) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    description = parameter.get("description") or schema.get("description") or ""
    name = _mark(parameter["name"], parameter.get("required", False))
    return name, parameter["in"], _type(schema), _flow(description)


def _mark(name: str, required: bool) -> str:
    return f"`{name}`" if required else f"`{name}`, optional"


def _content(part: Document) -> str:
    return ", ".join(
        f"`{kind}`" + (f" {_type(content['schema'])}" if content.get("schema") else "")
        for kind, content in part.get("content", {}).items()
    )


def _answers(responses: Document) -> str:
    """Return the content of each status; statuses that return a problem document are grouped."""
    problems = [status for status, answer in responses.items() if PROBLEM in answer.get("content", {})]
    answers = [
        f"{status} {_content(answer)}".rstrip() for status, answer in responses.items() if status not in problems
    ]
    if problems:
        answers.append(f"{', '.join(problems)} {_content(responses[problems[0]])}")
    return "; ".join(answers)


def _objects(document: Document) -> Iterator[str]:
    for title, schema in document["components"]["schemas"].items():
        yield f"### {title}"
        if description := schema.get("description"):
            yield _flow(description)
        if fields := schema.get("properties"):
            required = schema.get("required", [])
            yield make_table(
                ("field", "type", ""),
                [
                    (_mark(name, name in required), _type(of), _flow(of.get("description", "")))
                    for name, of in fields.items()
                ],
            )
        else:
            yield _type(schema)


def _type(schema: Document) -> str:
    """Return the type of a value in a few words; a named object becomes a link."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if several := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(_type(each) for each in several))
    if "const" in schema:
        return f"`{schema['const']}`"
    if choices := schema.get("enum"):
        return " or ".join(f"`{each}`" for each in choices)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


def _flow(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    print(page(build_document()), end="")
