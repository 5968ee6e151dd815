"""The release after this one, made from a copy of the tree: what an upgrade must cope with.

It has another version, one more migration (which is slow, so that containers that start together
meet in it, and counts how often it ran), and its workers tell a field that this release does not
know. Made from whatever this release is, so it needs no history and never grows old.
"""

import re
import shutil
from pathlib import Path

from tests.compose.deployment import ROOT
from worker.database import SCHEMA_REVISION

VERSION = "99.0.0"
TABLES = f"{int(SCHEMA_REVISION) + 1:04d}"
PARTS = ("Dockerfile", ".dockerignore", "docker-compose.yml", "pyproject.toml", "README.md")
MIGRATION = '''"""A table and a column more."""

import time

import sqlalchemy as sa
from alembic import op

revision = "NEXT"
down_revision = "THIS"


def upgrade() -> None:
    time.sleep(2)
    op.create_table("migrated", sa.Column("times", sa.Integer))
    op.execute("insert into migrated values (1)")
    op.add_column("jobs", sa.Column("mood", sa.Text, nullable=False, server_default="good"))


def downgrade() -> None:
    raise NotImplementedError
'''


def make(folder: Path) -> Path:
    """Write it; the folder from which its images are built."""
    for part in PARTS:
        shutil.copy(ROOT / part, folder / part)
    for part in ("requirements", "lstmcore", "worker", "web"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    migration = MIGRATION.replace("NEXT", TABLES).replace("THIS", SCHEMA_REVISION)
    (folder / "worker" / "migrations" / "versions" / f"r{TABLES}_mood.py").write_text(migration)
    _replace(folder / "worker" / "database.py", f'"{SCHEMA_REVISION}"', f'"{TABLES}"')
    _replace(
        folder / "worker" / "records.py", '    tables: str = ""', '    mood: str = "good"\n\\g<0>'
    )
    _replace(folder / "pyproject.toml", r'(?m)^version = ".*"', f'version = "{VERSION}"')
    return folder


def _replace(path: Path, what: str, by: str) -> None:
    text, count = re.subn(what, by, path.read_text())
    assert count == 1, (path, what, count)
    path.write_text(text)
