"""Models: those that workers scored with, those that were added, and the one in use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from storage.database import connect_to_read
from storage.workers import SILENT_LEASES

SHIPPED = "shipped"
"""The name for `use_model` of the model that ships with the code."""
SHIPPED_MODEL = "the model that ships with the code"


class ModelChoiceError(ValueError):
    """A model cannot be added or used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A known model; `added` if it can be used, `workers` is the number of live workers that score with it."""

    id: int
    name: str
    version: str
    sha256: str
    threshold: float
    added: bool
    in_use: bool
    workers: int
    first_seen_at: datetime
    figures: dict[str, Any]

    @property
    def label(self) -> str:
        """Name and version in the usual form."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class ModelUse:
    """The latest choice: `use_id` grows with every change; without `model_id` and `card` it is the shipped model."""

    use_id: int
    model_id: int | None
    card: dict[str, Any] | None


# Inserts a model; a known one keeps its id.
REGISTER_MODEL = text("""
    INSERT INTO models (name, version, sha256, threshold)
    VALUES (:name, :version, :sha256, :threshold)
    ON CONFLICT (sha256, name, version, threshold) DO UPDATE SET name = excluded.name RETURNING id
""")


def register_model(engine: Engine, *, name: str, version: str, sha256: str, threshold: float) -> int:
    """Return the id of this model; stores the model if it is new."""
    with engine.begin() as connection:
        return int(
            connection.execute(
                REGISTER_MODEL,
                {"name": name, "version": version, "sha256": sha256, "threshold": threshold},
            ).scalar_one()
        )


# Another model with the same name and version.
FIND_NAMESAKE = text("""
    SELECT sha256 FROM models
    WHERE name = :name AND version = :version AND sha256 <> :sha256 AND card IS NOT NULL LIMIT 1
""")
# People type names and versions in commands.
SIMPLE = re.compile(r"[A-Za-z0-9._+-]+")


# The same model, if it was added before.
FIND_ADDED_MODEL = text("""
    SELECT id FROM models WHERE card IS NOT NULL AND sha256 = :sha256 AND name = :name
        AND version = :version AND threshold = CAST(:threshold AS real)
""")


# Stores the card of a model that workers may have scored with already.
ADD_MODEL = text("""
    INSERT INTO models (name, version, sha256, threshold, card)
    VALUES (:name, :version, :sha256, :threshold, :card)
    ON CONFLICT (sha256, name, version, threshold) DO UPDATE SET card = excluded.card RETURNING id
""").bindparams(bindparam("card", type_=JSONB))


# Marks the weights as kept, if the same bytes were also submitted as an image; waits while these are being deleted.
KEEP_WEIGHTS = text("UPDATE blobs SET released_at = NULL WHERE sha256 = decode(:sha256, 'hex')")


def add_model(engine: Engine, card: dict[str, Any]) -> tuple[int, bool]:
    """Store the card of a model; return its id and whether it was new. From then on its weights, a blob, are kept.

    Raises ModelChoiceError if another model has this name and version, or if these have unusual characters.
    """
    for word in ("name", "version"):
        if not SIMPLE.fullmatch(card[word]):
            raise ModelChoiceError(
                f"the {word} {card[word]!r} may have only letters, digits and . _ + -: change card.json"
            )
    identity = {key: card[key] for key in ("name", "version", "sha256", "threshold")}
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE"))
        other = connection.execute(
            FIND_NAMESAKE,
            identity,
        ).scalar()
        if other is not None:
            raise ModelChoiceError(
                f"another model is called {card['name']}-{card['version']} (sha256 {other[:12]}…): "
                "change the version in card.json"
            )
        known = connection.execute(
            FIND_ADDED_MODEL,
            identity,
        ).scalar()
        if known is not None:
            return int(known), False
        added = int(connection.execute(ADD_MODEL, {**identity, "card": card}).scalar_one())
        connection.execute(KEEP_WEIGHTS, {"sha256": card["sha256"]})
        return added, True


# All models, with the number of live workers.
LIST_MODELS = text("""
    SELECT models.id, name, version, sha256, threshold, card IS NOT NULL AS added, first_seen_at,
        coalesce(card -> 'figures', '{}') AS figures,
        (SELECT count(*) FROM workers WHERE workers.model_id = models.id
            AND seen_at > now() - make_interval(secs => :age)) AS workers
    FROM models ORDER BY first_seen_at DESC, models.id DESC
""")


def list_models(engine: Engine, lease_s: float) -> list[ListedModel]:
    """Return all models, newest first."""
    with connect_to_read(engine) as connection:
        used = _read_newest_use(connection)
        rows = connection.execute(
            LIST_MODELS,
            {"age": SILENT_LEASES * lease_s},
        ).mappings()
        in_use = used.model_id if used else None
        return [
            ListedModel(**{str(key): value for key, value in row.items()}, in_use=row["id"] == in_use) for row in rows
        ]


# The name and version of every model.
LIST_LABELS = text("SELECT DISTINCT name || '-' || version AS label FROM models ORDER BY label")


def list_labels(engine: Engine) -> list[str]:
    """Return names and versions of all models."""
    with connect_to_read(engine) as connection:
        return _read_labels(connection)


def _read_labels(connection: Connection) -> list[str]:
    return list(connection.execute(LIST_LABELS).scalars())


