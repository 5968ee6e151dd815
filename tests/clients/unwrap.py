"""What a receiver of webhooks does with OpenAI's client: check who signed a message, and read it.

Run by each version's own interpreter: `python unwrap.py FILE`, the file one that
`test_clients.py` writes.
"""

import json
import sys
from pathlib import Path

import openai
from openai import OpenAI

FINE_TUNING = "fine_tuning.job."


def main(file: Path) -> None:
    """Every message is accepted; changed, signed otherwise or old, none is."""
    kept = json.loads(file.read_text())
    client = OpenAI(api_key="not-needed-here", webhook_secret=kept["secret"])
    for message in kept["messages"]:
        body, headers = message["body"], message["headers"]
        event = client.webhooks.unwrap(body, headers)
        said = json.loads(body)
        assert (event.id, event.type) == (said["id"], said["type"])
        assert event.object == "event"
        assert event.created_at == said["created_at"]
        assert (
            client.webhooks.unwrap(body.encode(), headers, secret=kept["secret"]).id == said["id"]
        )
        if event.type.startswith(FINE_TUNING):
            assert event.data.id == said["data"]["id"]
            assert event.data.id.startswith("ftjob-")
            assert type(event).__name__.startswith("FineTuningJob"), type(event)
        refused(client, body + " ", headers)
        refused(client, body, headers | {"webhook-timestamp": str(said["created_at"] - 3600)})
        refused(client, body, headers | {"webhook-id": "msg-another"})
        refused(client, body, headers, secret="whsec_" + "A" * 44)
    print(f"openai {openai.__version__}: all accepted")  # noqa: T201


def refused(client: OpenAI, body: str, headers: dict, **more: str) -> None:
    """This message is none of ours."""
    try:
        client.webhooks.unwrap(body, headers, **more)
    except (openai.InvalidWebhookSignatureError, ValueError):
        return
    raise AssertionError("this should be refused")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
