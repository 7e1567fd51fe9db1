"""Queries of the page's forms, in which fields without a value are sent empty."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter

from producer.api.bodies import validate

Value = TypeVar("Value")
Search = TypeVar("Search", bound=BaseModel)


def drop_empty(fields: Mapping[str, Value | None]) -> dict[str, Value]:
    """Return the fields that are not empty."""
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def read_query(model: type[Search]) -> Callable[[Request], Search]:
    """Return the dependency that reads this model from a query; empty fields count as missing."""
    adapter = TypeAdapter(model)

    def read(request: Request) -> Search:
        return validate(adapter, drop_empty(request.query_params), "query")

    return read
