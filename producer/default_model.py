"""The model that workers use if none was chosen: the shipped one, or that of `STARLIGHT_MODEL_DIR`."""

import dataclasses
import math
from collections.abc import Iterable

from storage.models import ListedModel
from worker.v4.card import ModelCard


def mark_default(models: Iterable[ListedModel], default: ModelCard) -> list[ListedModel]:
    """Return the models, with that of this card marked as in use; for use if none was chosen."""
    return [dataclasses.replace(model, in_use=is_of_card(model, default)) for model in models]


def is_of_card(model: ListedModel, card: ModelCard) -> bool:
    """Whether this is the model of a card: the same weights may have several names and thresholds."""
    # The database has fewer digits than the card.
    is_same = (model.label, model.sha256) == (card.label, card.sha256)
    return is_same and math.isclose(model.threshold, card.threshold, rel_tol=1e-6)
