"""Models in addresses: by an id or a name, which may hold slashes."""

from werkzeug.routing import PathConverter, ValidationError

from worker.naming import ROUTES


class ModelReference(PathConverter):
    """What stands for a model. No name ends as the routes below a model do."""

    def to_python(self, value: str) -> str:
        """The reference. Raises ValidationError: then another route is meant."""
        if value.endswith(ROUTES):
            raise ValidationError
        return value
