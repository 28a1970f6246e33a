"""Which User-Agents are robots, and which only look like it."""

import pytest

from service.api.robots import is_bot

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)


def test_bots_are_looked_up_once() -> None:
    is_bot.cache_clear()
    assert not any(is_bot(CHROME.encode()) for _ in range(3))
    assert is_bot.cache_info().misses == 1


ROBOTS = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0.0.0 Safari/537.36",
    CHROME + " Prerender (+https://github.com/prerender/prerender)",
    "Mozilla/5.0 (compatible; Google-InspectionTool/1.0;)",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 Chrome/140.0.0.0 "
    "Mobile Safari/537.36 (compatible; Google-InspectionTool/1.0;)",
    "GoogleOther",
    "Mozilla/5.0 (compatible; Google-Read-Aloud; +https://support.google.com/webmasters)",
    CHROME + " PTST/250101.120000",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 PhantomJS/2.1.1 Safari/538.1",
    "Mozilla/5.0 AppleWebKit/537.36 (compatible; ChatGPT-User/1.0; +https://openai.com/bot)",
    "meta-externalagent/1.1",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (compatible; Unheard/1.0; +https://unheard.example/about)",
    "Mozilla/5.0 (Linux; Android 7.0; compatible; Spiderling/1.0) Mobile Safari/537.36",
    CHROME + " DatadogSynthetics",
]
PEOPLE = [
    "Mozilla/5.0 (Linux; Android 13; Spider-Man Edition Build/TP1A) Chrome/140.0.0.0 Mobile Safari",
    "Mozilla/5.0 (Linux; Android 14; Redmi Crawler) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile",
    "Mozilla/5.0 (Linux; U; Android 12; de-de; Robot X1 (Dual) Build/1) Mobile Safari/537.36",
    "Mozilla/5.0 (Android 13; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
    "Phone Spider-Man Edition",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "okhttp/4.12.0",
]


@pytest.mark.fault("B35")
@pytest.mark.parametrize("user_agent", ROBOTS)
def test_robots_that_say_so(user_agent: str) -> None:
    assert is_bot(user_agent.encode())


@pytest.mark.fault("B35")
@pytest.mark.parametrize("user_agent", PEOPLE)
def test_phones_with_odd_names_and_libraries_are_counted(user_agent: str) -> None:
    assert not is_bot(user_agent.encode())
