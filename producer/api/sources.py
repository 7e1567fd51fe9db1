"""Checking the sources in requests, which are listed in the background."""

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
PREFIXES_ONLY = "only prefixes of buckets can be compared with an earlier job"


def check_sources(service: Service, key: ApiKey, wanted: JobSources) -> None:
    """Raise a problem: 422 naming the first source that is not accepted, 404 or 409 for the job in `since`."""
    permitted = Permitted((), key.may_name)
    if not wanted.uris and not wanted.manifests:
        raise reject_field(FIELD, "`uris` or `manifests` is required")
    if wanted.column is not None and not wanted.manifests:
        raise reject_field(f"{FIELD}.column", "applies to manifests only: name one under `manifests`")
    for number, uri in enumerate(wanted.uris):
        _check_source(service, permitted, f"{FIELD}.uris.{number}", uri)
        if wanted.since is not None and not (is_in_bucket(uri) and is_prefix(uri)):
            raise reject_field(f"{FIELD}.since", PREFIXES_ONLY)
    for number, uri in enumerate(wanted.manifests):
        _check_source(service, permitted, field := f"{FIELD}.manifests.{number}", uri)
        if not is_in_bucket(uri) or is_prefix(uri):
            raise reject_field(field, f"a manifest {LISTED}, and not be a prefix")
        if wanted.since is not None:
            raise reject_field(f"{FIELD}.since", PREFIXES_ONLY)
    if any("\0" in pattern for pattern in [*wanted.include, *wanted.exclude]):
        raise reject_field(FIELD, "patterns must not contain NUL")
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
            raise reject_field(field, f"{LISTED}, or in the chain, bitcoin:…; others belong in `references`")
    except (SourceError, ChainError) as error:
        raise reject_field(field, str(error)) from error
