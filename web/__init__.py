"""The HTTP side: a form, pages and an API, all of them clients of `worker`'s contract.

`flask --app web run` and `gunicorn 'web:create_app()'` find the factory here. It is loaded when
first called, so that `import web` costs nothing; no part of the package ever loads torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from worker.settings import Settings

__all__ = ["create_app"]


def create_app(settings: "Settings | None" = None) -> "Flask":
    """The WSGI application. Starts no process; None reads the settings from the environment."""
    from web.app import create_app as build  # noqa: PLC0415 - importing `web` loads nothing

    return build(settings)
