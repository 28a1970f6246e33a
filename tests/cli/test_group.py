"""How commands are loaded, and what options take for a number."""

import contextlib
import gc

import click
import pytest

from service.cli.group import Commands, Hours, WholeNumber

NO_NUMBERS = [
    "", "8_0", "+8", "-1", " 8 ", "8.5", "0x8", "8e0", "nan", "inf", "\u0663", "８", "8h",
    "9" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("module", ["service.cli.stats", "service.cli.no_command"])
def test_garbage_is_collected_after_a_command_was_loaded(module: str) -> None:
    with contextlib.suppress(ModuleNotFoundError):
        assert Commands({"stats": module})["stats"].name == "stats"
    assert gc.isenabled()


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize("least, most", [(0, 65_535), (1, 256), (0, None)])
def test_what_is_not_a_whole_number(text: str, least: int, most: int | None) -> None:
    with pytest.raises(click.BadParameter, match=f"is not a whole number from {least} "):
        WholeNumber(least, most).convert(text, None, None)


@pytest.mark.parametrize("text, number", [("0", 0), ("007", 7), ("65535", 65_535)])
def test_whole_numbers(text: str, number: int) -> None:
    assert WholeNumber(0, 65_535).convert(text, None, None) == number


@pytest.mark.parametrize(
    "text", [*(text for text in NO_NUMBERS if text != "8.5"), "0", "0.0", "24.1", "25", ".5"]
)
def test_what_is_not_a_number_of_hours(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a number of hours, such as"):
        Hours().convert(text, None, None)


@pytest.mark.parametrize("text, hours", [("24", 24.0), ("0.5", 0.5), ("8.25", 8.25)])
def test_hours(text: str, hours: float) -> None:
    assert Hours().convert(text, None, None) == hours
