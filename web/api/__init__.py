"""The native API, `/api/v1`: one module a resource, each with its own small blueprint."""

from flask import Blueprint

from web.api.audit import audit
from web.api.datasets import datasets
from web.api.events import events
from web.api.insights import insights
from web.api.jobs import jobs
from web.api.keys import keys
from web.api.models import models
from web.api.predict import predict
from web.api.reference import reference
from web.api.status import status
from web.api.sweeps import sweeps
from web.api.webhooks import webhooks
from web.api.workers import workers

api = Blueprint("api", __name__, url_prefix="/api/v1")
for resource in (
    datasets,
    jobs,
    events,
    models,
    predict,
    insights,
    sweeps,
    workers,
    status,
    webhooks,
    keys,
    audit,
    reference,
):
    api.register_blueprint(resource)
