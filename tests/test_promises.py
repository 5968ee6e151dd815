"""docs/durability.md and docs/security.md name a test for every promise; those tests are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def assert_proved(promise: str) -> None:
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", promise)
    assert named, promise
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert test in found, f"{file} has no {test}"


def test_every_promise_about_durability_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "durability.md").read_text()
    promises = re.split(r"^### ", page, flags=re.MULTILINE)[1:]
    assert len(promises) == 10
    for promise in promises:
        assert_proved(promise)


def test_every_line_about_security_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    checklist = page.partition("## The checklist")[2].partition("\n## ")[0]
    lines = re.split(r"^- ", checklist, flags=re.MULTILINE)[1:]
    assert len(lines) > 30
    for line in lines:
        assert_proved(line)
