"""The model card, which describes a folder of weights and is checked before the weights are used.

A model is a folder with `card.json` and the weights file that it names.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from starlight_vocabulary.words import BIT_ORDERS, METHODS, BitOrder, Method, Word

CARD_FILE: Final = "card.json"
DEFAULT_MODEL: Final = Path(__file__).parent / "models" / "starlight-v4"
"""Folder of the shipped model."""

FORMATS: Final = ("safetensors", "onnx")
"""Formats of weights: safetensors for V4's own network, ONNX for any network that takes the same streams."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


AnyWord = TypeVar("AnyWord", bound=Word)


class ModelError(Exception):
    """The model cannot be used: a file is missing, malformed or not the one that its card names."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Identity and decision threshold of a model.

    `sha256` is the hex digest of the file `weights`, and `format` is its format, one of `FORMATS`. An image with a
    stego probability of at least `threshold` counts as stego. `inputs` has type and shape of each stream that the model
    was made for, as from `streams.describe_inputs`, or is empty. `figures` are the measurements that
    `scripts/validate_v4` wrote into the card.
    """

    name: str
    version: str
    weights: str
    sha256: str
    threshold: float
    methods: tuple[Method, ...] = METHODS
    bit_orders: tuple[BitOrder, ...] = BIT_ORDERS
    format: str = "safetensors"
    inputs: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and version as people write them."""
        return f"{self.name}-{self.version}"


def read_card(folder: Path) -> ModelCard:
    """Read and check `folder/card.json`. Raises `ModelError` if it can't be used with this code."""
    path = folder / CARD_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not JSON ({error})") from error
    return check_card(raw, str(path))


def check_card(raw: object, where: str) -> ModelCard:
    """Check a card that was read from `where`. Raises `ModelError` if it can't be used with this code."""
    if not isinstance(raw, dict):
        raise ModelError(f"{where}: is not a JSON object")
    card = ModelCard(
        name=_text(raw, "name", where),
        version=_text(raw, "version", where),
        weights=_text(raw, "weights", where),
        sha256=_text(raw, "sha256", where),
        threshold=_probability(raw, "threshold", where),
        methods=_words(Method, raw, "methods", where),
        bit_orders=_words(BitOrder, raw, "bit_orders", where),
        format=raw.get("format", FORMATS[0]),
        inputs=_table(raw, "inputs", where),
        figures=_table(raw, "figures", where),
    )
    if card.format not in FORMATS:
        raise ModelError(f"{where}: format must be one of {', '.join(FORMATS)}")
    if not _SHA256.fullmatch(card.sha256):
        raise ModelError(f"{where}: sha256 is not 64 lower-case hex digits")
    if Path(card.weights).name != card.weights:
        raise ModelError(f"{where}: weights must be a file name within the folder")
    if card.methods != METHODS or card.bit_orders != BIT_ORDERS:
        raise ModelError(
            f"{where}: methods and bit_orders must be {', '.join(METHODS)} and {', '.join(BIT_ORDERS)}, in this order"
        )
    return card


def _text(raw: dict[str, Any], key: str, where: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise ModelError(f"{where}: {key!r} must be a non-empty string")
    return value


def _words(kind: type[AnyWord], raw: dict[str, Any], key: str, where: str) -> tuple[AnyWord, ...]:
    value = raw.get(key)
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ModelError(f"{where}: {key!r} must be a list of names")
    return tuple(kind.read(each) for each in value)


def _table(raw: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        raise ModelError(f"{where}: {key!r} must be a JSON object")
    return value


def _probability(raw: dict[str, Any], key: str, where: str) -> float:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < 1.0:
        raise ModelError(f"{where}: {key!r} must be a number between 0 and 1")
    return float(value)
