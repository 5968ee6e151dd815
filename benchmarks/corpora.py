"""The texts that benchmarks read, from the folder that `LSTMQ_CORPORA` names.

`tinyshakespeare/input.txt` is the text of karpathy/char-rnn, `wikitext-2/wiki.train.tokens` and its
`valid` and `test` are those of Merity et al. 2016, https://arxiv.org/abs/1609.07843.
"""

import os
import sys
from pathlib import Path


def read(name: str) -> str:
    """A text by its path in the folder; ends the program when it is not there."""
    folder = os.environ.get("LSTMQ_CORPORA")
    if not folder:
        sys.exit("Set LSTMQ_CORPORA to the folder of the corpora (benchmarks/corpora.py).")
    path = Path(folder) / name
    if not path.is_file():
        sys.exit(f"There is no file {path}.")
    return path.read_text("utf-8")
