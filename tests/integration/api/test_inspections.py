"""`GET /v1/images/{sha256}/inspection`: for which keys, of which images, and within which limits."""

import hashlib

import httpx
import pytest
from sqlalchemy import Engine

from starlight_client import Starlight
from starlight_vocabulary.inspection import ImageInspection
from starlight_vocabulary.records import from_json
from starlight_vocabulary.words import Method, Outcome
from storage.blobs import Blobs
from storage.chunks import finish_chunk
from storage.keys import create_key
from storage.new_verdict import NewVerdict
from tests.kit.api import Api, read_problem
from tests.kit.hiding import TEXTS, make_full_png
from tests.kit.payloads import make_payload
from tests.kit.pictures import encode_blank_png
from tests.kit.rows import claim_waiting_chunks, execute, register_v4, submit_job_of

IMAGE = make_full_png()


def judge(engine: Engine, data: bytes, submitter: str = "ann", *, blobs: Blobs | None = None) -> str:
    """Store a verdict on these bytes, and with `blobs` the bytes, for a job of this submitter; return their SHA-256."""
    digest = hashlib.sha256(data)
    job_id = submit_job_of(engine, 1, submitter=submitter)
    if blobs is not None:
        blobs.put(data)
        sha256 = f"decode('{digest.hexdigest()}', 'hex')"
        execute(engine, f"INSERT INTO blobs (sha256, size_bytes) VALUES ({sha256}, {len(data)})")
        execute(engine, f"INSERT INTO job_blobs (job_id, sha256) VALUES ('{job_id}', {sha256})")
    (claim,) = claim_waiting_chunks(engine)
    verdict = NewVerdict(
        0, claim.refs[0], Outcome.STEGO, digest.digest(), 0.99, Method.RAW, model_id=register_v4(engine),
        extracted_message="hello", payload=make_payload(),
    )  # fmt: skip
    assert finish_chunk(engine, claim, [verdict])
    return digest.hexdigest()


def ask(address: str, engine: Engine, digest: str, name: str = "ann", *scopes: str) -> httpx.Response:
    key = create_key(engine, name, scopes or ("read",), ())
    return httpx.get(
        f"{address}/v1/images/{digest}/inspection", headers={"Authorization": f"Bearer {key}"}, timeout=120
    )


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_an_image_that_is_kept_is_looked_into_beside_its_verdict(
    api: Api, address: str, engine: Engine, spelled: "type[str]"
) -> None:
    digest = judge(engine, IMAGE, blobs=api.service.blobs)

    answer = ask(address, engine, spelled(digest))

    assert answer.status_code == 200, answer.text
    found = from_json(ImageInspection, answer.json())
    assert (found.verdict.sha256, found.verdict.payload) == (digest, make_payload())
    texts = {finding.name: finding.payload.text for finding in found.inspection.findings}
    assert texts["tEXt 'Author'"] == TEXTS["tEXt 'Author'"]
    assert texts["B,G,R, 2 bits, msb-first, columns"] == TEXTS["B,G,R, 2 bits, msb-first, columns"]


def test_the_client_asks_for_it(api: Api, address: str, engine: Engine) -> None:
    digest = judge(engine, IMAGE, blobs=api.service.blobs)

    with Starlight(address, create_key(engine, "ann", ("read",), ())) as starlight:
        found = starlight.inspect(digest)

    assert (found.verdict.sha256, found.inspection.format) == (digest, "PNG")


def test_who_may_see_no_verdict_on_it_learns_nothing_of_an_image(api: Api, address: str, engine: Engine) -> None:
    digest = judge(engine, IMAGE, blobs=api.service.blobs)

    unknown = "0" * 64
    answers = {digest: ask(address, engine, digest, "bob"), unknown: ask(address, engine, unknown, "eve")}

    details = {str(read_problem(answer, 404)["detail"]).replace(asked, "…") for asked, answer in answers.items()}
    assert details == {"there is no verdict on an image with the SHA-256 …"}
    assert ask(address, engine, digest, "root", "admin").status_code == 200
    read_problem(ask(address, engine, digest, "writer", "submit"), 403)


def test_what_is_stored_for_others_alone_is_not_kept(api: Api, address: str, engine: Engine) -> None:
    digest = judge(engine, IMAGE, "bob", blobs=api.service.blobs)
    judge(engine, IMAGE, "ann")

    assert "is not stored here" in str(read_problem(ask(address, engine, digest), 404)["detail"])


def test_an_image_that_is_not_kept_is_a_problem_that_says_so(address: str, engine: Engine) -> None:
    problem = read_problem(ask(address, engine, judge(engine, b"elsewhere")), 404)

    assert "is not stored here" in str(problem["detail"])


@pytest.mark.parametrize(
    ("data", "code"), [(b"no image", "unknown_format"), (encode_blank_png(9000, 9000), "too_many_pixels")]
)
def test_what_cannot_be_seen_is_a_problem_that_says_why(
    api: Api, address: str, engine: Engine, data: bytes, code: str
) -> None:
    problem = read_problem(ask(address, engine, judge(engine, data, blobs=api.service.blobs)), 422)

    assert code in str(problem["detail"])
