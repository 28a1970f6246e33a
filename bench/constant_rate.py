"""Sends heartbeats at a fixed rate and says how long each took: `python -m bench.constant_rate
PORT FILE FIRST RATE SECONDS`, one line of JSON.

wrk waits along with a server that stalls. Here each heartbeat has its moment by a Poisson process,
and its time runs from that moment, on whichever of 64 connections is free then or next.
"""

import contextlib
import gc
import json
import os
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import mix
from bench.load import CONNECTIONS

DRAIN_S = 5.0
WARM_UP_S = 0.5  # sent, and not counted


@dataclass
class Answers:
    """What came back; `times_s`: from the moment a heartbeat was due; `bad`: by no 204."""

    times_s: list[float] = field(default_factory=list)
    bad: int = 0
    answered: int = 0


def requests(file: Path, first: int, count: int) -> list[bytes]:
    """The requests of the mix from a record on, ready to be sent."""
    head = (
        f"Host: 127.0.0.1\r\nUser-Agent: {mix.AGENT}\r\nOrigin: {mix.ORIGIN}\r\n"
        "Content-Type: application/json\r\nAccept: */*\r\n"
        f"Content-Length: {mix.BODY_LENGTH}\r\n\r\n"
    )
    with file.open("rb") as records:
        records.seek(first * mix.RECORD_LENGTH)
        data = records.read(count * mix.RECORD_LENGTH).decode()
    return [
        f"POST /v1/sites/{data[at : at + mix.SITE_LENGTH]}/heartbeat HTTP/1.1\r\n{head}"
        f"{data[at + mix.SITE_LENGTH : at + mix.RECORD_LENGTH]}".encode()
        for at in range(0, len(data), mix.RECORD_LENGTH)
    ]


def send(port: int, wanted: Sequence[bytes], rate: float, warm_up_s: float = WARM_UP_S) -> Answers:
    """Sends each at its moment."""
    numbers = random.Random(os.getpid())
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    by_number = {sock.fileno(): sock for sock in sockets}
    poll = select.epoll()
    for sock in sockets:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(sock, select.EPOLLIN)
    free = deque(by_number)
    due_of: dict[int, float] = {}
    answers = Answers()
    sent = 0
    clock = time.perf_counter
    due = clock() + 0.1
    counts_from = due + warm_up_s
    last = due + len(wanted) / rate + DRAIN_S
    while answers.answered < len(wanted):
        now = clock()
        if now > last:
            answers.bad += len(wanted) - answers.answered
            break
        while sent < len(wanted) and due <= now and free:
            number = free.popleft()
            due_of[number] = due
            by_number[number].send(wanted[sent])
            sent += 1
            due += numbers.expovariate(rate)
            now = clock()
        wait = max(0.0, due - now) if sent < len(wanted) and free else 0.1
        # epoll waits in whole milliseconds, select in microseconds.
        if not select.select([poll], [], [], wait)[0]:
            continue
        for number, _ in poll.poll(0):
            answer = by_number[number].recv(4096)
            now = clock()
            if not answer:
                raise ConnectionError("the server has closed a connection")
            answers.answered += 1
            if not answer.startswith(b"HTTP/1.1 204"):
                answers.bad += 1
            elif due_of[number] >= counts_from:
                answers.times_s.append(now - due_of[number])
            free.append(number)
    for sock in sockets:
        sock.close()
    return answers


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed; NaN of nothing."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def main() -> None:
    port, file, first, rate, seconds = sys.argv[1:]
    count = round(float(rate) * (float(seconds) + WARM_UP_S))
    wanted = requests(Path(file), int(first), count)
    gc.disable()  # a collection of its own would be measured as the server's
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    cpu_s = time.process_time()
    answers = send(int(port), wanted, float(rate))
    said = {
        "cpu_s": time.process_time() - cpu_s,
        "sent": len(wanted),
        "bad": answers.bad,
        "ms": [round(s * 1000, 3) for s in answers.times_s],
    }
    print("RESULT", json.dumps(said))


if __name__ == "__main__":
    main()
