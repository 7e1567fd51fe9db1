"""Reads and writes model folders: the weights, and the card with their digest."""

import dataclasses
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional

from worker.v4.card import CARD_FILE, ModelCard, ModelError, read_card
from worker.v4.network import SLOTS_OF, Network, Sizes
from worker.v4.streams import describe_inputs, match_inputs

WEIGHTS_FILE = "model.safetensors"


def write_model(folder: Path, network: Network, name: str, version: str, threshold: float) -> ModelCard:
    """Write weights and card to `folder`, created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    blob = pack_weights(network)
    (folder / WEIGHTS_FILE).write_bytes(blob)
    digest = hashlib.sha256(blob).hexdigest()
    card = ModelCard(name, version, WEIGHTS_FILE, digest, threshold, inputs=describe_inputs())
    write_card(folder, card)
    return card


def pack_weights(network: Network) -> bytes:
    """Return the weights of a network in the format of a weights file."""
    return save({key: value.contiguous() for key, value in network.state_dict().items()})


def load_network(folder: Path) -> Network:
    """Load the weights of a model folder for further training, without their calibration.

    Streams may have more numbers now than when an older model was trained; their weights start at zero. Raises
    `ModelError` if the model was made for other inputs.
    """
    card = read_card(folder)
    widths = match_inputs(card.inputs) if card.inputs else {}
    if widths is None:
        raise ModelError(f"{folder}: made for the inputs {card.inputs}, but this code computes {describe_inputs()}")
    network = Network()
    sizes = replace(Sizes(), **widths)
    network.load_state_dict(widen(load_file(folder / card.weights), sizes))
    network.calibration.copy_(torch.tensor([1.0, 0.0]))
    return network


def widen(weights: dict[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
    """Return the weights of a network of `sizes`, with zero columns for numbers that streams have gained since."""
    now = Sizes()
    widened = dict(weights)
    key = "context.join.0.weight"
    widened[key] = functional.pad(weights[key], (0, now.format - sizes.format))
    for number, slots in enumerate(SLOTS_OF):
        key = f"evidence.{number}.0.weight"
        encoded = weights[key][:, : len(slots) * sizes.sequence]
        content = weights[key][:, len(slots) * sizes.sequence :][:, : len(slots) * sizes.content].contiguous()
        rest = weights[key][:, len(slots) * (sizes.sequence + sizes.content) :]
        grown = functional.pad(content.view(-1, len(slots), sizes.content), (0, now.content - sizes.content))
        widened[key] = torch.cat([encoded, grown.flatten(1), rest], dim=1)
    return widened


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json`."""
    text = json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def update_card(folder: Path, threshold: float, figures: dict[str, Any]) -> ModelCard:
    """Set the threshold and figures in the card of an existing model."""
    card = dataclasses.replace(read_card(folder), threshold=threshold, figures=figures)
    write_card(folder, card)
    return card
