"""Models that requests name."""

from sqlalchemy import Engine

from producer.api.problems import reject_field
from storage.models import ModelChoiceError, check_model, find_models


def require_models(engine: Engine, field: str, wanted: str) -> list[int]:
    """Return the ids of the named model; raises a problem (422) if there is none, or more than one."""
    try:
        return find_models(engine, wanted)
    except ModelChoiceError as error:
        raise reject_field(field, str(error)) from error


def require_known(engine: Engine, field: str, wanted: str | None) -> None:
    """Raise a problem (422) if a filter names a model and there is none of this name."""
    try:
        if wanted is not None:
            check_model(engine, wanted)
    except ModelChoiceError as error:
        raise reject_field(field, str(error)) from error
