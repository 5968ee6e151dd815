"""docs/library.md: its examples run, and it names what there is."""

import doctest
import re
from pathlib import Path

import pytest

import lstmcore

PAGE = (Path(__file__).parents[2] / "docs" / "library.md").read_text()


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, "library.md", None, 0)
    told: list[str] = []
    results = doctest.DocTestRunner().run(test, out=told.append)
    assert results.attempted > 30
    assert results.failed == 0, "".join(told)


def test_every_function_and_the_table_agree() -> None:
    named = set(re.findall(r"`([A-Za-z_]+)(?:\(|`)", PAGE.split("## Train")[0]))
    for name in named - {
        "lstmcore",
        "start",
        "run",
        "save",
        "resume",
        "write_best",
        "LanguageModel",
        "Corpus",
        "pip",
    }:
        assert name in lstmcore.__all__
        assert getattr(lstmcore, name)
    inside = lstmcore.__doc__ or ""
    assert all(name in inside for name in lstmcore.__all__)
