"""A model as an ONNX file: one window of tokens in, logits out, the state explicit on both sides.

Needs the package `onnx` (the extra `onnx`); running the file needs onnxruntime or any other
runtime, and neither torch nor this library. The graph is written node by node from the weights.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lstmcore.checkpoint import replace_durably
from lstmcore.errors import LSTMError
from lstmcore.export import LanguageModel

OPSET = 17  # LSTM of opset 14 and later; read by onnxruntime 1.12 and newer
IR_VERSION = 8


def write_onnx(lm: LanguageModel, path: Path) -> None:
    """Write the network, whole or not at all.

    Inputs: `ids` (B, T) int64, `h` and `c` (L, B, H) float32, zeros at the start. Outputs:
    `logits` (B, T, V), `h_after` and `c_after` (L, B, H), to be passed on with the next tokens.
    B and T are free. The tokenizer stays in the model folder's `tokenizer.json`. Raises LSTMError
    when the package `onnx` is missing.
    """
    try:
        import onnx  # noqa: PLC0415 - an extra: most who use the library do without
    except ImportError:
        raise LSTMError("Writing ONNX needs the package onnx: pip install 'lstmq[onnx]'.") from None
    graph = _graph(lm, onnx.helper)
    model = onnx.helper.make_model(
        graph,
        producer_name="lstmq",
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_bytes(model.SerializeToString())
    replace_durably(unfinished, path)


def _graph(lm: LanguageModel, helper: Any) -> Any:
    network = lm.model
    layers, hidden = network.lstm.num_layers, network.lstm.hidden_size
    weights: dict[str, Tensor] = {"embedding": network.embedding.weight}
    nodes = [
        helper.make_node("Transpose", ["ids"], ["ids_by_time"], perm=[1, 0]),  # (T, B)
        helper.make_node("Gather", ["embedding", "ids_by_time"], ["layer_0"]),  # (T, B, E)
        helper.make_node("Split", ["h"], [f"h_{n}" for n in range(layers)], axis=0),  # (1, B, H)
        helper.make_node("Split", ["c"], [f"c_{n}" for n in range(layers)], axis=0),
    ]
    for layer, parts in enumerate(network.lstm.all_weights):
        w_ih, w_hh, b_ih, b_hh = map(_in_onnx_order, parts)
        weights |= {
            f"w_{layer}": w_ih[None],  # (1, 4H, E or H)
            f"r_{layer}": w_hh[None],  # (1, 4H, H)
            f"b_{layer}": torch.cat([b_ih, b_hh])[None],  # (1, 8H)
        }
        nodes += _layer(helper, layer, hidden)
    below = f"layer_{layers}"
    if network.projection is not None:
        weights["projection"] = network.projection.weight.T  # (H, E)
        nodes.append(helper.make_node("MatMul", [below, "projection"], ["projected"]))
        below = "projected"
    weights |= {"output_weight": network.output.weight.T, "output_bias": network.output.bias}
    nodes += [
        helper.make_node("MatMul", [below, "output_weight"], ["scores"]),  # (T, B, V)
        helper.make_node("Add", ["scores", "output_bias"], ["logits_by_time"]),
        helper.make_node("Transpose", ["logits_by_time"], ["logits"], perm=[1, 0, 2]),
        helper.make_node("Concat", [f"h_after_{n}" for n in range(layers)], ["h_after"], axis=0),
        helper.make_node("Concat", [f"c_after_{n}" for n in range(layers)], ["c_after"], axis=0),
    ]
    float32, int64 = 1, 7  # TensorProto.FLOAT and INT64
    state = [layers, "batch", hidden]
    logits = ["batch", "time", lm.tokenizer.modelled_size]
    return helper.make_graph(
        nodes,
        "lstm language model",
        [
            helper.make_tensor_value_info("ids", int64, ["batch", "time"]),
            helper.make_tensor_value_info("h", float32, state),
            helper.make_tensor_value_info("c", float32, state),
        ],
        [
            helper.make_tensor_value_info("logits", float32, logits),
            helper.make_tensor_value_info("h_after", float32, state),
            helper.make_tensor_value_info("c_after", float32, state),
        ],
        [
            helper.make_tensor("one", int64, [1], [1]),  # the axis of directions
            *(
                helper.make_tensor(name, float32, tensor.shape, _bytes(tensor), raw=True)
                for name, tensor in weights.items()
            ),
        ],
    )


def _layer(helper: Any, layer: int, hidden: int) -> list[Any]:
    """One layer: (T, B, E or H) to (T, B, H); ONNX has an axis for directions between, here 1."""
    return [
        helper.make_node(
            "LSTM",
            [f"layer_{layer}", f"w_{layer}", f"r_{layer}", f"b_{layer}", "",
             f"h_{layer}", f"c_{layer}"],
            [f"directions_{layer}", f"h_after_{layer}", f"c_after_{layer}"],
            hidden_size=hidden,
        ),
        helper.make_node("Squeeze", [f"directions_{layer}", "one"], [f"layer_{layer + 1}"]),
    ]  # fmt: skip


def _in_onnx_order(weight: Tensor) -> Tensor:
    """Rows of input, forget, candidate, output (torch) to input, output, forget, candidate."""
    i, f, g, o = weight.detach().chunk(4)
    return torch.cat([i, o, f, g])


def _bytes(tensor: Tensor) -> bytes:
    values: bytes = tensor.detach().contiguous().numpy().astype("<f4").tobytes()
    return values
