"""What `fine_tuning.jobs.create` sends, and the training it asks for.

OpenAI's hyperparameters are a few of our settings under other names; all of ours go through
`extra_body={"config": {…}}`.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from lstmcore.config import LARGEST_SEED, resolve_config
from web.api.parsing import Body, inside
from web.auth import current_backend, current_owner
from web.openai.errors import refuse
from web.openai.ids import BASE_MODELS
from web.openai.models import find
from web.operation import about
from worker import datasets
from worker.records import Dataset, Json
from worker.submissions import continued

Auto = Literal["auto"]
METHOD_PLACE = "method.supervised.hyperparameters"


def _plain_key(key: str) -> str:
    if not key.isprintable() or '"' in key or "\\" in key:
        raise ValueError("a key has printable characters only, no quotes and no backslashes")
    return key


Key = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_plain_key)]
Metadata = Annotated[
    dict[Key, Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)
]


class Hyperparameters(Body):
    """How the network learns, in OpenAI's words."""

    n_epochs: Auto | Annotated[int, Field(ge=1, le=100_000)] = about(
        "Times the text is read.", 20, "auto"
    )
    batch_size: Auto | Annotated[int, Field(ge=1, le=4096)] = about(
        "Streams or pairs read side by side.", 16, "auto"
    )
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=1000)] = about(
        "Times the learning rate that would be chosen without it.", 1.0, "auto"
    )


class Supervised(Body):
    """The only method there is."""

    hyperparameters: Hyperparameters | None = Field(None, description="How to learn.")


class Method(Body):
    """How to learn: from the texts as they are."""

    type: Literal["supervised"] = about("The only one.", "supervised")
    supervised: Supervised | None = Field(None, description="Its settings.")


class CreateBody(Body):
    """A training on an uploaded file."""

    model: str = about("A base model, or one of yours to go on from.", "lstm-word")
    training_file: str = about("The id of an uploaded file.", "file-3f9c2b7a1e5d4c8b9a60")
    suffix: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = about(
        "Becomes the model's name.", "lesson", None
    )
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] | None = about(
        "Start of all random numbers.", 1, None
    )
    method: Method | None = Field(None, description="The newer place of hyperparameters.")
    hyperparameters: Hyperparameters | None = Field(None, description="The older place of them.")
    metadata: Metadata | None = about("Your own keys and values.", {"course": "b"}, None)
    validation_file: str | None = about(
        "Not supported: a part of the file is held out.", None, None
    )
    integrations: list[Any] | None = about("Not supported.", [], None)
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Any of our settings, as `/api/v1/jobs` takes them.",
        json_schema_extra={"x-asked": "TrainConfig"},
    )

    def check_supported(self) -> None:
        """Refuse what OpenAI has and we do not."""
        if self.validation_file is not None:
            refuse(
                "validation_file",
                "is not supported: a part of the training file is held out instead; say how much "
                "with config.training.validation_fraction",
            )
        if self.integrations:
            refuse("integrations", "are not supported: leave them out")

    def train_config(self, dataset: Dataset) -> Json:
        """The settings of the training, as `submit_train` takes them."""
        config = self._start()
        training = config.setdefault("training", {})
        if not isinstance(training, dict):
            refuse("config.training", "must be an object of settings")
        asked, place = self._hyperparameters()
        names = {"n_epochs": "epochs", "batch_size": "batch_size"}
        chosen = {ours: getattr(asked, theirs) for theirs, ours in names.items()}
        if self.seed is not None:
            chosen["seed"] = self.seed
        for name, value in chosen.items():
            if value != "auto":
                _put(training, name, value, place)
        if asked.learning_rate_multiplier != "auto":
            with inside("config"):
                usual = resolve_config(config, datasets.summary_of(dataset)).training.learning_rate
            _put(training, "learning_rate", usual * asked.learning_rate_multiplier, place)
        return config

    def _start(self) -> Json:
        config = dict(self.config)
        if isinstance(config.get("training"), dict):
            config["training"] = dict(config["training"])
        if self.model in BASE_MODELS:
            preset = BASE_MODELS[self.model]
            if config.setdefault("preset", preset) != preset:
                refuse("model", f"is {self.model} but config.preset is another: leave one out")
            return config
        parent = find(self.model)
        if parent.config["preset"] == "tutorial":
            refuse("model", "was made by the tutorial's recipe, which always begins anew")
        for name in ("preset", "init_from"):
            if name in config:
                refuse(f"config.{name}", "follows from `model`: leave it out")
        return continued(current_backend(), current_owner(), config | {"init_from": parent.id})

    def _hyperparameters(self) -> tuple[Hyperparameters, str]:
        inner = self.method.supervised if self.method else None
        if inner is not None and inner.hyperparameters is not None:
            if self.hyperparameters is not None:
                refuse("hyperparameters", f"are in {METHOD_PLACE} too: leave one of them out")
            return inner.hyperparameters, METHOD_PLACE
        return self.hyperparameters or Hyperparameters(), "hyperparameters"


def _put(training: Json, name: str, value: float, place: str) -> None:
    if training.get(name, "auto") not in ("auto", value):
        refuse(f"config.training.{name}", f"says something else than {place} does: leave one out")
    training[name] = value
