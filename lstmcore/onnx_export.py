"""A model as an ONNX file: one window of tokens in, logits out, the state explicit on both sides.

Needs the package `onnx` (the extra `onnx`); running the file needs onnxruntime or any other
runtime, and neither torch nor this library. The graph is written node by node from the weights.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lstmcore.checkpoint import replace_durably
from lstmcore.errors import LSTMError
from lstmcore.export import LanguageModel
from lstmcore.shapes import SPECIAL_TOKENS
from lstmcore.softmax import AdaptiveSoftmax, FullSoftmax

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
    output = _output(helper, network.output, below)
    weights |= output.weights
    nodes += [
        *output.nodes,
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
                helper.make_tensor(name, int64, [len(sizes)], sizes)
                for name, sizes in output.sizes.items()
            ),
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


class _Output(NamedTuple):
    """The nodes from the last layer's memory to `logits_by_time`, and what they need."""

    nodes: list[Any]
    weights: dict[str, Tensor]
    sizes: dict[str, list[int]]  # of the parts that something is split into


def _output(helper: Any, layer: FullSoftmax | AdaptiveSoftmax, below: str) -> _Output:
    if isinstance(layer, FullSoftmax):
        nodes, weights = _linear(
            helper, layer.weight, layer.bias, below, "output", "logits_by_time"
        )
        return _Output(nodes, weights, {})
    weight, bias, tails = layer.groups()
    turns = [f"turn_{n}" for n in range(len(tails))]
    parts = ["frequent"]
    nodes, weights = _linear(helper, weight, bias, below, "head", "head_scores")
    nodes += [
        helper.make_node("LogSoftmax", ["head_scores"], ["head_logprobs"], axis=-1),
        helper.make_node("Split", ["head_logprobs", "turns"], ["frequent", *turns], axis=-1),
    ]
    for tail, turn in zip(tails, turns, strict=True):
        name = turn.replace("turn", "tail")
        weights[f"{name}_down"] = tail.view.T
        nodes.append(helper.make_node("MatMul", [below, f"{name}_down"], [f"{name}_features"]))
        seen, scores = f"{name}_features", f"{name}_scores"
        more, others = _linear(helper, tail.weight, tail.bias, seen, name, scores)
        weights |= others
        nodes += [
            *more,
            helper.make_node("LogSoftmax", [f"{name}_scores"], [f"{name}_within"], axis=-1),
            helper.make_node("Add", [f"{name}_within", turn], [name]),
        ]
        parts.append(name)
    nodes += [  # from ranks to ids: the special tokens go last
        helper.make_node("Concat", parts, ["ranked"], axis=-1),
        helper.make_node("Split", ["ranked", "special_first"], ["special", "others"], axis=-1),
        helper.make_node("Concat", ["others", "special"], ["logits_by_time"], axis=-1),
    ]
    sizes = {
        "turns": [layer.frequent, *(1 for _ in turns)],
        "special_first": [SPECIAL_TOKENS, layer.vocabulary - SPECIAL_TOKENS],
    }
    return _Output(nodes, weights, sizes)


def _linear(
    helper: Any, weight: Tensor, bias: Tensor, below: str, name: str, result: str
) -> tuple[list[Any], dict[str, Tensor]]:
    nodes = [
        helper.make_node("MatMul", [below, f"{name}_weight"], [f"{name}_products"]),
        helper.make_node("Add", [f"{name}_products", f"{name}_bias"], [result]),
    ]
    return nodes, {f"{name}_weight": weight.T, f"{name}_bias": bias}


def _in_onnx_order(weight: Tensor) -> Tensor:
    """Rows of input, forget, candidate, output (torch) to input, output, forget, candidate."""
    i, f, g, o = weight.detach().chunk(4)
    return torch.cat([i, o, f, g])


def _bytes(tensor: Tensor) -> bytes:
    values: bytes = tensor.detach().contiguous().numpy().astype("<f4").tobytes()
    return values
