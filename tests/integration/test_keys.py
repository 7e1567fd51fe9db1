"""Keys of the API in the database."""

import pytest
from sqlalchemy import Engine, text

from producer.cli.commands.keys import split_scopes
from starlight_vocabulary.words import Scope
from storage.keys import KeyNameError, create_key, find_key, import_key, list_keys, revoke_key


def test_a_key_is_found_by_itself_alone_and_stored_as_a_hash(engine: Engine) -> None:
    key = create_key(engine, "ann", ["submit", "read"])
    other = create_key(engine, "bob", ["admin"])

    found = find_key(engine, key)

    assert found is not None
    assert (found.name, found.scopes) == ("ann", ("read", "submit"))
    assert found.allows(Scope.SUBMIT)
    assert not found.allows(Scope.ADMIN)
    with engine.connect() as connection:
        stored = str(connection.execute(text("SELECT api_keys::text FROM api_keys")).scalars().all())
    assert key.split("_")[2] not in stored
    assert other.split("_")[2] not in stored


@pytest.mark.parametrize("change", [lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"), lambda key: key + "0",
                                    lambda key: key[:-1], str.upper, lambda _: "", lambda _: "starlight__",
                                    lambda _: "a\0_b_c", lambda _: "\udcff_é_c"])  # fmt: skip
def test_no_other_text_passes_for_a_key(engine: Engine, change) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    assert find_key(engine, change(create_key(engine, "ann", ["read"]))) is None


def test_a_revoked_key_is_refused_and_its_name_is_free_again(engine: Engine) -> None:
    key = create_key(engine, "ann", ["read"])
    with pytest.raises(KeyNameError, match="a key 'ann' exists"):
        create_key(engine, "ann", ["read"])

    revoke_key(engine, "ann")

    assert find_key(engine, key) is None
    with pytest.raises(KeyNameError, match="no key 'ann' is in use"):
        revoke_key(engine, "ann")
    assert find_key(engine, create_key(engine, "ann", ["read"])) is not None
    assert [listed.revoked_at is None for listed in list_keys(engine)] == [False, True]


@pytest.mark.parametrize(("name", "scopes"), [("", ["read"]), ("ann", []), ("ann", ["write"])])
def test_keys_without_name_or_with_unknown_scopes_are_refused(engine: Engine, name: str, scopes: list[str]) -> None:
    with pytest.raises(KeyNameError):
        create_key(engine, name, scopes)


IMPORTED = "7f1c0d9e5b3a4c68917e2f4d6a8b0c1d3e5f7a9b"


def test_a_key_that_was_made_elsewhere_works_as_it_is(engine: Engine) -> None:
    import_key(engine, IMPORTED, "stargate", ["submit"], done_by="ann")

    found = find_key(engine, IMPORTED)

    assert found is not None
    assert (found.name, found.scopes) == ("stargate", ("submit",))
    assert found.prefix not in IMPORTED
    assert find_key(engine, IMPORTED[:-1] + "0") is None
    with pytest.raises(KeyNameError, match="was stored before"):
        import_key(engine, IMPORTED, "other", ["submit"], done_by="ann")
    with engine.connect() as connection:
        action, subject = connection.execute(text("SELECT action, subject FROM operations")).one()
    assert (action, subject) == ("import_key", f"key stargate ({found.prefix})")
    revoke_key(engine, "stargate")
    assert find_key(engine, IMPORTED) is None


@pytest.mark.parametrize("key", ["", "demo-api-key", "a" * 64, f"{IMPORTED} {IMPORTED}", IMPORTED + "é", "ab" * 300])
def test_a_key_that_may_be_guessed_or_not_sent_is_not_imported(engine: Engine, key: str) -> None:
    with pytest.raises(KeyNameError, match="openssl rand"):
        import_key(engine, key, "stargate", ["submit"], done_by="ann")


def test_scopes_are_given_in_one_option_or_in_several() -> None:
    assert split_scopes(["submit,read"]) == split_scopes(["submit", " read "]) == ["submit", "read"]
