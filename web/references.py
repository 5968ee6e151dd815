"""Models and jobs in addresses: a model by its id or a name, which may hold slashes."""

from werkzeug.routing import BaseConverter, PathConverter

from worker.naming import ROUTES


class ModelReference(PathConverter):
    """What stands for a model. No name ends as the routes below a model do."""

    regex = PathConverter.regex + "".join(f"(?<!{route})" for route in ROUTES)


class JobReference(BaseConverter):
    """A job's id in a path; not the word that a route of all jobs has in its place."""

    regex = r"(?!cancel$)[^/]+"
