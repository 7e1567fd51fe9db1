"""Other models: an ONNX file with the eight streams as inputs is used like V4's own network."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from starlight_vocabulary.words import BIT_ORDERS, METHODS
from worker.v4.card import CARD_FILE, ModelError
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes
from worker.v4.streams import describe_inputs


def model(contract: dict[str, str]) -> bytes:
    """Return a model whose stego logit is the mean of the pixels, with the third method and the second bit order."""
    # Imported in functions: every test process imports this module, but only one needs ONNX.
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    types = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
    inputs = []
    for name, stated in contract.items():
        kind, _, shape = stated.partition(" ")
        inputs.append(helper.make_tensor_value_info(name, types[kind], ["batch", *json.loads(shape)]))
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in (("stego", 1), ("method", len(METHODS)), ("order", len(BIT_ORDERS)))
    ]
    constants = [
        numpy_helper.from_array(np.eye(len(METHODS), dtype=np.float32)[2:3], "third"),
        numpy_helper.from_array(np.eye(len(BIT_ORDERS), dtype=np.float32)[1:2], "second"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    nodes = [
        helper.make_node("Flatten", ["pixel"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axis"], ["stego"]),
        helper.make_node("Add", ["stego", "third"], ["method"]),
        helper.make_node("Add", ["stego", "second"], ["order"]),
    ]
    graph = helper.make_graph(nodes, "mean", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def folder(path: Path, weights: bytes) -> Path:
    """Write a model folder."""
    (path / "model.onnx").write_bytes(weights)
    card = {
        "name": "mine", "version": "1", "weights": "model.onnx", "format": "onnx", "threshold": 0.6,
        "sha256": hashlib.sha256(weights).hexdigest(), "methods": METHODS, "bit_orders": BIT_ORDERS,
    }  # fmt: skip
    (path / CARD_FILE).write_text(json.dumps(card))
    return path


def test_an_onnx_model_scores_a_batch(tmp_path: Path) -> None:
    detector = Detector.load(folder(tmp_path, model(describe_inputs())))

    black, white = detector.score(
        [extract_planes(Image.new("RGB", (32, 32), colour), b"") for colour in ("black", "white")]
    )

    assert not black.is_stego
    assert black.stego_probability == pytest.approx(1 / (1 + np.e))
    assert (white.is_stego, white.method, white.bit_order) == (True, METHODS[2], BIT_ORDERS[1])


def test_other_inputs_are_refused_and_named(tmp_path: Path) -> None:
    # The name is in the list of inputs, and in the node that reads the input.
    weights = model(describe_inputs()).replace(b"pixel", b"image")

    with pytest.raises(ModelError, match=r"its inputs are .*'image'"):
        Detector.load(folder(tmp_path, weights))


def changed(constant: str, values: np.ndarray) -> bytes:
    """Return the model with other values in one of its constants."""
    import onnx

    made = onnx.load_from_string(model(describe_inputs()))
    for each in made.graph.initializer:
        if each.name == constant:
            each.CopyFrom(onnx.numpy_helper.from_array(values, constant))
    for each in made.graph.output:
        each.type.tensor_type.ClearField("shape")
    return bytes(made.SerializeToString())


def test_a_batch_of_fixed_size_is_refused(tmp_path: Path) -> None:
    import onnx

    made = onnx.load_from_string(model(describe_inputs()))
    for each in (*made.graph.input, *made.graph.output):
        each.type.tensor_type.shape.dim[0].dim_value = 1

    with pytest.raises(ModelError, match="cannot score a batch of 3"):
        Detector.load(folder(tmp_path, made.SerializeToString()))


def test_heads_of_other_widths_are_refused(tmp_path: Path) -> None:
    weights = changed("third", np.eye(7, dtype=np.float32)[6:])

    with pytest.raises(ModelError, match=r"shapes .*\(1, 7\)"):
        Detector.load(folder(tmp_path, weights))


def test_logits_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    weights = changed("third", np.full((1, len(METHODS)), np.nan, np.float32))

    with pytest.raises(ModelError, match="not finite"):
        Detector.load(folder(tmp_path, weights))


@pytest.mark.parametrize("key", ["inputs", "figures", "methods", "bit_orders"])
@pytest.mark.parametrize("value", [3, "x"])
def test_a_card_of_other_types_is_refused(tmp_path: Path, key: str, value: int | str) -> None:
    path = folder(tmp_path, model(describe_inputs()))
    card = json.loads((path / CARD_FILE).read_text())
    (path / CARD_FILE).write_text(json.dumps({**card, key: value}))

    with pytest.raises(ModelError, match=f"'{key}' must be"):
        Detector.load(path)


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="onnxruntime cannot read it"):
        Detector.load(folder(tmp_path, b"none"))


def test_a_card_for_other_streams_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, model(describe_inputs()))
    card = json.loads((path / CARD_FILE).read_text())
    (path / CARD_FILE).write_text(json.dumps({**card, "inputs": {"pixel": "float32 [3, 256, 256]"}}))

    with pytest.raises(ModelError, match="made for the inputs"):
        Detector.load(path)
