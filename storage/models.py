"""Models: those that workers scored with, those that were added, and which of them is to be used."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from storage.database import reading
from storage.workers import SILENT_LEASES

SHIPPED = "shipped"
"""Name, for `use_model`, of the model that ships with the code."""


class ModelChoiceError(ValueError):
    """A model cannot be added or used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that was added or seen; `added` where it can be used, `workers` is how many live ones score with it."""

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
        """Name and version as people write them."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class ModelUse:
    """The newest use: `use_id` grows with every change; without `model_id` and `card`, of the shipped model."""

    use_id: int
    model_id: int | None
    card: dict[str, Any] | None


def register_model(engine: Engine, *, name: str, version: str, sha256: str, threshold: float) -> int:
    """Return the id of this model, stored now unless it is known."""
    with engine.begin() as connection:
        return int(
            connection.execute(
                text("""
                    INSERT INTO models (name, version, sha256, threshold)
                    VALUES (:name, :version, :sha256, :threshold)
                    ON CONFLICT (sha256, name, version, threshold) DO UPDATE SET name = excluded.name RETURNING id
                """),
                {"name": name, "version": version, "sha256": sha256, "threshold": threshold},
            ).scalar_one()
        )


def add_model(engine: Engine, card: dict[str, Any]) -> tuple[int, bool]:
    """Store the card of a model whose weights are stored as a blob; return its id and whether it was new.

    Raises ModelChoiceError where another model has this name and version.
    """
    identity = {key: card[key] for key in ("name", "version", "sha256", "threshold")}
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE"))
        other = connection.execute(
            text("""
                SELECT sha256 FROM models
                WHERE name = :name AND version = :version AND sha256 <> :sha256 AND card IS NOT NULL LIMIT 1
            """),
            identity,
        ).scalar()
        if other is not None:
            raise ModelChoiceError(
                f"another model is called {card['name']}-{card['version']} (sha256 {other[:12]}…): "
                "give this one its own version in card.json"
            )
        known = connection.execute(
            text("""
                SELECT id FROM models WHERE card IS NOT NULL AND sha256 = :sha256 AND name = :name
                    AND version = :version AND threshold = CAST(:threshold AS real)
            """),
            identity,
        ).scalar()
        if known is not None:
            return int(known), False
        added = text("""
            INSERT INTO models (name, version, sha256, threshold, card)
            VALUES (:name, :version, :sha256, :threshold, :card)
            ON CONFLICT (sha256, name, version, threshold) DO UPDATE SET card = excluded.card RETURNING id
        """).bindparams(bindparam("card", type_=JSONB))
        return int(connection.execute(added, {**identity, "card": card}).scalar_one()), True


def list_models(engine: Engine, lease_s: float) -> list[ListedModel]:
    """Return all models, the newest first."""
    with reading(engine) as connection:
        used = _newest_use(connection)
        rows = connection.execute(
            text("""
                SELECT models.id, name, version, sha256, threshold, card IS NOT NULL AS added, first_seen_at,
                    coalesce(card -> 'figures', '{}') AS figures,
                    (SELECT count(*) FROM workers WHERE workers.model_id = models.id
                        AND seen_at > now() - make_interval(secs => :age)) AS workers
                FROM models ORDER BY first_seen_at DESC, models.id DESC
            """),
            {"age": SILENT_LEASES * lease_s},
        ).mappings()
        in_use = used.model_id if used else None
        return [
            ListedModel(**{str(key): value for key, value in row.items()}, in_use=row["id"] == in_use) for row in rows
        ]


def use_model(engine: Engine, wanted: str, used_by: str) -> str:
    """Have workers use the added model `wanted`: NAME-VERSION, NAME, the start of a digest, or `SHIPPED`.

    Returns its name and version. Of one name, the model that was added last is meant. Raises ModelChoiceError where
    there is none.
    """
    with engine.begin() as connection:
        if wanted == SHIPPED:
            _record_use(connection, None, used_by)
            return "the model that ships with the code"
        rows = connection.execute(
            text("""
                SELECT id, name || '-' || version AS label, sha256 FROM models
                WHERE card IS NOT NULL AND (name || '-' || version = :wanted OR name = :wanted
                    OR (length(:wanted) >= 6 AND starts_with(sha256, lower(:wanted))))
                ORDER BY id DESC
            """),
            {"wanted": wanted},
        ).all()
        if not rows:
            raise ModelChoiceError(f"no model {wanted!r} was added; `starlight model list` shows those that were")
        chosen = rows[0]
        _record_use(connection, chosen.id, used_by)
        return str(chosen.label)


def roll_back(engine: Engine, used_by: str) -> str:
    """Have workers use what was used before the present model; return its name and version.

    Raises ModelChoiceError where nothing but the shipped model was ever used.
    """
    with engine.begin() as connection:
        uses = connection.execute(
            text("""
                SELECT models.id, name || '-' || version AS label
                FROM model_uses LEFT JOIN models ON models.id = model_id ORDER BY model_uses.id DESC LIMIT 2
            """)
        ).all()
        if not uses:
            raise ModelChoiceError(
                "only the model that ships with the code was ever used: there is nothing to go back to"
            )
        before = uses[1] if len(uses) == 2 else None
        _record_use(connection, before.id if before else None, used_by)
        return str(before.label) if before and before.label else "the model that ships with the code"


def model_in_use(engine: Engine) -> ModelUse | None:
    """Return the newest use, or None where no model was ever chosen."""
    with reading(engine) as connection:
        return _newest_use(connection)


def _newest_use(connection: Connection) -> ModelUse | None:
    row = connection.execute(
        text("""
            SELECT model_uses.id, model_id, card FROM model_uses LEFT JOIN models ON models.id = model_id
            ORDER BY model_uses.id DESC LIMIT 1
        """)
    ).one_or_none()
    return ModelUse(*row) if row else None


def _record_use(connection: Connection, model_id: int | None, used_by: str) -> None:
    connection.execute(
        text("INSERT INTO model_uses (model_id, used_by) VALUES (:model_id, :used_by)"),
        {"model_id": model_id, "used_by": used_by},
    )
