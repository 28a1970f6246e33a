"""The folders of service/ import in one direction only: the way of a heartbeat, top to bottom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
GROUND = {
    "errors", "models", "numbers", "origins", "redis_options", "redis_url",
    "settings", "sites", "texts", "webhook_config",
}  # fmt: skip
# folder -> what it may import besides the ground, itself and `ops`; `app` composes, and may all.
MAY_IMPORT = {
    "cli": {"app", "server", "api", "web", "webhooks", "store", "redis"},
    "server": {"app", "api", "store"},
    "web": {"api", "store"},
    "api": {"live", "webhooks", "store"},
    "live": {"store"},
    "webhooks": {"store"},
    "store": {"redis"},
    "redis": set[str](),
    "ops": {"store", "redis"},
    "ground": set[str](),
}
KNOW_REDIS = {"store", "redis", "ops"}


def folder_of(path: Path) -> str:
    parts = path.relative_to(SERVICE).parts
    if len(parts) > 1:
        return parts[0]
    return "ground" if path.stem in GROUND else path.stem


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, dotted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = [
    path
    for path in sorted(SERVICE.rglob("*.py"))
    if folder_of(path) not in ("app", "__init__", "__main__")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SERVICE)))
def test_no_import_upward(path: Path) -> None:
    folder = folder_of(path)
    named = {
        parts[1]
        for name in imports(path)
        if (parts := name.split("."))[0] == "service" and len(parts) > 1
    }
    named -= {folder, "__version__"}
    allowed = MAY_IMPORT[folder] | GROUND | (set() if folder == "ground" else {"ops"})
    assert named <= allowed, f"{folder} imports {sorted(named - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SERVICE)))
def test_only_store_and_redis_know_redis(path: Path) -> None:
    if folder_of(path) not in KNOW_REDIS:
        assert not {name for name in imports(path) if name.split(".")[0] in ("redis", "fakeredis")}
