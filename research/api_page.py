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

Every request, what it takes and what it answers, and below them the objects that both have.
[The API](api.md) tells how they are used; `/docs` of a running API has the same to try out.

`scripts/fix` makes this page of the OpenAPI document: change it in `producer/api/` and `client/starlight_vocabulary/`.
"""
PROBLEM: Final = "application/problem+json"
Document = Mapping[str, Any]


def build_document() -> dict[str, Any]:
    """Return the OpenAPI document, for which no server is asked."""
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
    told = parameter.get("description") or schema.get("description") or ""
    name = _mark(parameter["name"], parameter.get("required", False))
    return name, parameter["in"], _type(schema), _flow(told)


def _mark(name: str, required: bool) -> str:
    return f"`{name}`" if required else f"`{name}`, optional"


def _content(part: Document) -> str:
    return ", ".join(
        f"`{kind}`" + (f" {_type(content['schema'])}" if content.get("schema") else "")
        for kind, content in part.get("content", {}).items()
    )


def _answers(responses: Document) -> str:
    """Return what comes with each status; a problem is told once for all that come with one."""
    problems = [status for status, answer in responses.items() if PROBLEM in answer.get("content", {})]
    told = [f"{status} {_content(answer)}".rstrip() for status, answer in responses.items() if status not in problems]
    if problems:
        told.append(f"{', '.join(problems)} {_content(responses[problems[0]])}")
    return "; ".join(told)


def _objects(document: Document) -> Iterator[str]:
    for title, schema in document["components"]["schemas"].items():
        yield f"### {title}"
        if told := schema.get("description"):
            yield _flow(told)
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
    """Return what a value is, in a word or a few; an object of its own is a link."""
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
