"""The pages: one module for each place a person can go, and the words they all use."""

from web.pages import (
    compare,
    docs,
    job_list,
    jobs,
    models,
    preview,
    sign_in,
    start,
    sweeps,
    wording,
    workers,
)
from web.pages.blueprint import pages

__all__ = [
    "compare",
    "docs",
    "job_list",
    "jobs",
    "models",
    "pages",
    "preview",
    "sign_in",
    "start",
    "sweeps",
    "wording",
    "workers",
]

wording.install(pages)
