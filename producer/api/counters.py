"""Where the requests of keys are counted: in Redis, so that several APIs count together."""

from limits.storage import Storage, storage_from_string

from storage.redis_urls import read_sentinels


def open_counters(redis_url: str) -> Storage:
    """Return the counters at this URL; raises ConfigurationError where Sentinels are asked and none answers."""
    sentinels = read_sentinels(redis_url)
    # A replica is behind: it would let more pass. The library reads no escapes in passwords.
    options = {} if sentinels is None else {"use_replicas": False, **sentinels.login}
    counters = storage_from_string(redis_url, **options)
    assert isinstance(counters, Storage), "by its scheme it would be asynchronous"
    return counters
