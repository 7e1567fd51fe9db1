"""Chooses the model that this worker scores with: the one in use, the shipped one, or a configured one."""

import logging
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from storage.background import BackgroundThread
from storage.blobs import Blobs
from storage.models import ModelUse, get_model_in_use
from storage.settings import Settings
from worker.v4.card import DEFAULT_MODEL, ModelError, check_card
from worker.v4.detector import Detector

# Far more than any V4 has; larger blobs are not read.
MAX_WEIGHTS_BYTES = 2**30
LOOK_EVERY_S = 2.0

log = logging.getLogger(__name__)


class ModelLoader:
    """Loads models onto one device. `STARLIGHT_MODEL_DIR` pins the worker to that folder, whichever model is in use."""

    def __init__(self, engine: Engine, settings: Settings, device: str) -> None:
        self._engine = engine
        self._pinned: Path | None = settings.model_dir
        self._blobs = Blobs(settings.blobs())
        self._device = device

    def find_newest_use(self) -> ModelUse | None:
        """Return the newest choice of a model; None if there never was one, or if this worker is pinned."""
        return None if self._pinned else get_model_in_use(self._engine)

    def load(self, use: ModelUse | None) -> Detector:
        """Load the model of a use; raises ModelError if it cannot be read or does not match its card."""
        if use is None or use.card is None:
            return Detector.load(self._pinned or DEFAULT_MODEL, self._device)
        card = check_card(use.card, f"model {use.model_id}")
        try:
            weights = self._blobs.get(card.sha256, MAX_WEIGHTS_BYTES)
        except OSError as error:
            raise ModelError(f"the weights of {card.label} are not stored ({error}): add the model again") from error
        return Detector.of(card, weights, f"blob {card.sha256}", self._device)


class ModelWatch(BackgroundThread):
    """One thread that polls for a newer use and passes its detector to `replace`; keeps the model if loading fails."""

    def __init__(
        self,
        loader: ModelLoader,
        seen: ModelUse | None,
        replace: Callable[[Detector], None],
        interval_s: float = LOOK_EVERY_S,
    ) -> None:
        super().__init__("model watch")
        self._loader = loader
        self._seen = seen
        self._replace = replace
        self._interval_s = interval_s

    def run(self) -> None:
        """Poll until stopped."""
        while not self.stopping.wait(self._interval_s):
            try:
                use = self._loader.find_newest_use()
            except SQLAlchemyError:
                # The leases thread already logs this.
                continue
            if use == self._seen:
                continue
            self._seen = use
            try:
                self._replace(self._loader.load(use))
            except Exception as error:
                log.critical("the new model cannot be loaded; this worker keeps its current one: %s", error)
