"""Models ready to use, the least recently used dropped first when memory is short."""

import shutil
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

from lstmcore.export import LanguageModel, load_model
from worker import counters, models
from worker.backend import Backend
from worker.records import Model

# The record behind an id changes only when a training finds a better model, or at its end.
BELIEVED_SECONDS = 1.0
MOST_BELIEVED = 1000


class ModelCache:
    """Loaded models by their content."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._most_bytes = backend.settings.model_cache_bytes
        self._loaded: OrderedDict[str, LanguageModel] = OrderedDict()
        self._believed: dict[str, tuple[Model, float]] = {}

    def get(self, identifier: str) -> tuple[Model, LanguageModel, str]:
        """A model's record, the model, and what names its content.

        Raises NotFound, StoreError, Unavailable, lstmcore's CheckpointError.
        """
        model = self._record(identifier)
        # A training's best model changes under one id.
        key = f"{model.id}:{model.files['model.safetensors'].sha256}"
        loaded = self._loaded.pop(key, None)
        if loaded is None:
            loaded = self._load(model)
            self._backend.live.count(counters.MODEL_LOADS.fields(1, "loaded"))
        self._loaded[key] = loaded
        while len(self._loaded) > 1 and self._bytes() > self._most_bytes:
            self._loaded.popitem(last=False)
        return model, loaded, key

    def _record(self, identifier: str) -> Model:
        known = self._believed.get(identifier)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        self._believed.pop(identifier, None)
        model = models.get_any(self._backend, identifier)
        if len(self._believed) >= MOST_BELIEVED:
            self._believed.clear()
        self._believed[identifier] = (model, time.monotonic() + BELIEVED_SECONDS)
        return model

    def _load(self, model: Model) -> LanguageModel:
        folder = Path(tempfile.mkdtemp(prefix="lstmq-model-"))
        try:
            return load_model(models.download(self._backend, model, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _bytes(self) -> int:
        return sum(loaded.nbytes for loaded in self._loaded.values())
