"""Java's default HttpClient, which offers HTTP/2 with every first request, B29."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.site import running
from tests.servers import Server, missing

BEATS = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

class Beats {
    public static void main(String[] given) throws Exception {
        var client = HttpClient.newHttpClient();
        for (var body : new String[] {given[1], given[1], given[2]}) {
            var beat = HttpRequest.newBuilder(URI.create(given[0]))
                .POST(BodyPublishers.ofString(body)).build();
            var answer = client.send(beat, BodyHandlers.ofString());
            var status = answer.headers().firstValue("Presence-Status").orElse("");
            System.out.println(answer.statusCode() + " " + status);
        }
    }
}
"""


@pytest.mark.fault("B29")
def test_java_offers_http2(valkey: Server, key_prefix: str, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:  # a JRE alone runs no source
        missing("a JDK")
    (tmp_path / "Beats.java").write_text(BEATS)
    bodies = [json.dumps({"sessionId": "j" * 32, "currentPath": path}) for path in ("/", "/b")]
    with running(tmp_path, valkey.url, KEY_PREFIX=key_prefix) as service:
        url = f"{service.url}/v1/sites/blog/heartbeat"
        done = subprocess.run(
            [str(java), "Beats.java", url, *bodies],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.stdout.split() == ["204", "created", "204", "duplicate", "204", "moved"], (
        done.stderr
    )
