"""The marker of a row, and what each row has measured."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is marked with a row is selected by `-m faults`."""
    for item in items:
        if item.get_closest_marker("fault"):
            item.add_marker("faults")


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What a row measures, by name: printed, and added to the file that FAULTS_REPORT names."""
    figures: dict[str, Any] = {}
    yield figures
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "mark the test with its row"
    if not figures:
        return  # it did not come so far
    line = {"fault": marker.args[0], "test": request.node.name} | {
        name: round(figure, 3) if isinstance(figure, float) else figure
        for name, figure in figures.items()
    }
    print(json.dumps(line))
    if report := os.environ.get("FAULTS_REPORT"):
        with Path(report).open("a") as file:
            file.write(json.dumps(line) + "\n")
