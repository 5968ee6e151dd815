"""Models in addresses: by an id or a name, which may hold slashes."""

from werkzeug.routing import PathConverter

from worker.naming import ROUTES


class ModelReference(PathConverter):
    """What stands for a model. No name ends as the routes below a model do."""

    regex = PathConverter.regex + "".join(f"(?<!{route})" for route in ROUTES)
