"""`/webhooks`: addresses that are told when a job ends, signed as Standard Webhooks says."""

from typing import Literal

from flask import Blueprint, Response

from web.api.parsing import Body, PageQuery, idempotency_key, read_body, read_query
from web.api.serialize import respond_json
from web.api.shapes import EXAMPLE_TIME, ROOT, PageAnswer, Time, iso_time, page_of, some_time
from web.auth import current_backend, current_owner
from web.operation import Answer, about, describes
from web.roles import needs
from worker import webhooks as contract

webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")

WEBHOOK_ID = "hook-1b2c3d4e5f60718293a4"


class WebhookBody(Body):
    """An address to tell."""

    url: str = about("Where to send it: http or https.", "https://example.com/jobs")


class WebhookAnswer(Answer):
    """A webhook without its secret."""

    id: str = about("Its id.", WEBHOOK_ID)
    object: Literal["webhook"] = about("What this is.", "webhook", "webhook")
    url: str = about("Where it sends.", "https://example.com/jobs")
    created_at: Time = about("When it was made.", EXAMPLE_TIME)

    @classmethod
    def of(cls, webhook: contract.Webhook) -> "WebhookAnswer":
        """A webhook as it is kept."""
        return cls(id=webhook.id, url=webhook.url, created_at=some_time(webhook.created_at))


class NewWebhookAnswer(WebhookAnswer):
    """A webhook that was just made."""

    secret: str | None = about(
        "What messages are signed with, shown this once; null: an earlier request made it.",
        "whsec_c2VjcmV0",
    )


class DeliveryAnswer(Answer):
    """One message."""

    id: str = about("Its id, the same in every attempt.", "msg-1b2c3d4e5f60718293a4")
    object: Literal["delivery"] = about("What this is.", "delivery", "delivery")
    type: str = about("What it tells.", "fine_tuning.job.succeeded")
    state: Literal["waiting", "delivered", "failed"] = about("Where it is.", "delivered")
    attempts: int = about("How often it was tried.", 1)
    next_attempt_at: Time | None = about("When it is tried next.", None)
    delivered_at: Time | None = about("When it was taken.", EXAMPLE_TIME)
    problem: str | None = about("What the last attempt failed with.", None)
    created_at: Time = about("When it was written.", EXAMPLE_TIME)

    @classmethod
    def of(cls, delivery: contract.Delivery) -> "DeliveryAnswer":
        """A message as it is kept."""
        return cls(
            id=delivery.id,
            type=delivery.type,
            state=delivery.state,
            attempts=delivery.attempts,
            next_attempt_at=iso_time(delivery.due_at),
            delivered_at=iso_time(delivery.delivered_at),
            problem=delivery.problem,
            created_at=some_time(delivery.created_at),
        )


@webhooks.post("")
@describes(answers={201: NewWebhookAnswer}, body=WebhookBody, headers=("Idempotency-Key",))
def create() -> Response:
    """Have an address told of every job's end; `secret` in the answer is shown this once."""
    made, secret = contract.create(
        current_backend(), current_owner(), read_body(WebhookBody).url, idempotency_key()
    )
    answer = NewWebhookAnswer(**WebhookAnswer.of(made).model_dump(), secret=secret)
    return respond_json(answer, 201, {"Location": f"{ROOT}/webhooks/{made.id}"})


@webhooks.get("")
@describes(answers={200: PageAnswer[WebhookAnswer]}, query=PageQuery)
def list_all() -> Response:
    """The owner's webhooks, newest first."""
    query = read_query(PageQuery)
    page = contract.list_page(
        current_backend(), current_owner(), limit=query.limit, after=query.after
    )
    return respond_json(page_of(page, WebhookAnswer.of))


@webhooks.get("/<identifier>")
@describes(answers={200: WebhookAnswer})
def get(identifier: str) -> Response:
    """One webhook."""
    webhook = contract.get(current_backend(), current_owner(), identifier)
    return respond_json(WebhookAnswer.of(webhook))


@webhooks.delete("/<identifier>")
@describes(answers={204: None})
def delete(identifier: str) -> Response:
    """Remove a webhook and what waits for it."""
    contract.delete(current_backend(), current_owner(), identifier)
    return Response(status=204)


@webhooks.post("/<identifier>/test")
@needs("member")
@describes(answers={202: DeliveryAnswer})
def test(identifier: str) -> Response:
    """Send a `webhook.test`, to see whether it arrives."""
    made = contract.test(current_backend(), current_owner(), identifier)
    return respond_json(DeliveryAnswer.of(made), 202)


@webhooks.get("/<identifier>/deliveries")
@describes(answers={200: PageAnswer[DeliveryAnswer]}, query=PageQuery)
def list_deliveries(identifier: str) -> Response:
    """What it was told and will be told, newest first, with what went wrong."""
    query = read_query(PageQuery)
    page = contract.deliveries(
        current_backend(), current_owner(), identifier, limit=query.limit, after=query.after
    )
    return respond_json(page_of(page, DeliveryAnswer.of))
