"""Jobs whose sources are listed: submitting them, running turns of their listing, and seeing how far it is."""

from typing import Any

from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from producer.listing_jobs import Lister
from storage.listings import claim_listing
from storage.settings import Settings
from tests.kit.pictures import encode_pattern

PICTURE = encode_pattern()
# Lets the lease of a running listing end, and a waiting one be claimed at once.
EXPIRE = "UPDATE listings SET lease_until = now() - interval '1 s', next_at = now()"
SMALL = {"chunk_size": 1}


def submit_sources(client: TestClient, **sources: Any) -> dict[str, Any]:
    """Submit a job with these sources; return the answer."""
    answer = client.post("/v1/jobs", json={"sources": sources, "name": "june"})
    assert answer.status_code == 202, answer.text
    report: dict[str, Any] = answer.json()
    assert (report["listing"], report["total"], report["finished"]) == ("waiting", 1, 0)
    return report


def list_here(engine: Engine, settings: Settings, *, turn_s: float = 60.0, **changed: Any) -> None:
    """Run a turn of the listing in this process."""
    listing = claim_listing(engine)
    assert listing is not None
    Lister(engine, settings.model_copy(update=changed), listing, turn_s=turn_s).run()


def show_listing(client: TestClient, report: dict[str, Any]) -> tuple[str, str | None, str, int]:
    """Return the state and the error of the listing, and the state and the number of images of the job."""
    job = client.get(report["links"]["job"]).json()
    return job["listing"], job["listing_error"], job["state"], job["total"]


def list_image_names(engine: Engine) -> list[str]:
    """Return the last parts of the names of all references, in order."""
    query = text("SELECT unnest(refs) FROM chunks ORDER BY job_id, first_ordinal")
    with engine.connect() as connection:
        return [uri.rpartition("/")[2].rpartition("=")[2] for uri in connection.execute(query).scalars()]
