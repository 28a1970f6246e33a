"""As much of HTTP/2 as it takes to send a request with trailers, which no client here can."""

import ssl
import struct
from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, GOAWAY, RST_STREAM = 0, 1, 4, 7, 3
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def packed(fields: Mapping[str, str]) -> bytes:
    """Literal fields without indexing or Huffman codes: RFC 7541, 6.2.2."""
    out = b""
    for name, value in fields.items():
        assert max(len(name), len(value)) < 127
        out += b"\0" + bytes([len(name)]) + name.lower().encode()
        out += bytes([len(value)]) + value.encode()
    return out


def send(
    sock: ssl.SSLSocket,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    trailers: Mapping[str, str],
) -> None:
    """One request, which has a body or trailers, on a new connection; returns when its stream has
    ended, well or not."""
    head = {":method": method, ":scheme": "https", ":path": path, ":authority": "localhost"}
    sock.sendall(
        PREFACE
        + frame(SETTINGS, 0, 0, b"")
        + frame(HEADERS, END_HEADERS, 1, packed(head | dict(headers)))
        + (frame(DATA, 0 if trailers else END_STREAM, 1, body) if body else b"")
        + (frame(HEADERS, END_HEADERS | END_STREAM, 1, packed(trailers)) if trailers else b"")
    )
    received = b""
    while data := sock.recv(65_536):
        received += data
        while len(received) >= 9 and len(received) >= (size := _size(received)):
            kind, flags, stream = struct.unpack(">BBI", received[3:9])
            received = received[size:]
            if kind == GOAWAY or (
                stream == 1 and (kind == RST_STREAM or (kind < 2 and flags & END_STREAM))
            ):
                return


def _size(received: bytes) -> int:
    return 9 + int.from_bytes(received[:3])
