"""Sends heartbeats at a fixed rate and says how long each took: `python -m bench.constant_rate
PORT FILE FIRST RATE SECONDS`, one line of JSON.

wrk sends the next request when the last is answered, and so waits along with a server that
stalls. Here each has its moment by a Poisson process of the given rate; it goes out on whichever
of 64 connections is free, and its time runs from that moment, also while all are busy.
"""

import json
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from bench import mix
from bench.load import CONNECTIONS

DRAIN_S = 5.0
PERCENTILES = (50, 90, 99, 99.9)


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
    starts = range(0, len(data), mix.RECORD_LENGTH)
    texts = (
        f"POST /v1/sites/{data[at : at + mix.SITE_LENGTH]}/heartbeat HTTP/1.1\r\n{head}"
        f"{data[at + mix.SITE_LENGTH : at + mix.RECORD_LENGTH]}"
        for at in starts
    )
    return [text.encode() for text in texts]


def send(port: int, wanted: Sequence[bytes], rate: float) -> tuple[list[float], int]:
    """The seconds each answer took, and how many were no 204."""
    numbers = random.Random(7)
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    by_number = {sock.fileno(): sock for sock in sockets}
    poll = select.epoll()
    for sock in sockets:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(sock, select.EPOLLIN)
    free = deque(by_number)
    due_of: dict[int, float] = {}
    times: list[float] = []
    bad = place = 0
    clock = time.perf_counter
    due = clock() + 0.1
    last = due + len(wanted) / rate + DRAIN_S
    while len(times) + bad < len(wanted):
        now = clock()
        if now > last:
            bad = len(wanted) - len(times)
            break
        while place < len(wanted) and due <= now and free:
            number = free.popleft()
            due_of[number] = due
            by_number[number].send(wanted[place])
            place += 1
            due += numbers.expovariate(rate)
            now = clock()
        wait = max(0.0, due - now) if place < len(wanted) and free else 0.1
        # epoll waits in whole milliseconds, select in microseconds.
        if not select.select([poll], [], [], wait)[0]:
            continue
        for number, _ in poll.poll(0):
            answer = by_number[number].recv(4096)
            if not answer:
                raise ConnectionError("the server has closed a connection")
            if answer.startswith(b"HTTP/1.1 204"):
                times.append(clock() - due_of[number])
            else:
                bad += 1
            free.append(number)
    for sock in sockets:
        sock.close()
    return times, bad


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def main() -> None:
    """Sends and prints."""
    port, file, first, rate, seconds = sys.argv[1:]
    wanted = requests(Path(file), int(first), round(float(rate) * float(seconds)))
    started, cpu = time.perf_counter(), time.process_time()
    times, bad = send(int(port), wanted, float(rate))
    elapsed = time.perf_counter() - started
    times.sort()
    said = {
        "sent": len(wanted),
        "bad": bad,
        "per_second": len(times) / elapsed,
        "busy": (time.process_time() - cpu) / elapsed,
        "ms": {str(p): percentile(times, p) * 1000 for p in PERCENTILES} if times else {},
    }
    print("RESULT", json.dumps(said))


if __name__ == "__main__":
    main()
