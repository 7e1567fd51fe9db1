"""Request bodies that routes validate themselves, outside the event loop, and describe in the OpenAPI document."""

from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

Value = TypeVar("Value")


def validate(adapter: TypeAdapter[Value], value: bytes | dict[str, str], where: str) -> Value:
    """Return JSON or form fields validated by the adapter; raises RequestValidationError."""
    try:
        return adapter.validate_json(value) if isinstance(value, bytes) else adapter.validate_python(value)
    except ValidationError as error:
        wrong = [
            {**each, "loc": (where, *each["loc"])} for each in error.errors(include_url=False, include_input=False)
        ]
        raise RequestValidationError(wrong) from error


def describe_body(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """Return the JSON schema with all definitions inlined, since it is embedded in the OpenAPI document."""
    schema = adapter.json_schema()
    return dict(_inline(schema, schema.pop("$defs", {})))


def _inline(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(node, list):
        return [_inline(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _inline(value, definitions) for name, value in node.items() if name != "$ref"}
    if "$ref" in node:
        found = {**_inline(definitions[node["$ref"].rpartition("/")[2]], definitions), **found}
    return found
