"""Sources in requests: which of them the API takes, to be listed in the background."""

from producer.api.access import require_visible_job
from producer.api.chain import require_node
from producer.api.problems import ProblemError, reject_field
from producer.api.service import Service
from producer.chain.errors import ChainError
from producer.chain.sources import is_chain_source, read_chain_source
from producer.sources.errors import SourceError
from producer.sources.permitted import Permitted
from starlight_vocabulary.job import JobSources
from starlight_vocabulary.words import ListingState
from storage.buckets import is_in_bucket, is_prefix
from storage.keys import ApiKey

FIELD = "sources"
LISTED = "must be in a bucket, s3://…, gs://… or az://…"


def check_sources(service: Service, key: ApiKey, wanted: JobSources) -> None:
    """Raise a problem (422) that names the first source that is not taken; 404 and 409 for what it is compared with."""
    permitted = Permitted((), key.may_name)
    if not wanted.uris and not wanted.manifests:
        raise reject_field(FIELD, "name what is to be listed: `uris`, or `manifests`")
    if wanted.column is not None and not wanted.manifests:
        raise reject_field(f"{FIELD}.column", "is of a manifest: name it under `manifests`")
    for number, uri in enumerate(wanted.uris):
        _check_source(service, permitted, f"{FIELD}.uris.{number}", uri)
        if wanted.since is not None and not (is_in_bucket(uri) and is_prefix(uri)):
            raise reject_field(f"{FIELD}.since", "what changed since a job is known of prefixes alone")
    for number, uri in enumerate(wanted.manifests):
        _check_source(service, permitted, field := f"{FIELD}.manifests.{number}", uri)
        if not is_in_bucket(uri) or is_prefix(uri):
            raise reject_field(field, f"a manifest {LISTED}, and no prefix")
        if wanted.since is not None:
            raise reject_field(f"{FIELD}.since", "what changed since a job is known of prefixes alone")
    if any("\0" in pattern for pattern in [*wanted.include, *wanted.exclude]):
        raise reject_field(FIELD, "no name has a NUL, which stands in a pattern")
    if wanted.since is not None:
        earlier = require_visible_job(service, key, wanted.since)
        if earlier.listing in (ListingState.WAITING, ListingState.RUNNING):
            raise ProblemError(409, f"{FIELD}.since: the sources of the job {earlier.id} are still being listed")


def _check_source(service: Service, permitted: Permitted, field: str, uri: str) -> None:
    try:
        if is_chain_source(uri):
            read_chain_source(uri)
            require_node(service)
        elif is_in_bucket(uri):
            permitted.check(uri)
        else:
            raise reject_field(field, f"{LISTED}, or of the chain, bitcoin:…; other references are `references`")
    except (SourceError, ChainError) as error:
        raise reject_field(field, str(error)) from error
