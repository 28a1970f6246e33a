"""The benchmark suite as far as nothing is measured: reports, plots and verdicts of made-up
results, the mix, and that every row is there."""

import math
import re
from collections import Counter
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench import __main__ as program
from bench import compare, latency, machine, measures, mix, plots, report, trial
from bench.constant_rate import percentile, requests
from bench.result import Context, Result, compared
from bench.result import not_measured as row_without_figures
from bench.tried import TRIED

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
NAN = float("nan")
MACHINE = {"cpu": "made up | 2 cores"}


def result(id: str, reached: bool | None = True, value: float = 34.0, **more: Any) -> Result:
    what = more.pop("what", f"what {id} measures")
    ratio = more.pop("ratio", 0.5)
    return Result(id, what, value, "µs", "a peer", 68.0, ratio, "≤ 1 ×", reached, **more)


def not_measured(id: str) -> Result:
    return row_without_figures(id, f"what {id} measures", "≤ 1 ×", "there is none yet")


def case(program_us: float, redis_us: float) -> dict[str, Any]:
    return {"program_us": program_us, "redis_us": redis_us, "calls_per_1000": 31.0}


OURS = "this service"
CASES = {OURS: case(28, 6), "nginx + Lua": case(21, 22)}
RESULTS = [
    result("P1", False, detail={"cases": CASES}),
    result("P2", detail={"cases": CASES}),
    result("P7", detail={"cases": {OURS: case(28, 6), f"{OURS}, 1,000 sites": case(30, 8)}}),
    not_measured("P11"),
    result("P12", False, ratio=None),
    result("P14"),
    result("P17", ratio=NAN),
]  # fmt: skip


# Rows


ALL = ["P1", "P1b", "P2", "P3", "P4", "P5", "P5b", *(f"P{number}" for number in range(6, 24))]


def test_every_row_is_there_once() -> None:
    assert Counter(id for ids in measures.ENTRIES.values() for id in ids) == Counter(ALL)
    assert list(measures.IDS) == ALL


@pytest.mark.parametrize("module", measures.ENTRIES)
def test_a_measure_that_fails_gives_red_rows_and_never_none(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(context: Context) -> list[Result]:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(measures, "_load", lambda module: fail)
    ids = measures.ENTRIES[module]
    results = measures.run_all(Context(True, tmp_path, frozenset(ids)))
    assert [row.id for row in results] == list(ids)
    assert all(row.reached is False and math.isnan(row.value) for row in results)
    assert all("the disk is full" in row.note for row in results)


@pytest.mark.parametrize("module", measures.ENTRIES)
def test_every_measure_can_be_loaded(module: str) -> None:
    assert callable(measures._load(module))


def test_a_size_is_measured_without_a_server(tmp_path: Path) -> None:
    (row,) = measures.run_all(Context(True, tmp_path, frozenset({"P18"})))
    assert row.bar == "≤ 2,048 B / 1,100 B"
    assert row.reached is True
    assert row.value <= 1_100


def test_a_ratio_is_of_medians() -> None:
    row = compared("P1", "a cost", [3.0, 1.0, 2.0], "a peer", [4.0, 9.0, 1.0], 0.5)
    assert (row.value, row.baseline, row.ratio, row.bar) == (2.0, 4.0, 0.5, "≤ 0.5 ×")
    assert row.reached is True
    assert row.spread == "1.0 to 3.0 against 1.0 to 9.0"
    assert compared("P1", "a cost", [2.0], "a peer", [3.0], 0.5).reached is False


def test_what_is_not_measured_is_red_and_says_why() -> None:
    row = row_without_figures("P3", "a cost", "≤ 1 ×", "there is no nginx")
    assert row.note == "not measured: there is no nginx"
    assert row.reached is False
    assert "| 🔴 not measured |" in report.markdown([row], MACHINE, False, False)


# Reports


def test_the_document_has_all_rows_and_what_is_missed_in_red() -> None:
    text = report.markdown(RESULTS, MACHINE, False, False)
    rows = {
        line.split(" | ")[0].strip("| "): line
        for line in text.splitlines()
        if line.startswith("| P")
    }
    assert set(rows) == {row.id for row in RESULTS}
    assert "🔴 missed" in rows["P1"]
    assert "🔴 not measured" in rows["P11"]
    assert "🟢 reached" in rows["P2"]
    assert (
        f"4 of {len(RESULTS)} bars reached; 🔴 missed: **P1, P12**; 🔴 not measured: **P11**."
        in text
    )
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "made up \\| 2 cores" in text
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows.values()}
    assert widths == {9}


