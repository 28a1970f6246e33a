"""The badge: a number that fits, and nothing that runs."""

from xml.etree import ElementTree

import pytest

from service.api.badge import draw
from tests.conftest import MakeService

SVG = "{http://www.w3.org/2000/svg}"
SITE = "/v1/sites/blog"


def texts_of(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "query, texts",
    [
        ("", ["here now", "3"]),
        ("?path=/a", ["here now", "2"]),
        ("?path=/nobody", ["here now", "0"]),
        ("?label=readers", ["readers", "3"]),
        ("?label=", ["3"]),
        ("?label=<script>alert(1)</script>", ["<script>alert(1)</script>", "3"]),
        ("?label=%22%26%27", ["\"&'", "3"]),
        ("?label=a%00b%0Ac%E2%80%AEd", ["a b c d", "3"]),
        ("?label=%F0%9F%91%80", ["👀", "3"]),
    ],
)
async def test_badge(make_service: MakeService, query: str, texts: list[str]) -> None:
    service = await make_service()
    for n, path in enumerate(["/a", "/a", "/b"]):
        beat = {"sessionId": f"session-{n:010d}", "currentPath": path}
        await service.client.post(f"{SITE}/heartbeat", json=beat)
    answer = await service.client.get(f"{SITE}/badge.svg{query}")
    assert answer.status_code == 200
    assert texts_of(answer.text) == texts
    assert answer.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert answer.headers["cache-control"] == "max-age=10"
    assert "script" not in answer.headers["content-security-policy"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "<script" not in answer.text


@pytest.mark.parametrize("query, field", [(f"?label={'x' * 65}", "label"), ("?path=a", "path")])
async def test_what_is_refused(make_service: MakeService, query: str, field: str) -> None:
    service = await make_service()
    answer = await service.client.get(f"{SITE}/badge.svg{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("label, number", [("here now", "0"), ("", "1,234,567"), ("m" * 64, "12")])
def test_the_parts_fill_the_whole(label: str, number: str) -> None:
    picture = ElementTree.fromstring(draw(label, number))
    backgrounds = list(picture.iter(f"{SVG}rect"))[1:]
    assert sum(int(rect.get("width", "")) for rect in backgrounds) == int(picture.get("width", ""))
    for text in picture.iter(f"{SVG}text"):
        assert int(text.get("textLength", "")) > 0
