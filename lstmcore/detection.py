"""Which of the usual encodings a few bytes beyond ASCII are written in.

Each encoding is a crude model of text in it: how much of it falls into which ranges of lead bytes,
and how often such a character follows another one. The encoding whose model finds the bytes
likeliest is meant. A line is enough, where general detectors want a paragraph.
"""

import codecs
import math
from typing import NamedTuple

ASCII_END = 0x80


class Script(NamedTuple):
    """Text in one encoding, as far as telling encodings apart needs it."""

    encoding: str
    classes: tuple[tuple[str, float, int], ...]  # (lead bytes, share of the text, characters in it)
    rest: int  # characters in none of the classes; they share what is left
    runs: float  # chance that such a character follows another one
    singles: str = ""  # bytes beyond ASCII that are a character alone, where others take two


# Lead bytes are written as hexadecimal ranges. Shares are round numbers for ordinary text.
SCRIPTS = (
    Script("gb18030", (("b0-d7", 0.85, 3755), ("a1 a3", 0.13, 100)), 20_000, 0.9),
    Script("big5", (("a4-c6", 0.85, 5400), ("a1", 0.13, 100)), 7_650, 0.9),
    Script(
        "cp932",
        (("82", 0.5, 90), ("83", 0.12, 90), ("81", 0.1, 60), ("88-97", 0.26, 2965)),
        4_000,
        0.9,
        "a1-df",
    ),
    Script(
        "euc_jp",
        (("a4", 0.5, 83), ("a5", 0.12, 86), ("a1", 0.1, 60), ("b0-cf", 0.26, 2965)),
        4_000,
        0.9,
    ),
    Script("cp949", (("b0-c8", 0.94, 1600), ("a1", 0.02, 60)), 15_000, 0.75),
    Script("cp1251", (("e0-ff b8", 0.9, 25), ("c0-df a8", 0.07, 33)), 63, 0.82),
    Script("koi8_r", (("c0-df a3", 0.9, 25), ("e0-ff b3", 0.07, 33)), 63, 0.82),
    Script(
        "cp1252",
        (
            ("e0-e2 e4 e7-eb ed-ef f1 f3 f4 f6 f9-fc df e3 e5 e6 f5 f8", 0.8, 22),
            ("85 91-97 a0 ab bb c4 c9 d6 dc a3 a7 b0 bf a1 80", 0.17, 20),
        ),
        85,
        0.06,
    ),
)


def likely_encodings(sample: bytes) -> list[str]:
    """Encodings that can read the sample, the likeliest first."""
    scores = {
        script.encoding: score
        for script in SCRIPTS
        if _readable(sample, script.encoding)
        and (score := _log_likelihood(sample, script)) > -math.inf
    }
    return sorted(scores, key=scores.__getitem__, reverse=True)


def _readable(sample: bytes, encoding: str) -> bool:
    """Whether all of it is valid; the sample may end inside a character."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _log_likelihood(sample: bytes, script: Script) -> float:
    """Log probability of the bytes beyond ASCII, in nats."""
    table = _by_lead_byte(script)
    single = _bytes_in(script.singles)
    wide = script.encoding not in ("cp1251", "koi8_r", "cp1252")
    going_on, ending = math.log(script.runs), math.log(1 - script.runs)
    total, position, follows = 0.0, 0, False
    while position < len(sample):
        lead = sample[position]
        if lead < ASCII_END:
            # a run ends at a letter, a space or a line's end; between plain bytes nothing is said
            total += ending if follows else 0.0
            follows = False
            position += 1
            continue
        total += table[lead] + (going_on if follows else 0.0)
        follows = True
        position += 2 if wide and lead not in single else 1
    return total


def _by_lead_byte(script: Script) -> list[float]:
    share_left = 1 - sum(share for _, share, _ in script.classes)
    table = [math.log(share_left / script.rest)] * 256
    for leads, share, characters in script.classes:
        for lead in _bytes_in(leads):
            table[lead] = math.log(share / characters)
    return table


def _bytes_in(ranges: str) -> set[int]:
    """`"82 88-97"` as numbers."""
    found: set[int] = set()
    for part in ranges.split():
        first, _, last = part.partition("-")
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return found
