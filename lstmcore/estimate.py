"""What a training will take, before it starts: parameters, memory, steps, time. No torch needed."""

from dataclasses import dataclass

from lstmcore.config import TrainConfig
from lstmcore.shapes import count_parameters, rows_at_once, tails

FLOAT_BYTES = 4
FLOPS_PER_SECOND = 60e9  # of one recent core, in matrix products of our sizes
STEP_SECONDS = 0.002  # what a step costs however small the net is
RUNTIME_BYTES = 250 * 1024 * 1024  # torch itself
# multiply and add, forward and twice backward
FLOPS_PER_WEIGHT = 6
SHARE_OF_RARE = 0.15  # of all tokens, roughly
OPTIMIZER_COPIES = {"muon": 2, "adamw": 2, "adam": 2, "sgd": 0}


@dataclass(frozen=True)
class Estimate:
    """Rough, but for the number of parameters, which is exact."""

    parameters: int
    memory_bytes: int  # at the peak of training
    steps: int  # of the optimizer
    seconds: float  # on `threads` cores


def estimate(
    config: TrainConfig,
    vocabulary: int,
    tokens: int,
    *,
    documents: int | None = None,
    threads: int = 1,
    flops_per_second: float = FLOPS_PER_SECOND,
) -> Estimate:
    """Cost of a training on `tokens` tokens.

    `vocabulary` is how many tokens the model covers; count one token more for the end of each
    line where lines are learned. `documents` is the number of pairs (or, for
    the tutorial, of lines); leave it out for running text, which is cut into steps by length.
    """
    training, model = config.training, config.model
    trained = max(1, round(tokens * (1 - training.validation_fraction)))
    if documents is None:
        steps_an_epoch = -(-trained // (training.batch_size * training.bptt))
        step_tokens = min(trained, training.batch_size * training.bptt)
    else:
        rows = max(1, round(documents * (1 - training.validation_fraction)))
        steps_an_epoch = -(-rows // training.batch_size)
        step_tokens = max(1, min(training.batch_size, rows) * -(-tokens // max(1, documents)))
    steps = steps_an_epoch * training.epochs
    parameters = count_parameters(model, vocabulary)
    # looking up an embedding costs nothing; used as the output layer too, it is multiplied
    multiplied = parameters - (0 if model.tie_weights else vocabulary * model.embed_dim)
    if model.softmax == "adaptive":  # rare tokens are computed where they occur
        rare = sum(
            tail.tokens * (model.embed_dim if model.tie_weights else tail.width)
            for tail in tails(model.hidden_dim, vocabulary)
        )
        multiplied -= round(rare * (1 - SHARE_OF_RARE))
    flops = float(FLOPS_PER_WEIGHT) * multiplied * trained * training.epochs
    seconds = flops / (flops_per_second * threads) + steps * STEP_SECONDS
    if training.max_seconds is not None:
        seconds = min(seconds, training.max_seconds)
    return Estimate(
        parameters=parameters,
        memory_bytes=_memory_bytes(config, parameters, vocabulary, tokens, step_tokens),
        steps=steps,
        seconds=round(seconds, 1),
    )


def _memory_bytes(
    config: TrainConfig, parameters: int, vocabulary: int, tokens: int, step_tokens: int
) -> int:
    """Weights, gradients, optimizer and the best weights so far; activations; logits; the ids."""
    model = config.model
    copies = 3 + OPTIMIZER_COPIES[config.training.optimizer]
    # embedding, and for each layer gates, cells and hidden states, forward and backward
    activations = step_tokens * (model.embed_dim + model.layers * model.hidden_dim * 8) * 2
    logits = min(step_tokens, rows_at_once(vocabulary)) * vocabulary
    values = parameters * copies + activations + logits + tokens
    return RUNTIME_BYTES + FLOAT_BYTES * values
