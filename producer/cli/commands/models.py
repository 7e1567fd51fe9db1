"""`starlight model list`, `add`, `use` and `rollback`."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from producer.cli.errors import UsageError
from producer.cli.installation import Installation, open_installation
from producer.cli.output import JsonLinesOption
from producer.default_model import mark_default
from starlight_vocabulary.escaping import escape
from storage.blobs import Blobs
from storage.models import add_model, get_model_in_use, list_models, roll_back, use_model
from worker.v4.card import DEFAULT_MODEL, ModelCard, ModelError, read_card


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(name="model", help="List, add, use and roll back models.", no_args_is_help=True)
    group.command("list")(show_models)
    for command in (add, use, rollback):
        group.command()(command)
    app.add_typer(group)


def show_models(as_json: JsonLinesOption = False) -> None:
    """List the models that were added or used by workers, and which one is in use."""
    with open_installation() as current:
        used = get_model_in_use(current.engine)
        models = list_models(current.engine, current.settings.lease_s)
        if not (used and used.model_id):
            models = mark_default(models, read_card(current.settings.model_dir or DEFAULT_MODEL))
    if as_json:
        for model in models:
            print(json.dumps(dataclasses.asdict(model), default=lambda value: value.isoformat()))
        return
    print(f"{'MODEL':<28}  {'THRESHOLD':>9}  {'SHA256':<12}  {'WORKERS':>7}  {'FIRST SEEN':<16}  STATE")
    for model in models:
        state = ", ".join(word for word, holds in (("in use", model.in_use), ("added", model.added)) if holds)
        seen = f"{model.first_seen_at.astimezone():%Y-%m-%d %H:%M}"
        print(
            f"{escape(model.label):<28}  {model.threshold:>9.4f}  {model.sha256[:12]}  {model.workers:>7}  {seen}  "
            f"{state or 'seen'}"
        )


def add(
    folder: Annotated[Path, typer.Argument(help="A folder with card.json and the weights that it names.")],
) -> None:
    """Check and store a model, so that `use` can choose it; workers on all hosts load it from the blob store."""
    card = read_card(folder)
    # In a separate process, so that this one need not load torch, and a bad file cannot crash it.
    checked = subprocess.run(
        [sys.executable, "-m", "worker.check_model", str(folder.absolute())], stderr=subprocess.PIPE, text=True
    )
    if checked.returncode != 0:
        raise UsageError(checked.stderr.strip() or f"{folder}: the model crashed the process that checked it")
    with open_installation() as current:
        weights = (folder / card.weights).read_bytes()
        blobs = Blobs(current.settings.blobs())
        if blobs.put(weights) != card.sha256:
            raise ModelError(f"{folder / card.weights}: changed while it was read")
        _, is_new = add_model(current.engine, dataclasses.asdict(card))
        # Stored again: if the same bytes were also an image's blob, that may have been released and deleted meanwhile.
        blobs.put(weights)
        models = list_models(current.engine, current.settings.lease_s)
    namesakes = [each for each in models if each.added and each.label == card.label]
    which = f" --threshold {card.threshold:.4f}" if len(namesakes) > 1 else ""
    known = "added" if is_new else "was already added"
    print(f"{_name_model(card)} {known}; `starlight model use {card.label}{which}` chooses it")


def use(
    model: Annotated[str, typer.Argument(help="NAME-VERSION, NAME, a prefix of its SHA-256, or `shipped`.")],
    threshold: Annotated[
        float | None, typer.Option(help="The one with this threshold, if several have the name; see `model list`.")
    ] = None,
) -> None:
    """Choose the model for all workers; running workers change to it within seconds, between two chunks.

    If several added models match, the newest is used.
    """
    with open_installation() as current:
        chosen = use_model(current.engine, model, current.settings.submitter, threshold)
        _explain(current, chosen)


def rollback() -> None:
    """Choose the previous model for all workers again."""
    with open_installation() as current:
        chosen = roll_back(current.engine, current.settings.submitter)
        _explain(current, chosen)


def _explain(current: Installation, chosen: str) -> None:
    print(f"{chosen} is in use from now on")
    if current.settings.model_dir is not None:
        print("STARLIGHT_MODEL_DIR is set: workers with this setting use the model in that folder", file=sys.stderr)


def _name_model(card: ModelCard) -> str:
    return f"{card.label} (sha256 {card.sha256[:12]}…)"
