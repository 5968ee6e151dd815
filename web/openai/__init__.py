"""What OpenAI's clients ask for, at `/v1`: a thin adapter over the functions the native API uses.

A file is a dataset, a fine-tuning job a training, a completion a prediction; only names, shapes and
errors are OpenAI's.
"""

from flask import Blueprint

from web.openai.chat import chat
from web.openai.completions import completions
from web.openai.files import files
from web.openai.jobs import jobs
from web.openai.models import models

openai = Blueprint("openai", __name__, url_prefix="/v1")
for resource in (files, jobs, models, completions, chat):
    openai.register_blueprint(resource)
