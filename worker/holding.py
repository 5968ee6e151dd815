"""Says once a second which questions lie with this predictor, for as long as the process lives.

A question that is answered sooner costs nothing. A thread of its own: the predictor may be loading
a model, or be in the middle of a long step.
"""

import threading
import time
import weakref
from contextlib import suppress

from redis import RedisError

from worker.asks import Asks
from worker.desk import Desk

SECONDS = 1.0


def keep_telling(asks: Asks, desk: Desk) -> None:
    """Tell it until the desk is no more."""
    watched = weakref.ref(desk)
    threading.Thread(target=_tell, args=(asks, watched), name="holding", daemon=True).start()


def _tell(asks: Asks, desk: "weakref.ref[Desk]") -> None:
    while (found := desk()) is not None:
        held = found.held()
        del found
        if held:
            with suppress(RedisError):  # whoever asked is told by Redis being away
                asks.hold(held)
        time.sleep(SECONDS)
