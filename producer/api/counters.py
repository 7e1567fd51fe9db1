"""Storage of the rate limits of keys, in Redis, so that several API processes count together."""

from limits.storage import Storage, storage_from_string

from storage.redis_urls import read_sentinels


def open_counters(redis_url: str) -> Storage:
    """Return the storage at this URL; raises ConfigurationError if it names Sentinels and none answers."""
    sentinels = read_sentinels(redis_url)
    # Replicas lag behind and would let too many requests pass. The login is given separately, since the library does
    # not decode percent-encoded passwords.
    options = {} if sentinels is None else {"use_replicas": False, **sentinels.login}
    counters = storage_from_string(redis_url, **options)
    assert isinstance(counters, Storage), "only schemes with async+ give another type"
    return counters