# Added models that match a name, a version or the start of a digest, newest first.
FIND_ADDED = text("""
    SELECT id, name || '-' || version AS label, threshold FROM models
    WHERE card IS NOT NULL AND (name || '-' || version = :wanted OR name = :wanted
        OR (length(:wanted) >= 6 AND starts_with(sha256, lower(:wanted))))
    ORDER BY id DESC
""")
# The decimals with which people read and write thresholds.
DECIMALS = 4


def use_model(engine: Engine, wanted: str, used_by: str, threshold: float | None = None) -> str:
    """Make workers use the added model `wanted`: NAME-VERSION, NAME, the start of a digest, or `SHIPPED`.

    Returns its name, version and threshold. If several match, the newest is used, or the one with `threshold`, which is
    compared with four decimals. Raises ModelChoiceError if none does.
    """
    with engine.begin() as connection:
        if wanted == SHIPPED:
            if threshold is not None:
                raise ModelChoiceError(f"{SHIPPED_MODEL} has one threshold only: name none")
            _record_use(connection, None, used_by)
            return SHIPPED_MODEL
        found = connection.execute(FIND_ADDED, {"wanted": wanted}).all()
        chosen = [row for row in found if threshold is None or _is_same(row.threshold, threshold)]
        if not chosen:
            which = f"no added model is called {wanted!r}"
            if found:
                which = f"no added model {wanted!r} has the threshold {threshold:.{DECIMALS}f}"
            raise ModelChoiceError(f"{which}; `starlight model list` shows them")
        _record_use(connection, chosen[0].id, used_by)
        return _describe(chosen[0])


def _is_same(threshold: float, other: float) -> bool:
    return f"{threshold:.{DECIMALS}f}" == f"{other:.{DECIMALS}f}"


def _describe(model: Row[Any]) -> str:
    return f"{model.label} (threshold {model.threshold:.{DECIMALS}f})"


# Whether a row of `models` matches a name and version, a version, or the start of a digest.
IS_MEANT = """
    (name || '-' || version = :model OR version = :model OR length(:model) >= 6 AND starts_with(sha256, lower(:model)))
"""
# Matching models, with any threshold.
FIND_MODELS = text(f"""
    SELECT id, name || '-' || version || ' (sha256 ' || sha256 || ')' AS label, sha256
    FROM models WHERE {IS_MEANT} ORDER BY id
""")


def find_models(engine: Engine, wanted: str) -> list[int]:
    """Return the ids of the model NAME-VERSION, VERSION, or start of a digest; one model may have several ids.

    Raises ModelChoiceError if there is none, or more than one model.
    """
    rows = _find_meant(engine, wanted)
    labels = sorted({row.label for row in rows})
    if len(labels) > 1:
        distinct = "the start of its SHA-256" if len({row.sha256 for row in rows}) > 1 else "its name and version"
        raise ModelChoiceError(f"{wanted!r} may be {', '.join(labels)}: use {distinct}")
    return [row.id for row in rows]


def check_model(engine: Engine, wanted: str) -> None:
    """Raise ModelChoiceError if no model is called NAME-VERSION, VERSION, or by the start of a digest, `wanted`."""
    _find_meant(engine, wanted)


def _find_meant(engine: Engine, wanted: str) -> Sequence[Row[Any]]:
    """Return the matching models, at least one; raises ModelChoiceError."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(FIND_MODELS, {"model": wanted}).all()
        if not rows:
            labels = _read_labels(connection)
            what_to_do = f"use one of {', '.join(labels)}" if labels else "no worker has scored an image yet"
            raise ModelChoiceError(f"there is no model {wanted!r}: {what_to_do}")
    return rows


# The current and the previous choice.
LAST_TWO_USES = text("""
    SELECT models.id, name || '-' || version AS label, threshold
    FROM model_uses LEFT JOIN models ON models.id = model_id ORDER BY model_uses.id DESC LIMIT 2
""")


def roll_back(engine: Engine, used_by: str) -> str:
    """Make workers use the model used before the current one; return its name, version and threshold.

    Raises ModelChoiceError if only the shipped model was ever used.
    """
    with engine.begin() as connection:
        uses = connection.execute(LAST_TWO_USES).all()
        if not uses:
            raise ModelChoiceError(f"only {SHIPPED_MODEL} was ever used: there is no previous model")
        before = uses[1] if len(uses) == 2 else None
        _record_use(connection, before.id if before else None, used_by)
        return _describe(before) if before and before.label else SHIPPED_MODEL


def get_model_in_use(engine: Engine) -> ModelUse | None:
    """Return the latest choice, or None if no model was ever chosen."""
    with connect_to_read(engine) as connection:
        return _read_newest_use(connection)


# The current choice.
NEWEST_USE = text("""
    SELECT model_uses.id, model_id, card FROM model_uses LEFT JOIN models ON models.id = model_id
    ORDER BY model_uses.id DESC LIMIT 1
""")


def _read_newest_use(connection: Connection) -> ModelUse | None:
    row = connection.execute(NEWEST_USE).one_or_none()
    return ModelUse(*row) if row else None


# Stores a choice.
RECORD_USE = text("INSERT INTO model_uses (model_id, used_by) VALUES (:model_id, :used_by)")


def _record_use(connection: Connection, model_id: int | None, used_by: str) -> None:
    connection.execute(
        RECORD_USE,
        {"model_id": model_id, "used_by": used_by},
    )
