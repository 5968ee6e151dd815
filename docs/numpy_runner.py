"""Continue a text with a model's folder, in NumPy alone: python docs/numpy_runner.py FOLDER PROMPT

All there is to running an LSTM language model, as documentation that runs. The likeliest token is
taken each time; `lstmcore.generate` with temperature 0 writes the same.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


def read_safetensors(path):
    """Tensors by name. The file: length of a header (8 bytes), the header as JSON, the numbers."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header, numbers = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(numbers[slice(*place["data_offsets"])], "<f4").reshape(place["shape"])
        for name, place in header.items()
    }


def sigmoid(x):
    """Squeeze into (0, 1), without overflow."""
    return 0.5 * (1 + np.tanh(x / 2))


def step(weights, token, state):
    """Read one token, changing `state` (h and c of each layer, (H,)); return logits (V,)."""
    x = weights["embedding.weight"][token]  # (E,)
    for n, (h, c) in enumerate(state):
        gates = weights[f"lstm.weight_ih_l{n}"] @ x + weights[f"lstm.bias_ih_l{n}"]  # (4H,)
        gates = gates + weights[f"lstm.weight_hh_l{n}"] @ h + weights[f"lstm.bias_hh_l{n}"]
        i, f, g, o = np.split(gates, 4)  # input gate, forget gate, candidate, output gate: (H,)
        cell = sigmoid(f) * c + sigmoid(i) * np.tanh(g)  # forget some, add some
        x = sigmoid(o) * np.tanh(cell)  # the hidden state, and what the next layer reads
        state[n] = x, cell
    if "projection.weight" in weights:
        x = weights["projection.weight"] @ x  # (H,) -> (E,)
    output = weights.get("output.weight", weights["embedding.weight"])  # tied: the embedding
    return output @ x + weights["output.bias"]


def continue_text(folder, prompt, tokens=64):
    """At most `tokens` tokens after a prompt, as text."""
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    if settings["config"]["model"]["softmax"] != "full":
        sys.exit("This runner is for the full softmax; an adaptive one can be written as ONNX.")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    weights = read_safetensors(folder / "model.safetensors")
    size = tokenizer.get_vocab_size()
    unk, eos, sep = size - 3, size - 2, size - 1  # the special tokens come last
    tutorial, layout = settings["config"]["preset"] == "tutorial", settings["layout"]

    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    before = [] if tutorial or layout == "pairs" else ids  # decides how what follows is spelled
    if tutorial:
        ids = [token for token in ids if token != unk]
    elif layout == "lines":
        ids = [eos, *ids]  # a line begins where another ended
    elif layout == "pairs":
        ids = [*ids, sep]  # prompt <sep> completion <eos>

    model = settings["config"]["model"]
    zeros = np.zeros(model["hidden_dim"], np.float32)
    state = [(zeros, zeros) for _ in range(model["layers"])]
    for token in ids or [eos]:
        logits = step(weights, token, state)
    written = []
    while len(written) < (1 if tutorial else tokens):
        if not tutorial:
            logits[[unk, sep]] = -np.inf  # never written
        token = int(logits.argmax())
        if token == eos:
            break
        written.append(token)
        logits = step(weights, token, state)
    known = len(tokenizer.decode(before, skip_special_tokens=False))
    return tokenizer.decode([*before, *written], skip_special_tokens=False)[known:]


if __name__ == "__main__":
    sys.stdout.write(continue_text(Path(sys.argv[1]), sys.argv[2]) + "\n")
