"""Submitters that requests of admins name."""

from sqlalchemy import Engine

from producer.api.access import visible_submitter
from producer.api.problems import reject_field
from storage.keys import ApiKey
from storage.submitters import UnknownSubmitterError, check_submitter


def choose_submitter(engine: Engine, key: ApiKey, field: str, wanted: str | None) -> str | None:
    """Return the submitter whose jobs a request is about: the key's own, or for an admin the wanted one, None for all.

    Raises a problem (422) if an admin names a submitter and there is none of this name.
    """
    own = visible_submitter(key)
    if own is not None or wanted is None:
        return own
    try:
        check_submitter(engine, wanted)
    except UnknownSubmitterError as error:
        raise reject_field(field, str(error)) from error
    return wanted
