"""Writes the matrix of faults into docs/reliability.md: `python -m tests.faults.report [FILE]`.

FILE is what the tests have written where FAULTS_REPORT says; without one, the tests are run first,
which takes some minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN = "<!-- faults: written by python -m tests.faults.report -->"
END = "<!-- end of faults -->"

# What is done, and what must hold; the tests of the same numbers say how.
ROWS = {
    "F1": ("Redis is killed and starts empty", "everything before is lost; presence is rebuilt by the next heartbeats, with no error after the first that succeeds"),
    "F2": ("Redis is killed, `appendfsync everysec`", "nothing is half done; at most the last second is lost"),
    "F3": ("Redis is frozen", "503 by the deadline; `/livez` 200, `/readyz` 503"),
    "F4": ("Redis is paused: writes, then all", "as F3"),
    "F5": ("Redis is slow once, for 3 s", "503 by the deadline; what was given up and sent again is written once"),
    "F6": ("a reply is lost after the write", "the second try is a `duplicate`, with one view"),
    "F7": ("a reply is cut inside a frame", "its connection is thrown away"),
    "F8": ("clients abort in the middle of requests", "the next 1,000 replies are each their own"),
    "F9": ("scripts vanish, every 50 ms", "invisible to clients"),
    "F10": ("Redis is busy in a script", "503"),
    "F11": ("Redis is out of memory", "503 and not one partial write; reads and the sweep go on"),
    "F12": ("the primary becomes a replica", "503, then success on the new primary"),
    "F13": ("a primary under Sentinels is killed", "recovered within down-after + 5 s; at most a second is lost"),
    "F14": ("a primary of a cluster is killed", "other sites notice nothing; its own recover with the failover"),
    "F15": ("slots move under load", "invisible to clients"),
    "F16": ("no more clients; all connections in use", "503 by the deadline, and no storm of connects"),
    "F17": ("wrong password, no permission", "503, and no secret in any log"),
    "F18": ("a key has the wrong type", "503 to the heartbeats that meet that key; their neighbours and other sites succeed; `presence doctor` names it, and mends what is half-written"),
    "F19": ("the clock jumps, forward and back", "no negative ages, nobody is active for ever"),
    "F20": ("FLUSHALL", "counts begin anew, live streams are given a snapshot"),
    "F21": ("one of three copies is killed", "the batches it held are whole or absent; the others take over"),
    "F22": ("SIGTERM, with 200 live streams", "done within 5 s, every accepted heartbeat answered"),
    "F23": ("expiry lags", "counts are exact while dead keys remain"),
    "F24": ("a network that takes 0.2 s", "p99 within the deadline"),
    "F25": ("a cluster is given as one server", "the start, `/readyz` and `presence doctor` say so, and what to use instead"),
    "F26": ("a slot with 20,000 sessions moves by MIGRATE, 5 to 50 keys at a time", "calls on it wait for the move, and none is 503 that needs to wait less than 1.8 s; other sites notice nothing; each answer is right"),
}  # fmt: skip
# How a figure is told; of a row's tests, the worst.
FIGURES = {
    "recovery_s": "recovered in {:.2f} s",
    "failover_s": "failover {:.2f} s",
    "stop_s": "stopped in {:.2f} s",
    "takeover_s": "sites taken over in {:.2f} s",
    "told_after_s": "told after {:.2f} s",
    "p99_s": "p99 {:.2f} s",
    "longest_s": "longest answer {:.2f} s",
    "longest_of_others_s": "of other sites {:.2f} s",
    "livez_s": "`/livez` {:.2f} s",
    "connects_per_s": "at most {:.0f} connects in a second",
    "longest_move_s": "a slot moved in {:.2f} s",
    "dead_keys": "{:.0f} dead keys",
    "lost_window_s": "{lost:.0f} acknowledged views lost, the oldest {:.3f} s before",
}


def table(lines: list[dict[str, Any]]) -> str:
    """The matrix, from what each test has measured."""
    out = ["| row | fault | what must hold | measured |", "|---|---|---|---|"]
    for row, (fault, required) in ROWS.items():
        own = [line for line in lines if line["fault"] == row]
        out.append(f"| {row} | {fault} | {required} | {_told(own)} |")
    return "\n".join(out)


def _told(lines: list[dict[str, Any]]) -> str:
    if not lines:
        return "not run"
    worst = {
        name: max(float(line[name]) for line in lines if name in line)
        for name in {*FIGURES, "answers", "failures", "lost"}
        if any(name in line for line in lines)
    }
    told = []
    if "answers" in worst:
        answers, failures = (sum(line.get(n, 0) for line in lines) for n in ("answers", "failures"))
        told.append(f"{failures:,} of {answers:,} answers were 503")
    for name, text in FIGURES.items():
        if name in worst and (name != "lost_window_s" or worst["lost"]):
            told.append(text.format(worst[name], lost=worst.get("lost", 0)))
    if "lost" in worst and not worst["lost"]:
        told.append("nothing acknowledged was lost")
    return "; ".join(told) or "passed"


def write(lines: list[dict[str, Any]]) -> None:
    """Puts the table between its markers."""
    page = PAGE.read_text() if PAGE.exists() else f"# Reliability\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(lines)}\n{END}{after}")


def _measure(file: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "faults", "-n", "2", "--dist", "loadfile"],
        env=os.environ | {"FAULTS_REPORT": str(file)},
        check=True,
    )


def main() -> None:
    """Writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "faults.jsonl"
        if len(sys.argv) < 2:
            _measure(file)
        write([json.loads(line) for line in file.read_text().splitlines()])


if __name__ == "__main__":
    main()
