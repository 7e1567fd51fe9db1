"""Converts records, which are frozen dataclasses, to the types of JSON and back."""

import types
import typing
import uuid
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from starlight_vocabulary.words import Word

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


def to_json(record: "DataclassInstance") -> dict[str, Any]:
    """Return the record's fields, with ids as text, times in ISO 8601, and nested records and lists converted too."""
    return {field.name: _to_json(getattr(record, field.name)) for field in fields(record)}


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list):
        return [_to_json(each) for each in value]
    return to_json(value) if is_dataclass(value) and not isinstance(value, type) else value


def from_json(record: type[Record], values: Mapping[str, Any]) -> Record:
    """Return the record with these values, also if they come from another release of the server.

    Unknown keys are dropped, and unknown words stay text. Missing fields get their default. Raises KeyError if a field
    without a default is missing, and ValueError or TypeError if a value has the wrong type.
    """
    readers = _readers(record)
    optional = _list_optional(record)
    return record(
        **{name: read(values[name]) for name, read in readers.items() if name in values or name not in optional}
    )


@cache
def _list_optional(record: type[Any]) -> frozenset[str]:
    return frozenset(
        field.name for field in fields(record) if field.default is not MISSING or field.default_factory is not MISSING
    )


@cache
def _readers(record: type[Any]) -> dict[str, Callable[[Any], Any]]:
    kinds = typing.get_type_hints(record)
    return {field.name: _reader(kinds[field.name]) for field in fields(record)}


def _reader(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - any annotation
    if isinstance(kind, types.UnionType):
        (inner,) = (_reader(each) for each in typing.get_args(kind) if each is not types.NoneType)
        return lambda value: None if value is None else inner(value)
    if typing.get_origin(kind) is list:
        (each,) = map(_reader, typing.get_args(kind))
        return lambda values: [each(value) for value in values]
    if kind is datetime:
        return datetime.fromisoformat
    if kind is uuid.UUID:
        return lambda text: uuid.UUID(str(text))
    if isinstance(kind, type) and issubclass(kind, Word):
        return kind.read
    if isinstance(kind, type) and is_dataclass(kind):
        return lambda values: from_json(kind, values)
    return lambda value: value