def test_what_was_tried_stands_in_missed_rows_only() -> None:
    rows = report.markdown(RESULTS, MACHINE, False, False).splitlines()
    assert [row.split(" | ")[0] for row in rows if "tried: " in row] == ["| P1", "| P12"]
    assert any(TRIED["P12"] in row for row in rows)


def test_what_was_tried_is_said_of_rows_that_exist() -> None:
    assert set(TRIED) <= set(measures.IDS)
    assert all(text.endswith(".") for text in TRIED.values())


def test_the_terminal_shows_what_is_missed_in_red() -> None:
    out = StringIO()
    console = Console(width=200, force_terminal=True, color_system="standard", file=out)
    console.print(report.table(RESULTS))
    red = [line for line in out.getvalue().splitlines() if "\x1b[31m" in line]
    assert [re.findall(r"\bP\d+\b", line)[0] for line in red] == ["P1", "P11", "P12"]
    assert "🔴 missed" in out.getvalue()


@pytest.mark.parametrize(
    "value, shown",
    [(NAN, "–"), (None, "–"), (0.2214, "0.22"), (12.34, "12.3"), (1234.5, "1,234"), (3.0, "3")],
)
def test_figures(value: float | None, shown: str) -> None:
    assert report.number(value) == shown


# The program


@pytest.mark.parametrize(
    "results, options, code",
    [
        ([result("P2")], ["--check"], 0),
        ([result("P2", None)], ["--check"], 0),
        ([result("P1", False), result("P2")], ["--check"], 1),
        ([not_measured("P11")], ["--check"], 1),
        ([result("P1", False)], [], 0),
    ],
)
def test_check(
    results: list[Result], options: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "run_all", lambda context: results)
    monkeypatch.setattr(machine, "describe", lambda: MACHINE)
    ran = CliRunner().invoke(program.main, ["--no-write", *options])
    assert ran.exit_code == code, ran.output
    assert ("missed: P" in ran.output) == bool(code)


def test_only_what_was_asked_for_is_measured_and_nothing_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Context] = []

    def run_all(context: Context) -> list[Result]:
        asked.append(context)
        return [result("P2")]

    monkeypatch.setattr(program, "run_all", run_all)
    monkeypatch.setattr(program, "DOCS", tmp_path / "none")
    monkeypatch.setattr(machine, "describe", lambda: MACHINE)
    ran = CliRunner().invoke(program.main, ["--quick", "--only", "p2, P3,P5B"])
    assert ran.exit_code == 0, ran.output
    assert asked[0].quick
    assert asked[0].only == frozenset({"P2", "P3", "P5b"})


def test_help_and_wrong_use() -> None:
    shown = CliRunner().invoke(program.main, ["--help"])
    assert shown.exit_code == 0
    for option in ("--quick", "--only", "--check"):
        assert option in shown.output
    wrong = CliRunner().invoke(program.main, ["--only", "P99"])
    assert wrong.exit_code == 2
    assert "P99" in wrong.output


# The plot


