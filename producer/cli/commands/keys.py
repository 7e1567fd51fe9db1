"""`starlight keys`: creating, importing, listing and revoking API keys."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from producer.cli.installation import open_installation
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.words import Scope
from storage.keys import ApiKey, create_key, import_key, list_keys, revoke_key

DEFAULT = "submit,read"

keys = typer.Typer(help="Create, import, list and revoke API keys.", no_args_is_help=True)
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key; the submitter of its jobs.")]
ScopeOption = Annotated[list[str], typer.Option(help="Scopes: submit, read, admin; separated by commas, or repeated.")]
BucketOption = Annotated[
    list[str] | None,
    typer.Option(help="s3://BUCKET or s3://BUCKET/PREFIX (gs, az) that it may use; may be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(keys, name="keys")


@keys.command("create")
def create(
    name: KeyName,
    scope: ScopeOption = [DEFAULT],  # noqa: B006 - Typer copies it
    bucket: BucketOption = None,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    with open_installation() as current:
        key = create_key(current.engine, name, split_scopes(scope), bucket or (), done_by=current.settings.submitter)
    print(key)
    print("store it now: it cannot be shown again", file=sys.stderr)


@keys.command("import")
def import_existing(
    name: KeyName,
    scope: ScopeOption = [DEFAULT],  # noqa: B006 - Typer copies it
    bucket: BucketOption = None,
) -> None:
    """Import an existing key from standard input, so that its clients need not change."""
    with open_installation() as current:
        key = sys.stdin.readline().strip()
        import_key(current.engine, key, name, split_scopes(scope), bucket or (), done_by=current.settings.submitter)
    print(f"imported the key {escape(name)}")


@keys.command("list")
def show_keys() -> None:
    """List all keys by their prefixes."""
    with open_installation() as current:
        listed = list_keys(current.engine)
    print(f"{'PREFIX':<12}  {'SCOPES':<17}  {'CREATED':<16}  {'REVOKED':<16}  NAME, BUCKETS")
    for key in listed:
        created, revoked = (
            f"{at.astimezone():%Y-%m-%d %H:%M}" if at else "" for at in (key.created_at, key.revoked_at)
        )
        print(
            f"{key.prefix}  {','.join(key.scopes):<17}  {created:<16}  {revoked:<16}  "
            f"{escape(f'{key.name}, {describe_buckets(key)}')}"
        )


def split_scopes(scopes: Sequence[str]) -> list[str]:
    """Return the scopes of all options, each of which may have several, separated by commas."""
    return [each.strip() for option in scopes for each in option.split(",") if each.strip()]


def describe_buckets(key: ApiKey) -> str:
    """Return a text about the buckets that the key may use."""
    if key.buckets is None or key.allows(Scope.ADMIN):
        return "all buckets"
    return " ".join(map(str, key.buckets)) or "no bucket"


@keys.command("revoke")
def revoke(name: KeyName) -> None:
    """Revoke a key, from its next request on; its jobs are kept."""
    with open_installation() as current:
        revoke_key(current.engine, name, done_by=current.settings.submitter)
    print(f"revoked the key {escape(name)}")
