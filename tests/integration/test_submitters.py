"""Names of submitters: those of jobs and of API keys are known, and a message names some of them."""

import pytest
from sqlalchemy import Engine

from starlight_vocabulary.words import Scope
from storage.keys import create_key, revoke_key
from storage.settings import CANARY_SUBMITTER
from storage.submission import submit_job
from storage.submitters import NAMED, UnknownSubmitterError, check_submitter, is_known_submitter
from tests.kit.rows import submit_job_of


def test_submitters_are_known_by_a_job_or_a_key(engine: Engine) -> None:
    with pytest.raises(UnknownSubmitterError, match="there is no submitter 'ann': nobody has submitted a job yet"):
        check_submitter(engine, "ann")

    submit_job_of(engine, 1, submitter="ann")
    create_key(engine, "bob", [Scope.READ])
    revoke_key(engine, "bob")

    assert is_known_submitter(engine, "ann")
    assert is_known_submitter(engine, "bob")
    assert not is_known_submitter(engine, "Ann")
    check_submitter(engine, "ann")


def test_the_message_names_some_submitters_but_no_canaries(engine: Engine) -> None:
    submit_job(engine, ["file:///canary"], submitter=CANARY_SUBMITTER, canary=True)
    for number in reversed(range(NAMED)):
        submit_job_of(engine, 1, submitter=f"name {number:02}")
        submit_job_of(engine, 1, submitter=f"name {number:02}")

    names = ", ".join(f"name {number:02}" for number in range(NAMED))
    with pytest.raises(UnknownSubmitterError) as refused:
        check_submitter(engine, "nobody")
    assert str(refused.value) == f"there is no submitter 'nobody': use one of {names}"

    submit_job_of(engine, 1, submitter="zoe")
    with pytest.raises(UnknownSubmitterError) as refused:
        check_submitter(engine, "nobody")
    assert str(refused.value) == f"there is no submitter 'nobody': use one of {names}, …"
