"""Tokens a second when writing, 2x256 and 1,000 tokens of vocabulary, one thread, side by side.

    python -m benchmarks.generation

The likeliest token is taken each time, by: re-reading the whole text for each token; nn.LSTM with
the state carried; the library's step; the library's `generate` with all it does besides; and, if
installed, onnxruntime on the exported model. With 32 texts side by side, only the loops. Then the
time until a model that was just loaded has written its first token.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.side_by_side import Table, take_turns, times_as_fast
from lstmcore.config import Sampling, resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.errors import LSTMError
from lstmcore.export import LanguageModel
from lstmcore.onnx_export import write_onnx
from lstmcore.sampling import generate, load_model
from lstmcore.training import Trainer

WORDS, HIDDEN, LAYERS = 1000, 256, 2
TOKENS = {1: 200, 32: 60}  # written in a round, by texts side by side
RE_READ_TOKENS = 64  # its cost grows with the square
ROUNDS = 15
Writer = Callable[[int, int], None]  # (texts side by side, tokens of each)

RE_READING, CARRIED, STEP, ONNX = (
    "re-reading the text", "nn.LSTM, state carried", "the library's step", "onnxruntime",
)  # fmt: skip
GREEDY, DRAWN = "generate, the likeliest", "generate, drawn"


def main() -> None:
    """Print what each writes in a second, and the ratios that are to be reached."""
    torch.set_num_threads(1)
    lm = untrained()
    writers: dict[str, Writer] = {
        RE_READING: partial(re_reading, lm),
        CARRIED: partial(carried, lm),
        STEP: partial(stepping, lm),
    }
    try:
        writers[ONNX] = onnx_writer(lm)
    except (ImportError, LSTMError):
        sys.stderr.write("without onnxruntime: pip install onnx onnxruntime\n")
    alone: dict[str, Writer] = {
        GREEDY: lambda _, count: writing(lm, count, temperature=0),
        DRAWN: lambda _, count: writing(lm, count, temperature=1),
    }
    report(1, writers | alone)
    report(32, writers)
    first_token()


def report(batch: int, writers: dict[str, Writer]) -> None:
    """Measure in turns and print."""
    counts = {
        name: min(TOKENS[batch], RE_READ_TOKENS) if name == RE_READING else TOKENS[batch]
        for name in writers
    }
    rivals = {name: partial(write, batch, counts[name]) for name, write in writers.items()}
    seconds = take_turns(rivals, ROUNDS)
    for name, found in seconds.items():  # of a token from here on
        seconds[name] = [each / (counts[name] * batch) for each in found]
    table = Table(f"writing, {batch} at a time")
    for name, found in seconds.items():
        table.add(name, f"{1 / statistics.median(found):,.0f} tokens/s")
    table.judge("step / nn.LSTM", times_as_fast(seconds, STEP, CARRIED), least=1)
    if ONNX in seconds and batch == 1:
        table.judge("time of a step / onnxruntime", times_as_fast(seconds, ONNX, STEP), most=1.5)
        for name in (GREEDY, DRAWN):
            ratio = times_as_fast(seconds, ONNX, name)
            table.add(f"time of {name} / onnxruntime", f"{ratio:.2f}x")
    elif ONNX in seconds:
        ratio = times_as_fast(seconds, ONNX, STEP)
        table.add("time of a step / onnxruntime", f"{ratio:.2f}x")
    table.print()


def first_token() -> None:
    """From the call to the first token, by a model nobody has asked before."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        training().write_best(folder)
        for _ in range(ROUNDS):
            fresh = load_model(folder)
            began = time.process_time()
            generate(fresh, "w1 w2 w3", Sampling(max_tokens=1, temperature=0))
            found.append(1000 * (time.process_time() - began))
    table = Table("a loaded model")
    table.judge("first token", statistics.median(found), most=5, unit=" ms")
    table.print()


def training() -> Trainer:
    """A training of that size before its first step."""
    words = Corpus("text", (" ".join(f"w{number}" for number in range(WORDS)),))
    model = {"embed_dim": HIDDEN, "hidden_dim": HIDDEN, "layers": LAYERS, "tie_weights": False}
    config = resolve_config({"preset": "word", "model": model}, summarize(words))
    return Trainer.start(config, words, threads=1)


def untrained() -> LanguageModel:
    """A model that never ends a text."""
    lm = training().language_model
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


def writing(lm: LanguageModel, count: int, temperature: float) -> None:
    """Everything: prompt, choice, log probabilities, text."""
    written = generate(lm, "w1", Sampling(max_tokens=count, temperature=temperature))
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
