"""Sends what waits in the outbox of webhooks, from the process of the sweep.

To claim a message is to put off its next attempt, so any number of these may run, and one that is
killed in the middle costs a delay. Nobody can use a webhook to reach into a private network: the
name is resolved here, every address must be public, and the connection goes to the very address
that was checked; redirects are not followed.
"""

import base64
import hashlib
import hmac
import ipaddress
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import sqlalchemy as sa

from worker import database
from worker.backend import Backend
from worker.database import now
from worker.errors import Unavailable
from worker.records import Json
from worker.webhooks import OUTBOX, SECRET

log = logging.getLogger(__name__)

# Seconds until the next attempt, by how many there were; after the last the message is given up.
BACK_OFF = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000)
CLAIM_SECONDS = 60.0
TIMEOUT_SECONDS = 5.0
SIDE_BY_SIDE = 8
PAUSE_SECONDS = 1.0
LONGEST_PROBLEM = 300
# Public by their number, but they lead to an IPv4 address that may not be.
TUNNELS = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "2002::/16", "2001::/32")]


class Refused(Exception):
    """An address that must not be asked."""


@dataclass(frozen=True)
class Message:
    """A message that this process has claimed."""

    id: str
    url: str
    secret: str
    body: str
    attempt: int  # from 1


def signature(secret: str, identifier: str, at: int, body: str) -> str:
    """What Standard Webhooks signs a message with."""
    key = base64.b64decode(secret.removeprefix(SECRET))
    signed = f"{identifier}.{at}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def send_due(backend: Backend) -> int:
    """Send every message that is due, several side by side; how many were tried."""
    messages = _claim(backend)
    if messages:
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            list(pool.map(lambda message: _deliver(backend, message), messages))
    return len(messages)


def run_for_ever(backend: Backend, stop: threading.Event) -> None:
    """Send what is due until told to stop."""
    while not stop.wait(PAUSE_SECONDS):
        try:
            send_due(backend)
        except Unavailable as error:
            log.warning("%s", error)
        except Exception:
            # Whatever one message does to it, the others are sent.
            log.exception("webhooks could not be sent")


def resolve(host: str, port: int, *, private: bool) -> str:
    """An address of a host. Raises Refused when one of them is private, unless that is allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host} has no address: {error}") from error
    addresses = [str(item[4][0]).partition("%")[0] for item in found]
    refused = [address for address in addresses if not (private or _is_public(address))]
    if refused or not addresses:
        raise Refused(f"{host} is in a private network ({', '.join(refused)})")
    return addresses[0]


def post(message: Message, *, private: bool) -> None:
    """Send a message once. Raises Refused, httpx.HTTPError or OSError when it did not arrive."""
    parts = urlsplit(message.url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = resolve(host, port, private=private)
    at = int(time.time())
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "lstmq-webhooks",
        "webhook-id": message.id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature(message.secret, message.id, at, message.body),
    }
    url = httpx.URL(message.url).copy_with(host=address, port=port, fragment=None)
    client = httpx.Client(trust_env=False, follow_redirects=False, timeout=TIMEOUT_SECONDS)
    # What is answered is not read: only whether it was taken.
    with (
        client,
        client.stream(
            "POST",
            url,
            content=message.body.encode(),
            headers=headers,
            # The certificate is checked for the name, whatever address is connected to.
            extensions={"sni_hostname": host} if secure else {},
        ) as answer,
    ):
        if not answer.is_success:
            raise Refused(f"it answered {answer.status_code}")


def _claim(backend: Backend) -> list[Message]:
    hooks = database.webhooks
    due = (
        sa.select(OUTBOX, hooks.c.url, hooks.c.secret)
        .join(hooks, hooks.c.id == OUTBOX.c.webhook)
        .where(OUTBOX.c.due_at <= now())
        .order_by(OUTBOX.c.due_at)
        .limit(SIDE_BY_SIDE)
    )
    with backend.database.reading() as connection:
        rows = connection.execute(due).all()
    claimed = []
    for row in rows:
        this = (OUTBOX.c.id == row.id, OUTBOX.c.attempts == row.attempts, OUTBOX.c.due_at <= now())
        statement = sa.update(OUTBOX).where(*this)
        values = {"attempts": row.attempts + 1, "due_at": now() + CLAIM_SECONDS}
        with backend.database.writing() as connection:
            if connection.execute(statement.values(**values)).rowcount:
                claimed.append(Message(row.id, row.url, row.secret, row.body, row.attempts + 1))
    return claimed


def _deliver(backend: Backend, message: Message) -> None:
    problem = None
    try:
        post(message, private=backend.settings.webhook_private_networks)
    except (Refused, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        problem = (str(error) or type(error).__name__)[:LONGEST_PROBLEM]
    if problem is None:
        values: Json = {"delivered_at": now(), "due_at": None, "problem": None}
    elif message.attempt > len(BACK_OFF):
        words = f"given up after {message.attempt} attempts: {problem}"
        values = {"due_at": None, "problem": words[:LONGEST_PROBLEM]}
    else:
        values = {"due_at": now() + BACK_OFF[message.attempt - 1], "problem": problem}
    still = (OUTBOX.c.id == message.id, OUTBOX.c.attempts == message.attempt)
    with backend.database.writing() as connection:
        connection.execute(sa.update(OUTBOX).where(*still).values(**values))


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is not None:
        found = mapped
    is_tunnel = any(found in network for network in TUNNELS if network.version == found.version)
    return found.is_global and not found.is_multicast and not is_tunnel
