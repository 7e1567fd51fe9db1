"""The detector: planes in, scores out, on one device."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_tensors

from starlight_vocabulary.words import BitOrder, Method
from worker.v4.card import ModelCard, ModelError, read_card
from worker.v4.network import Heads, Network, Sizes
from worker.v4.onnx_network import OnnxNetwork
from worker.v4.planes import PlaneArray
from worker.v4.streams import Streams, compute, describe_inputs, lead, match_inputs, stack


@dataclass(frozen=True, slots=True)
class Score:
    """V4's result for one image.

    `confidence` is the probability of the outcome, stego or clean. `method` and `bit_order` are None unless `is_stego`.
    """

    is_stego: bool
    stego_probability: float
    confidence: float
    method: Method | None
    bit_order: BitOrder | None


class Detector:
    """A model on a device: `network` on `device`, described by `model`. Not thread-safe."""

    def __init__(self, network: Callable[[Streams], Heads], model: ModelCard, device: str = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self.network = network

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Detector":
        """Load a model folder. Raises `ModelError` if card or weights cannot be used, or the digest is wrong."""
        card = read_card(folder)
        path = folder / card.weights
        try:
            blob = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
        return cls.of(card, blob, str(path), device)

    @classmethod
    def of(cls, card: ModelCard, weights: bytes, where: str, device: str = "cpu") -> "Detector":
        """Return the detector of a card and its weights, read from `where`. Raises `ModelError` as `load` does."""
        digest = hashlib.sha256(weights).hexdigest()
        if digest != card.sha256:
            raise ModelError(f"{where}: SHA-256 is {digest}, the card says {card.sha256}")
        widths = match_inputs(card.inputs) if card.inputs else {}
        if widths is None:
            raise ModelError(f"{where}: made for the inputs {card.inputs}, but this code computes {describe_inputs()}")
        if card.format == "onnx":
            return cls(OnnxNetwork(weights, where, device), card, device)
        network = Network(replace(Sizes(), **widths))
        try:
            network.load_state_dict(load_tensors(weights))
        except Exception as error:
            raise ModelError(f"{where}: does not hold this network's weights ({error})") from error
        network = network.to(device).eval()
        return cls((lambda streams: network(lead(streams, widths))) if widths else network, card, device)

    def score(
        self, batch: Sequence[np.void] | PlaneArray, thresholds: Sequence[float | None] | None = None
    ) -> list[Score]:
        """Score images together. A threshold of None, or no thresholds, means the model's own.

        Raises ArithmeticError if the network returns a value that is not finite.
        """
        if len(batch) == 0:
            return []
        with torch.inference_mode():
            heads = self.network(compute(stack(batch, self.device)))
            probabilities = torch.sigmoid(heads.stego.double()).tolist()
            methods = heads.method.argmax(1).tolist()
            orders = heads.order.argmax(1).tolist()
        if not all(map(math.isfinite, probabilities)):
            raise ArithmeticError("the network returned a value that is not finite")
        limits = thresholds if thresholds is not None else [None] * len(batch)
        return [self._score(*row) for row in zip(probabilities, methods, orders, limits, strict=True)]

    def _score(self, probability: float, method: int, order: int, threshold: float | None) -> Score:
        is_stego = probability >= (self.model.threshold if threshold is None else threshold)
        return Score(
            is_stego=is_stego,
            stego_probability=probability,
            confidence=max(probability, 1.0 - probability),
            method=self.model.methods[method] if is_stego else None,
            bit_order=self.model.bit_orders[order] if is_stego else None,
        )