def test_the_plot_is_drawn_twice_and_always_the_same(tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        assert plots.draw(RESULTS, tmp_path)
        texts.append([(tmp_path / file).read_text() for file in plots.FILES])
    assert texts[0] == texts[1]
    for text, colors in zip(texts[0], plots.FILES.values(), strict=True):
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert colors[0] in text
    assert all(f'="{file}"' in plots.PICTURE for file in plots.FILES)


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    assert not plots.draw([not_measured("P2")], tmp_path)


# Two checkouts


@pytest.mark.parametrize("us, is_met", [(8.9, True), (9.1, False)])
def test_a_comparison_has_bars(us: float, is_met: bool) -> None:
    was, now = (
        {"redis": each * 1e-3, "program": 0.02, "heartbeats": 1_000, "seconds": 1.0}
        for each in (10, us)
    )
    cells = compare.row(compare.CASES[0], was, now)
    assert f"≤ 0.9 {'met' if is_met else 'missed'}" in cells


# The load


def test_the_mix_is_as_meant() -> None:
    """Counted here as the service decides: by what each session last said, and how long ago."""
    at: dict[tuple[str, str], tuple[str, int]] = {}
    for beat in mix.sessions():
        at[beat.site, beat.session] = beat.path, -(10**9)
    outcomes: Counter[str] = Counter()
    for number, beat in enumerate(islice(mix.heartbeats(), 60_000)):
        path, seen = at.get((beat.site, beat.session), ("", 0))
        if not path:
            outcome = "created"
        elif path != beat.path:
            outcome = "moved"
        else:
            outcome = "duplicate" if number - seen <= 2 * mix.REPEATED_AFTER else "refreshed"
        outcomes[outcome] += 1
        if outcome != "duplicate":
            at[beat.site, beat.session] = beat.path, number
    assert mix.is_as_meant(dict(outcomes), 0.005), outcomes
    assert sum(mix.SHARES.values()) == pytest.approx(1)


def test_the_window_lies_between_a_repeat_and_a_turn_at_any_rate() -> None:
    for per_second in (1_000, 20_000, 200_000):
        for on_their_way in (64, 2_000):
            repeat_s = (mix.REPEATED_AFTER + on_their_way) / per_second
            assert 5 * repeat_s < mix.window_s(per_second, on_their_way) < mix.TURN / per_second / 5


def test_a_file_grows_and_its_beginning_stays(tmp_path: Path) -> None:
    file = mix.write(tmp_path, 50, sites=3)
    short = file.read_bytes()
    trial.lengthen(file, 80)
    assert file.read_bytes()[: len(short)] == short
    assert file.stat().st_size == 80 * mix.RECORD_LENGTH
    trial.lengthen(file, 10)
    assert file.stat().st_size == 80 * mix.RECORD_LENGTH


def test_requests_are_those_of_the_file(tmp_path: Path) -> None:
    file = mix.write(tmp_path, 50, sites=3)
    beats = list(islice(mix.heartbeats(3), 50))
    sent = requests(file, 10, 5)
    for request, beat in zip(sent, beats[10:15], strict=True):
        head, _, body = request.decode().partition("\r\n\r\n")
        assert head.startswith(f"POST /v1/sites/{beat.site}/heartbeat HTTP/1.1\r\n")
        assert f"Content-Length: {len(body)}" in head
        assert body == beat.body


# P17


def answer(p99: float, bad: int = 0) -> dict[str, Any]:
    return {"sent": 1000, "bad": bad, "99": p99}


@pytest.mark.parametrize(
    "service, reached, note",
    [
        (answer(4.0), True, "peak 10,000/s, at which the worker used 79% of its core"),
        (answer(5.5), False, "peak 10,000/s"),
        (answer(4.0, bad=1), False, "1 of 2,000 heartbeats not answered by 204"),
    ],
)
def test_latency_is_always_measured(service: dict[str, Any], reached: bool, note: str) -> None:
    """On a machine where the worker does not fill its core too."""
    said = {"service": [service], "noop": [answer(1.0)]}
    row = latency.row(10_000, 0.79, said, {})
    assert row.reached is reached
    assert row.ratio == service["99"]
    assert note in row.note


def test_percentiles() -> None:
    assert percentile(range(1, 101), 99) == 100
    assert percentile([5.0], 50) == 5.0
    assert math.isnan(percentile([], 99))


# Documents


def test_the_benchmarks_are_short() -> None:
    """What is measured can be read: a module a row, over one harness."""
    files = [
        file
        for file in (ROOT / "bench").rglob("*")
        if file.suffix in {".py", ".lua", ".js", ".json", ".conf", ".md"}
        and "node_modules" not in file.parts
    ]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 3_000 + 200  # users


def test_the_published_document_has_every_row() -> None:
    if not DOCUMENT.exists():
        pytest.skip("docs/benchmarks.md is not written yet: uv run --group bench python -m bench")
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| (P\d+) \|", text, re.MULTILINE)
    assert set(rows) >= set(ALL) - {"P1b", "P5b"}  # which are newer than some published runs
    assert rows == [id for id in ALL if id in rows]
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(r'(?:src|srcset)="([^"]+)"', text)
    shown += [
        name.removeprefix("docs/")
        for name in re.findall(r'(?:src|srcset)="(docs/bench-[^"]+)"', readme)
    ]
    assert len(shown) == 4
    for name in shown:
        assert (DOCUMENT.parent / name).exists(), name
