"""A custom network as an ONNX file: the eight streams in, the three heads out.

The inputs have the names, shapes and types of the streams, with the batch first. The outputs are `stego` (B,) or
(B, 1), `method` (B, 5) and `order` (B, 3), float32 logits in the order of the card's methods and bit orders.
"""

from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from starlight_vocabulary.words import BIT_ORDERS, METHODS
from worker.v4.card import ModelError
from worker.v4.network import Heads
from worker.v4.planes import extract_planes
from worker.v4.streams import INPUTS, Streams, compute, describe_inputs, lead, match_inputs, stack

OUTPUTS: Final = ("stego", "method", "order")
_TYPES: Final = {"tensor(float)": "float32", "tensor(int32)": "int32"}


class OnnxNetwork:
    """Scores streams with onnxruntime, on the CPU or, if onnxruntime has the CUDA provider, on a GPU."""

    def __init__(self, model: bytes, where: str, device: str) -> None:
        """Read a model file. Raises `ModelError` without onnxruntime, or if the file is not such a network."""
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(
                f"{where}: an ONNX model needs onnxruntime: install the project with pip install '.[onnx]'"
            ) from error
        wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model,
                options,
                providers=[each for each in wanted if each in onnxruntime.get_available_providers()]
                + ["CPUExecutionProvider"],
            )
        except Exception as error:
            raise ModelError(f"{where}: onnxruntime cannot read it ({error})") from error
        found = {
            each.name: f"{_TYPES.get(each.type, each.type)} {each.shape[1:]}" for each in self._session.get_inputs()
        }
        widths = match_inputs(found)
        if widths is None:
            raise ModelError(f"{where}: its inputs are {found}, not {describe_inputs()}")
        outputs = tuple(each.name for each in self._session.get_outputs())
        if set(outputs) != set(OUTPUTS):
            raise ModelError(f"{where}: its outputs are {outputs}, not {OUTPUTS}")
        self._widths = widths
        self._try(where)

    def __call__(self, streams: Streams) -> Heads:
        """Score a batch."""
        led = lead(streams, self._widths)
        feed = {name: getattr(led, name).cpu().numpy() for name in INPUTS}
        stego, method, order = (self._tensor(each) for each in self._session.run(OUTPUTS, feed))
        return Heads(stego.reshape(-1), method, order)

    def _try(self, where: str) -> None:
        """Score batches of two sizes, since a file may declare one shape and compute another."""
        planes = extract_planes(Image.new("L", (1, 1)), b"")
        for size in (1, 3):
            try:
                heads = self(compute(stack([planes] * size)))
            except Exception as error:
                raise ModelError(f"{where}: it cannot score a batch of {size} ({error})") from error
            found = tuple(tuple(each.shape) for each in heads)
            wanted = ((size,), (size, len(METHODS)), (size, len(BIT_ORDERS)))
            if found != wanted:
                raise ModelError(f"{where}: for {size} images its outputs have the shapes {found}, not {wanted}")
            if not all(bool(each.isfinite().all()) for each in heads):
                raise ModelError(f"{where}: its logits are not finite")

    @staticmethod
    def _tensor(values: Any) -> Tensor:  # noqa: ANN401 - the runtime is not typed
        return torch.from_numpy(np.asarray(values, np.float32))
