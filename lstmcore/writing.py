"""Text that is being written: token ids become text, never half a character, never past a stop."""

import copy
from collections.abc import Sequence

from lstmcore.tokenizer import Tokenizer

HALF_CHARACTER = "\ufffd"  # what decoding makes of bytes that are not a whole character yet
CONTEXT = 8  # tokens before the first new one that may decide how it is spelled
MOST_DECODED = 3 * CONTEXT


class ArrivingText:
    """Turns ids into pieces of text, one at a time.

    How a token is spelled may depend on the one before it (a space at the start of a text is
    dropped), so each is decoded together with those before it and the difference is taken.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        """Take the ids that come before, such as the prompt's; they are not part of the text."""
        self._tokenizer = tokenizer
        self._ids = list(before[-CONTEXT:])
        self._known = self._tokenizer.decode(self._ids)

    def copy(self) -> "ArrivingText":
        """One that goes on from here on its own."""
        twin = copy.copy(self)
        twin._ids = list(self._ids)
        return twin

    def push(self, token: int) -> str:
        """The text this token adds; empty while a character is incomplete."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        if text.endswith(HALF_CHARACTER):
            return ""
        return self._take(text)

    def end(self) -> str:
        """What is left when no token follows."""
        return self._take(self._tokenizer.decode(self._ids))

    def _take(self, text: str) -> str:
        piece = text[len(self._known) :]
        self._known = text
        if len(self._ids) > MOST_DECODED:  # so that a long text does not take longer and longer
            self._ids = self._ids[-CONTEXT:]
            self._known = self._tokenizer.decode(self._ids)
        return piece


class Completion:
    """One text being written: its tokens so far, its text, and whether it has ended."""

    def __init__(self, arriving: ArrivingText, stops: Sequence[str]) -> None:
        """Start with nothing written; `stops` end the text and are not part of it."""
        self._arriving = arriving
        self._stops = [stop for stop in stops if stop]
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._told = 0
        self.text = ""
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.offsets: list[int] = []  # where in the text each token begins
        self.alternatives: list[tuple[list[int], list[float]]] = []  # likeliest tokens instead
        self.finish_reason: str | None = None

    def copy(self) -> "Completion":
        """One that goes on from here on its own."""
        twin = copy.copy(self)
        twin._arriving = self._arriving.copy()
        twin.tokens, twin.logprobs = list(self.tokens), list(self.logprobs)
        twin.offsets, twin.alternatives = list(self.offsets), list(self.alternatives)
        return twin

    def add(self, token: int, logprob: float) -> None:
        """Append a token, unless the text has ended."""
        if self.finish_reason is not None:
            return
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.offsets.append(len(self.text))
        self._append(self._arriving.push(token))

    def finish(self, reason: str) -> None:
        """End the text, unless it has ended already."""
        if self.finish_reason is None:
            self._append(self._arriving.end())
            self.finish_reason = self.finish_reason or reason

    def untold(self) -> str:
        """New text that is certain: the start of a stop is held back until it is decided."""
        certain = len(self.text)
        if self.finish_reason is None:
            certain -= self._possible_stop()
        piece = self.text[self._told : certain]
        self._told = max(self._told, certain)
        return piece

    def _append(self, piece: str) -> None:
        searched = max(0, len(self.text) - self._longest + 1)
        self.text += piece
        found = [at for stop in self._stops if (at := self.text.find(stop, searched)) >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.finish_reason = "stop"

    def _possible_stop(self) -> int:
        """Length of the longest end of the text that a stop begins with."""
        for length in range(min(self._longest - 1, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-length:]) for stop in self._stops):
                return length
        return 0
