"""A small GPT in the configuration that nanoGPT publishes for training on a CPU.

The rival of `benchmarks.quality_characters`: 4 layers, 4 heads, 128 numbers a token, 64 characters
of context, batches of 12, 2,000 steps, AdamW at 1e-3 falling to 1e-4 along a cosine after 100 steps
of warm-up, no dropout (README and config/train_shakespeare_char.py of
https://github.com/karpathy/nanoGPT). Written anew here, as compactly as it goes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LAYERS, HEADS, WIDTH, CONTEXT = 4, 4, 128, 64
BATCH, STEPS, WARMUP = 12, 2000, 100
RATE, LAST_RATE, DECAY, BETAS, CLIP = 1e-3, 1e-4, 0.1, (0.9, 0.99), 1.0


class Block(nn.Module):
    """Attention, then a small network, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_network = (nn.LayerNorm(WIDTH, bias=False) for _ in "ab")
        self.attention = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.joined = nn.Linear(WIDTH, WIDTH, bias=False)
        self.network = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH, bias=False),
            nn.GELU(),
            nn.Linear(4 * WIDTH, WIDTH, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """From and to (B, T, WIDTH)."""
        batch, length, _ = x.shape
        parts = self.attention(self.before_attention(x)).split(WIDTH, dim=2)
        q, k, v = (p.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2) for p in parts)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.joined(seen.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.network(self.before_network(x))


class SmallGPT(nn.Module):
    """Next-character scores (B, T, V) of characters (B, T)."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.last = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                out = name.endswith(("joined.weight", "network.2.weight"))
                nn.init.normal_(parameter, 0.0, 0.02 / (math.sqrt(2 * LAYERS) if out else 1))

    def forward(self, ids: Tensor) -> Tensor:
        """The output layer is the embedding, as there."""
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        return functional.linear(self.last(self.blocks(x)), self.tokens.weight)


def train(ids: Tensor, vocabulary: int, seed: int) -> SmallGPT:
    """Learn from characters (N,)."""
    torch.manual_seed(seed)
    model = SmallGPT(vocabulary)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, fused=True)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        starts = torch.randint(len(ids) - CONTEXT, (BATCH,)).tolist()
        inputs = torch.stack([ids[at : at + CONTEXT] for at in starts])  # (B, T)
        targets = torch.stack([ids[at + 1 : at + 1 + CONTEXT] for at in starts])
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
    return model


def rate(step: int) -> float:
    """The learning rate of a step, from 0."""
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    done = (step - WARMUP) / (STEPS - WARMUP)
    return LAST_RATE + 0.5 * (1 + math.cos(math.pi * done)) * (RATE - LAST_RATE)


@torch.inference_mode()
def held_out_loss(model: SmallGPT, ids: Tensor) -> float:
    """Nats a character over windows of its context, one after the other, as it is judged there."""
    windows = (len(ids) - 1) // CONTEXT
    inputs = ids[: windows * CONTEXT].view(windows, CONTEXT)
    targets = ids[1 : windows * CONTEXT + 1].view(windows, CONTEXT)
    total = 0.0
    for some, wanted in zip(inputs.split(64), targets.split(64), strict=True):
        scores = model(some).flatten(0, 1)
        total += functional.cross_entropy(scores, wanted.flatten(), reduction="sum").item()
    return total / (windows * CONTEXT)
