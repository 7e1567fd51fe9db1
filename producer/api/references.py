"""Checking and expanding the references in requests."""

from collections.abc import Callable, Iterator, Sequence

from producer.api.permits import RETRY_LATER
from producer.api.problems import ProblemError, reject_field
from producer.chain.errors import NotOnChainError
from producer.chain.sources import is_chain_source
from producer.sources.errors import SourceAwayError, SourceError
from producer.sources.permitted import Permitted
from storage.buckets import Location, is_in_bucket, is_prefix
from storage.submission import ListedObject, Reference


def check_references(
    references: Iterator[str] | Sequence[str],
    permitted: Permitted,
    list_prefix: Callable[[Location], Iterator[ListedObject]],
    expand_chain: Callable[[str], Iterator[str]],
) -> Iterator[Reference]:
    """Yield the references as they are stored; raises a problem (422) that names the first invalid one.

    A prefix of a bucket, ending in a slash, is replaced by its objects, a chain source by its images. Raises a problem
    (503) if a source does not answer.
    """
    for number, reference in enumerate(references):
        field = f"references.{number}"
        try:
            if is_chain_source(reference):
                yield from expand_chain(reference)
            elif is_in_bucket(checked := permitted.check(reference)) and is_prefix(checked):
                yield from list_prefix(permitted.locate(checked))
            else:
                yield checked
        except SourceAwayError as error:
            raise ProblemError(503, f"{field}: {error}", headers=RETRY_LATER) from error
        except (SourceError, NotOnChainError) as error:
            raise reject_field(field, str(error)) from error
