"""Jobs that filters name."""

import uuid

from producer.api.access import require_visible_job
from producer.api.problems import ProblemError, reject_field
from producer.api.service import Service
from storage.keys import ApiKey


def require_named_job(service: Service, key: ApiKey, field: str, wanted: uuid.UUID | None) -> None:
    """Raise a problem (422) if a filter names a job and there is none with this id that the key may see."""
    try:
        if wanted is not None:
            require_visible_job(service, key, wanted)
    except ProblemError as error:
        raise reject_field(field, f"there is no job {wanted}") from error
