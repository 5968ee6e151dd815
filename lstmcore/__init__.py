"""LSTM language models: text in, a trained model and its predictions out. A library of its own.

No queue, HTTP, database or environment variable: values and paths in, values out. Public names:

settings    TrainConfig TokenizerConfig ModelConfig TrainingConfig Sampling
            resolve_config suggest_preset parse_config parse_sampling
text        Corpus CorpusFile CorpusSummary read_corpus decode_text summarize
            Tokenizer tutorial_tokenizer tutorial_pairs preview estimate
training    Trainer
prediction  LanguageModel load_model generate stream score evaluate
            generate_many stream_many Together
inside      embedding nearest_tokens activations explain saliency
files       write_onnx
errors      LSTMError ConfigError CorpusError TokenizerError CheckpointError TrainingError
            PromptError

Names are resolved on first use: `import lstmcore` is instant, and torch is loaded only by the
names from `Trainer` on. docs/library.md shows them at work.
"""

from importlib import import_module

_MODULES = {
    "lstmcore.errors": (
        "CheckpointError ConfigError CorpusError LSTMError PromptError TokenizerError TrainingError"
    ),
    "lstmcore.config": (
        "ModelConfig Sampling TokenizerConfig TrainConfig TrainingConfig "
        "parse_config parse_sampling resolve_config suggest_preset"
    ),
    "lstmcore.corpus": "Corpus CorpusSummary decode_text read_corpus summarize",
    "lstmcore.corpus_file": "CorpusFile",
    "lstmcore.tutorial": "tutorial_pairs tutorial_tokenizer",
    "lstmcore.tokenizer": "Tokenizer",
    "lstmcore.inspection": "preview",
    "lstmcore.estimate": "estimate",
    "lstmcore.training": "Trainer",
    "lstmcore.sampling": "LanguageModel generate load_model stream",
    "lstmcore.together": "Together generate_many stream_many",
    "lstmcore.scoring": "evaluate score",
    "lstmcore.embeddings": "embedding nearest_tokens",
    "lstmcore.introspection": "activations explain saliency",
    "lstmcore.onnx_export": "write_onnx",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - the table above is the list


def __getattr__(name: str) -> object:
    """Resolve a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
