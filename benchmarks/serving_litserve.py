"""A model's next words as LitServe's documentation serves a model; see `benchmarks.serving`.

    python -m benchmarks.serving_litserve MODEL_FOLDER PORT BATCH

Runs in an environment of its own, with the project's packages behind.
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.append(os.environ["LSTMQ_SITE_PACKAGES"])

import litserve as ls
import torch

from lstmcore.config import Sampling
from lstmcore.sampling import generate, load_model
from lstmcore.together import generate_many


class NextWord(ls.LitAPI):  # type: ignore[misc]
    """Answers with the same prediction that the service gives."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        torch.set_num_threads(1)
        self.model = load_model(Path(sys.argv[1]))
        self.sampling = Sampling(max_tokens=1, temperature=0)

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return request["prompt"]

    def predict(self, prompt: Any) -> Any:
        if isinstance(prompt, list):
            return generate_many(self.model, prompt, [self.sampling] * len(prompt))
        return generate(self.model, prompt, self.sampling)

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    batch = int(sys.argv[3])
    options = {"max_batch_size": batch, "batch_timeout": 0.002} if batch > 1 else {}
    server = ls.LitServer(NextWord(**options), accelerator="cpu", workers_per_device=1)
    server.run(
        port=int(sys.argv[2]), host="127.0.0.1", log_level="error", generate_client_file=False
    )
