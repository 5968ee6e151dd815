"""The model card: what a person who finds the folder wants to know, as Markdown."""

import math
from collections.abc import Sequence

import torch

from lstmcore.model_record import FORMAT_VERSION, ModelRecord
from lstmcore.progress import HistoryPoint

CURVE_ROWS = 20

LIMITS = {
    "tutorial": "It knows only the words of its lines and answers four words with one.",
    "pairs": "It answers prompts like those it was trained on; to others it still says something.",
    "lines": "It writes lines like those it was trained on, true or not.",
    "text": "It goes on in the manner of its text, true or not.",
}


def model_card(record: ModelRecord, history: Sequence[HistoryPoint], corpus_bytes: int) -> str:
    """Markdown with the data, the settings, the curve, the metrics, versions and limits."""
    config = record.config
    kind = "tutorial" if config.preset == "tutorial" else record.layout
    settings = "\n".join(
        f"| {section}.{name} | {_shown(value)} |"
        for section in ("tokenizer", "model", "training")
        for name, value in getattr(config, section).model_dump(mode="json").items()
    )
    return f"""# LSTM language model, preset `{config.preset}`

{record.parameters:,} parameters, {record.vocabulary_size:,} tokens in the vocabulary.

## Data

| | |
| --- | --- |
| layout | {record.layout} |
| size | {corpus_bytes:,} bytes |
| SHA-256 of layout and text | `{record.corpus_sha256}` |

## Result

These are the weights after step {record.step:,} (epoch {record.epoch:,}). Losses are in nats a
token.

| | |
| --- | --- |
| training loss | {_loss(record.train_loss)} |
| held-out loss | {_loss(record.validation_loss)} |
| held-out perplexity | {_perplexity(record.validation_loss)} |

{_curve(history)}
## Settings

| setting | value |
| --- | --- |
{settings}

The seed is {config.training.seed}: the same text, settings, versions and kind of machine give the
same weights again. Made with torch {torch.__version__}, model format {FORMAT_VERSION}.

## Limits

{LIMITS[kind]} It has no knowledge beyond its training text, repeats the errors and opinions in it,
and may give back passages of it word for word.

## Use

```python
from pathlib import Path
from lstmcore import Sampling, generate, load_model
print(generate(load_model(Path(".")), "your prompt", Sampling())["completions"][0]["text"])
```
"""


def _curve(history: Sequence[HistoryPoint]) -> str:
    if not history:
        return ""
    step = max(1, math.ceil(len(history) / CURVE_ROWS))
    rows = list(history[::-1][::step])[::-1]  # the last one is always there
    lines = "\n".join(
        f"| {point.step:,} | {point.epoch:,} | {_loss(point.train_loss)} "
        f"| {_loss(point.validation_loss)} |"
        for point in rows
    )
    return f"""## Curve

| step | epoch | training loss | held-out loss |
| --- | --- | --- | --- |
{lines}

"""


def _loss(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _perplexity(loss: float | None) -> str:
    return "not measured" if loss is None else f"{perplexity(loss):,.2f}"


def perplexity(loss: float) -> float:
    """exp(loss), kept finite."""
    return math.exp(min(loss, 700.0))


def _shown(value: object) -> str:
    return "off" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
