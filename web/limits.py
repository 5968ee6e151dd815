"""How much one caller may ask: requests a minute of each key, wrong keys a minute of each address.

Counted in this process and decided at once, so that no request waits for it. Once a second, and
only while there are requests, processes tell each other their counts over Redis in one message;
without Redis each process keeps the limit by itself. Several processes together may let through
what arrives within that second.
"""

import ipaddress
import logging
import math
import threading
import time
from dataclasses import dataclass

from flask import Flask, Response, g, request

from web.auth import current_caller, throttle_failures
from worker.backend import Backend
from worker.errors import QuotaExceeded
from worker.live import Live

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60
SHARE_SECONDS = 1.0
MOST_NAMES = 50_000
EVERYBODY_ELSE = "everybody else"  # whom there is no room to count apart
IPV6_NETWORK = 64  # one subscriber has so many bits of addresses


@dataclass
class Count:
    """Requests of one name in the present minute and the one before."""

    minute: int
    mine: int = 0
    others: int = 0
    told: int = 0  # how many of mine the other processes know
    before: int = 0

    def turn(self, minute: int) -> None:
        """Move on to another minute."""
        if minute != self.minute:
            self.before = self.mine + self.others if minute == self.minute + 1 else 0
            self.minute, self.mine, self.others, self.told = minute, 0, 0, 0


@dataclass(frozen=True)
class Allowance:
    """What a name may still ask now."""

    most: int
    left: int
    retry_seconds: int  # until one more is allowed; 0: now


class Limiter:
    """Counts in sliding minutes: the minute before fades out as the present one fills."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._counts: dict[str, Count] = {}
        self._lock = threading.Lock()
        self._shared_at = float("-inf")
        self._sharing = False

    def take(self, name: str, most: int) -> Allowance:
        """Count one more of a name, unless it is over its limit."""
        return self._look(name, most, 1)

    def look(self, name: str, most: int) -> Allowance:
        """What a name may still ask, without counting anything."""
        return self._look(name, most, 0)

    def _look(self, name: str, most: int, add: int) -> Allowance:
        now = time.time()
        minute, elapsed = int(now // WINDOW_SECONDS), now % WINDOW_SECONDS
        with self._lock:
            count = self._count(name, minute)
            total = count.mine + count.others
            used = total + count.before * (1 - elapsed / WINDOW_SECONDS)
            if used + 1 > most:
                return Allowance(most, 0, _seconds_until_one_fits(count, total, most, elapsed))
            count.mine += add
            due = add and not self._sharing and time.monotonic() - self._shared_at > SHARE_SECONDS
            if due:
                self._sharing, self._shared_at = True, time.monotonic()
        if due:
            threading.Thread(target=self._share, name="share counts", daemon=True).start()
        return Allowance(most, int(most - used - add), 0)

    def _count(self, name: str, minute: int) -> Count:
        count = self._counts.get(name)
        if count is None:
            if len(self._counts) >= MOST_NAMES:
                fresh = {n: c for n, c in self._counts.items() if c.minute >= minute - 1}
                self._counts = fresh
                if len(fresh) >= MOST_NAMES:
                    name = EVERYBODY_ELSE
            count = self._counts.setdefault(name, Count(minute))
        count.turn(minute)
        return count

    def _share(self) -> None:
        """Tell the other processes what was counted here, and learn what they counted."""
        try:
            with self._lock:
                minute = int(time.time() // WINDOW_SECONDS)
                untold = {
                    name: count.mine - count.told
                    for name, count in self._counts.items()
                    if count.minute == minute and count.mine
                }
            totals = self._live.share(minute, untold) if untold else {}
            with self._lock:
                for name, total in totals.items():
                    count = self._counts.get(name)
                    if count is not None and count.minute == minute:
                        count.told += untold[name]
                        count.others = max(count.others, total - count.told)
        except Exception as error:  # noqa: BLE001 - the client is no client once it is closed
            # Mostly the process ends just now; the limit of this process holds in any case.
            log.info("counts were not shared: %r", error)
        finally:
            self._sharing = False


def limit_requests(app: Flask, backend: Backend) -> None:
    """Refuse with 429 what is over a limit; the answers say how much is left."""
    limiter = Limiter(backend.live)
    most = backend.settings.max_requests_per_minute
    throttle_failures(app, WrongKeys(limiter, backend.settings.max_wrong_keys_per_minute))

    @app.before_request
    def count() -> None:
        if not most or "caller" not in g or not current_caller().key:
            return
        g.allowance = limiter.take(current_caller().key, most)
        if g.allowance.retry_seconds:
            raise QuotaExceeded(
                f"this key may ask {most:,} times a minute; wait a moment",
                g.allowance.retry_seconds,
            )

    @app.after_request
    def say(response: Response) -> Response:
        allowance: Allowance | None = g.get("allowance")
        if allowance is not None:
            response.headers["RateLimit-Policy"] = f'"requests";q={most};w={WINDOW_SECONDS}'
            left, wait = allowance.left, allowance.retry_seconds or WINDOW_SECONDS
            response.headers["RateLimit"] = f'"requests";r={left};t={wait}'
        return response


class WrongKeys:
    """Guessing keys is slow from any one address."""

    def __init__(self, limiter: Limiter, most: int) -> None:
        self._limiter, self._most = limiter, most

    def check(self) -> None:
        """Raise QuotaExceeded after too many wrong keys from the address of this request."""
        if not self._most:
            return
        allowance = self._limiter.look(_network(request.remote_addr), self._most)
        if allowance.retry_seconds:
            raise QuotaExceeded(
                "too many wrong keys came from your address; wait a moment", allowance.retry_seconds
            )

    def note(self) -> None:
        """Count one."""
        if self._most:
            self._limiter.take(_network(request.remote_addr), self._most)


def _seconds_until_one_fits(count: Count, total: int, most: int, elapsed: float) -> int:
    left = WINDOW_SECONDS - elapsed
    if total + 1 > most:
        # This minute is full: in the next one it fades out until there is room for one.
        return math.ceil(left + WINDOW_SECONDS * max(0.0, 1 - (most - 1) / total))
    return max(1, math.ceil(left - WINDOW_SECONDS * (most - 1 - total) / count.before))


def _network(address: str | None) -> str:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "address unknown"
    bits = IPV6_NETWORK if found.version == 6 else found.max_prefixlen  # noqa: PLR2004
    return f"address {ipaddress.ip_network((found, bits), strict=False)}"
