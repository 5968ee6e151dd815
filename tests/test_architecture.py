"""Every file has one place, every import goes to the right, nothing grows without limit."""

import ast
import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grimp
import pytest
import yaml
from flask import Flask

from web.parts import service_parts
from worker.backend import open_backend
from worker.settings import Settings

ROOT = Path(__file__).parents[1]
PACKAGES = ("lstmcore", "worker", "web")
README = (ROOT / "README.md").read_text()
LONGEST_FILE, LONGEST_FUNCTION = 320, 70
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "common", "manager", "base", "misc", "core"}
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]


def sources() -> list[Path]:
    return [
        path.relative_to(ROOT) for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))
    ]


def modules(package: str) -> set[str]:
    """The modules directly in a package, without its `__init__`."""
    return {f"{package}.{path.stem}" for path in (ROOT / package).glob("[!_]*.py")}


def contract(words: str) -> dict[str, list[str]]:
    (found,) = (contract for contract in CONTRACTS if words in contract["name"])
    return found


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(
        *PACKAGES, include_external_packages=True, exclude_type_checking_imports=True
    )


def test_the_readme_names_every_file_in_exactly_one_place() -> None:
    """The file map's lines are `| `path` | what it is |`."""
    listed = re.findall(r"^\| `((?:lstmcore|worker|web)/[^`]*\.py)` \|", README, re.MULTILINE)
    assert [path for path, times in Counter(listed).items() if times > 1] == []
    actual = {str(path) for path in sources() if path.name != "__init__.py"}
    assert actual - set(listed) == set(), "these files are missing in README's file map"
    assert set(listed) - actual == set(), "README's file map names files that are not there"


def test_the_readme_documents_every_setting() -> None:
    listed = re.findall(r"^\| `LSTMQ_([A-Z_]+)` \|", README, re.MULTILINE)
    assert Counter(listed) == Counter(name.upper() for name in Settings.model_fields)


def test_every_module_of_worker_is_under_one_contract() -> None:
    running = contract("running of jobs knows nothing")["source_modules"]
    light = contract("job contract loads neither")["source_modules"]
    assert Counter([*running, *light]) == Counter(modules("worker"))


def test_the_core_modules_without_torch_are_those_under_the_contract(
    imports: grimp.ImportGraph,
) -> None:
    light = contract("web needs of the core")["source_modules"]
    with_torch = {
        module
        for module in modules("lstmcore")
        if imports.chain_exists(importer=module, imported="torch")
    }
    assert Counter(light) == Counter(modules("lstmcore") - with_torch)


def test_importing_the_web_and_the_contract_really_loads_no_torch() -> None:
    names = [
        *("web.app", "web.cli", "worker.queue"),
        *contract("job contract loads neither")["source_modules"],
        *contract("web needs of the core")["source_modules"],
    ]
    code = f"import sys, {', '.join(names)}; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_files_and_functions_can_be_read_whole() -> None:
    too_long = []
    for path in sources():
        if path.parent.name == "versions":
            continue  # a migration is a record of what was done, and never edited
        content = (ROOT / path).read_text()
        if (lines := content.count("\n")) > LONGEST_FILE:
            too_long.append(f"{path}: {lines} lines")
        for function in functions(ast.parse(content)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > LONGEST_FUNCTION:
                too_long.append(f"{path}: {function.name} has {lines} lines")
    assert too_long == []


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_names_say_what_is_inside() -> None:
    words = {path: set(path.with_suffix("").parts[-1].split("_")) for path in sources()}
    assert [str(path) for path, name in words.items() if name & NAMES_THAT_SAY_NOTHING] == []


def test_every_way_to_run_the_service_runs_the_same_commands(settings: Settings) -> None:
    """`lstmq up`, the Procfile, the images and the compose file agree."""
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    commands = {name: shlex.split(command) for name, command in procfile.items()}

    started = {}
    with socket.socket() as listener, closing(open_backend(settings)) as backend:
        for part in service_parts(settings, backend, listener):
            words = [word.replace("-1@", "@") for word in part.command[2:]]  # without python -m
            if "--bind" in words:
                at = words.index("--bind")
                del words[at : at + 2]
            started[part.name.removesuffix("-1")] = words
    assert started.pop("sweeper") == commands["sweeper"][2:]
    names = {"web": "web", "train": "worker", "predict": "predictor"}
    assert {names[name]: words for name, words in started.items()} == {
        name: commands[name] for name in names.values()
    }

    images = re.findall(r"^CMD (\[[^\]]*\])", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    joined = [json.loads(image.replace("\\\n", "")) for image in images]
    assert joined == [commands["web"], commands["worker"]]

    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    always = {name for name, service in services.items() if "profiles" not in service}
    assert always == commands.keys() | {"redis"}
    elsewhere = yaml.safe_load((ROOT / "docs/deploy/many-hosts.yml").read_text())["services"]
    assert elsewhere["predictor"]["command"] == commands["predictor"]
    for name in ("predictor", "sweeper"):
        assert services[name]["command"] == commands[name]


def test_the_readme_documents_every_route_of_the_api(app: Flask) -> None:
    listed = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", README, re.MULTILINE)
    names = {"identifier": "{id}", "reference": "{id or name}"}
    actual = {
        f"{method} {re.sub(r'<(?:[a-z]+:)?([a-z]+)>', lambda found: names[found[1]], rule.rule)}"
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(("api.", "health.", "metrics.", "openai."))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert Counter(listed) == Counter(actual)
