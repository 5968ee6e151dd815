"""Tokens a second when writing, 2x256 and 1,000 tokens of vocabulary, one thread, side by side.

    python -m benchmarks.generation

The likeliest token is taken each time, by: re-reading the whole text for each token; nn.LSTM with
the state carried; the library's step; the library's `generate` with all it does besides; and, if
installed, onnxruntime on the exported model. Rounds take turns; the median of each counts. With 32
texts side by side, only the loops.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lstmcore.config import Sampling, resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.errors import LSTMError
from lstmcore.export import LanguageModel
from lstmcore.onnx_export import write_onnx
from lstmcore.sampling import generate
from lstmcore.training import Trainer

WORDS, HIDDEN, LAYERS = 1000, 256, 2
TOKENS = {1: 200, 32: 60}  # written in a round, by texts side by side
RE_READ_TOKENS = 64  # its cost grows with the square
ROUNDS = 9
Writer = Callable[[int, int], None]  # (texts side by side, tokens of each)


def main() -> None:
    """Print a table of medians and ratios to the loop with nn.LSTM."""
    torch.set_num_threads(1)
    lm = untrained()
    writers: dict[str, Writer] = {
        "re-reading the text": lambda batch, count: re_reading(lm, batch, count),
        "nn.LSTM, state carried": lambda batch, count: carried(lm, batch, count),
        "the library's step": lambda batch, count: stepping(lm, batch, count),
    }
    try:
        writers["onnxruntime"] = onnx_writer(lm)
    except (ImportError, LSTMError):
        sys.stderr.write("without onnxruntime: pip install onnx onnxruntime\n")
    for batch in TOKENS:
        rivals = dict(writers)
        if batch == 1:
            rivals["the library's generate"] = lambda _, count: writing(lm, count)
        report(batch, rivals)


def report(batch: int, writers: dict[str, Writer]) -> None:
    """Measure in turns and print."""
    seconds: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(ROUNDS):
        for name, write in writers.items():
            count = min(TOKENS[batch], RE_READ_TOKENS) if "re-reading" in name else TOKENS[batch]
            began = time.perf_counter()
            write(batch, count)
            seconds[name].append((time.perf_counter() - began) / (count * batch))
    speeds = {name: 1 / statistics.median(found[1:]) for name, found in seconds.items()}
    sys.stdout.write(f"\n{batch} at a time{'tokens/s':>26}{'ratio':>8}\n")
    for name, speed in speeds.items():
        ratio = speed / speeds["nn.LSTM, state carried"]
        sys.stdout.write(f"{name:24}{speed:>14,.0f}{ratio:>8.2f}\n")


def untrained() -> LanguageModel:
    """A model that never ends a text."""
    words = Corpus("text", (" ".join(f"w{number}" for number in range(WORDS)),))
    model = {"embed_dim": HIDDEN, "hidden_dim": HIDDEN, "layers": LAYERS, "tie_weights": False}
    config = resolve_config({"preset": "word", "model": model}, summarize(words))
    lm = Trainer.start(config, words, threads=1).language_model
    with torch.no_grad():
        lm.model.output.bias[lm.tokenizer.eos_id] = -1000
    return lm


@torch.inference_mode()
def re_reading(lm: LanguageModel, batch: int, count: int) -> None:
    """What a tutorial's loop does."""
    text = torch.zeros(batch, 1, dtype=torch.int64)
    for _ in range(count):
        logits, _ = lm.model(text)  # (B, T, V)
        text = torch.cat([text, logits[:, -1:].argmax(-1)], dim=1)


@torch.inference_mode()
def carried(lm: LanguageModel, batch: int, count: int) -> None:
    """nn.LSTM reads one token at a time."""
    token = torch.zeros(batch, 1, dtype=torch.int64)
    state = lm.model.start_state(batch)
    for _ in range(count):
        logits, state = lm.model(token, state)
        token = logits.argmax(-1)


@torch.inference_mode()
def stepping(lm: LanguageModel, batch: int, count: int) -> None:
    """The library's own loop over cells."""
    token: Tensor = torch.zeros(batch, dtype=torch.int64)
    state = lm.model.start_state(batch)
    for _ in range(count):
        logits, state = lm.model.step(token, state)
        token = logits.argmax(-1)


def writing(lm: LanguageModel, count: int) -> None:
    """Everything: prompt, choice, log probabilities, text."""
    written = generate(lm, "w1", Sampling(max_tokens=count, temperature=0))
    if written["completions"][0]["tokens"] != count:
        raise RuntimeError("the text ended early: the speed would be wrong")


def onnx_writer(lm: LanguageModel) -> Writer:
    """The same loop in onnxruntime, on one thread."""
    import onnxruntime  # noqa: PLC0415 - not everybody has it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(lm, path)
        session = onnxruntime.InferenceSession(path, options)

    def write(batch: int, count: int) -> None:
        token = torch.zeros(batch, 1, dtype=torch.int64).numpy()
        h, c = (part.numpy() for part in lm.model.start_state(batch))
        for _ in range(count):
            given = {"ids": token, "h": h, "c": c}
            logits, h, c = session.run(["logits", "h_after", "c_after"], given)
            token = logits.argmax(-1)

    return write


if __name__ == "__main__":
    main()
