"""Writing a model folder: the weights and the card that names their digest."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from worker.v4.card import CARD_FILE, ModelCard, read_card
from worker.v4.network import Network
from worker.v4.streams import describe_inputs

WEIGHTS_FILE = "model.safetensors"


def write_model(folder: Path, network: Network, name: str, version: str, threshold: float) -> ModelCard:
    """Write weights and card to `folder`, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    blob = save({key: value.contiguous() for key, value in network.state_dict().items()})
    (folder / WEIGHTS_FILE).write_bytes(blob)
    digest = hashlib.sha256(blob).hexdigest()
    card = ModelCard(name, version, WEIGHTS_FILE, digest, threshold, inputs=describe_inputs())
    write_card(folder, card)
    return card


def load_network(folder: Path) -> Network:
    """Load the weights of a model folder to learn on, uncalibrated."""
    network = Network()
    network.load_state_dict(load_file(folder / read_card(folder).weights))
    network.calibration.copy_(torch.tensor([1.0, 0.0]))
    return network


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json`."""
    text = json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def update_card(folder: Path, threshold: float, figures: dict[str, Any]) -> ModelCard:
    """State a threshold and figures in the card of an existing model."""
    card = dataclasses.replace(read_card(folder), threshold=threshold, figures=figures)
    write_card(folder, card)
    return card
