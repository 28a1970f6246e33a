"""Which User-Agents are robots, and which only look like it."""

import pytest

from service.api.robots import is_bot

MOZILLA = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
CHROME = MOZILLA + "Chrome/140.0.0.0 Safari/537.36"
ANDROID = "Mozilla/5.0 (Linux; Android 13; {}) AppleWebKit/537.36 (KHTML, like Gecko) "
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Mobile/15E148 "
)
ODD_NAMES = ["Robot X Bot", "Spider-Man Edition", "Redmi Crawler", "Bot_7", "Scraper Probe Monitor"]


def test_bots_are_looked_up_once() -> None:
    is_bot.cache_clear()
    assert not any(is_bot(CHROME.encode()) for _ in range(3))
    assert is_bot.cache_info().misses == 1


ROBOTS = [
    # Browsers that no person looks at.
    MOZILLA + "HeadlessChrome/140.0.0.0 Safari/537.36",
    CHROME + " Prerender (+https://github.com/prerender/prerender)",
    CHROME + " PTST/250101.120000",
    CHROME + " Chrome-Lighthouse",
    CHROME + " Google-PageRenderer",
    CHROME + " Ghost Inspector (63c85ddbde52d6697f57c623)",
    CHROME + " Percy/1.0",
    CHROME + " Applitools",
    CHROME + " Browsershot",
    CHROME + " SpeedCurve/1.0",
    CHROME + " CookieHubScan/3.0",
    MOZILLA + "Cypress/13.6.0 Chrome/114.0.0.0 Electron/25.8.4 Safari/537.36",
    "Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/29.1.1",
    "Mozilla/5.0 (X11; Linux x64) AppleWebKit/537.36 (KHTML, like Gecko) HappyDOM/15.0.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/602.1 (KHTML, like Gecko) splash Version/10.0",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 PhantomJS/2.1.1 Safari/538.1",
    "Mozilla/5.0 (X11; Linux x86_64; Rigor) AppleWebKit/537.36 Chrome/86.0.4240.75 Safari/537.36",
    # Monitors and health checks.
    CHROME + " DatadogSynthetics",
    CHROME + " RuxitSynthetic/1.0 v12345 t987",
    CHROME + " NewRelicSynthetics/1.0",
    CHROME + " (StatusCake)",
    CHROME + " Site24x7",
    CHROME + " Checkly/1.0",
    CHROME + " PingdomTMS/2020.2",
    CHROME + " (Dotcom-Monitor)",
    CHROME + " BetterStackSynthetics",
    "Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Better Stack Better Uptime Bot Mozilla/5.0 (Macintosh) Chrome/140.0.0.0 Safari/537.36",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
    "GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com/monitoring)",
    "Amazon-Route53-Health-Check-Service (ref 5f1a; report http://amzn.to/1vsZADi)",
    "ELB-HealthChecker/2.0",
    "GoogleHC/1.0",
    "kube-probe/1.31",
    "Blackbox Exporter/0.24.0",
    "Consul Health Check",
    "check_http/v2.3.3 (nagios-plugins 2.3.3)",
    # Scanners.
    "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
    "Mozilla/5.0 (compatible; QualysGuard WAS)",
    "Mozilla/5.00 (Nikto/2.1.5) (Evasions:None) (Test:Port Check)",
    "sqlmap/1.7.8#stable (https://sqlmap.org)",
    "Mozilla/5.0 zgrab/0.x",
    "Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)",
    CHROME + " Detectify",
    # Search, previews and archives.
    "Mozilla/5.0 (compatible; Google-InspectionTool/1.0;)",
    ANDROID.format("Nexus 5X Build/MMB29P")
    + "Chrome/140.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    ANDROID.format("Pixel 2 Build/OPD3; Storebot-Google/1.0") + "Chrome/140.0.0.0 Mobile",
    "Mozilla/5.0 (Linux; Android 7.0; compatible; Spiderling/1.0) Mobile Safari/537.36",
    IPHONE + "Safari/604.1 (Applebot/0.1; +http://www.apple.com/go/applebot)",
    "GoogleOther",
    "Mozilla/5.0 (compatible; Google-Read-Aloud; +https://support.google.com/webmasters)",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (Windows NT 10.0) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "TelegramBot (like TwitterBot)",
    "Twitterbot/1.0",
    "WhatsApp/2.23.20.0",
    "Screaming Frog SEO Spider/20.0",
    CHROME + " ArchiveBox/0.7.2 (+https://github.com/ArchiveBox/ArchiveBox/)",
    # What fetches and browses for language models.
    MOZILLA[:-1].removesuffix(")") + "; compatible; GoogleAgent-Mariner) Chrome/142.0.0.0",
    MOZILLA[:-1].removesuffix(")") + "; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 AppleWebKit/537.36 (compatible; ChatGPT-User/1.0; +https://openai.com/bot)",
    MOZILLA + "OAI-SearchBot/1.0",
    MOZILLA + "ClaudeBot/1.0",
    MOZILLA + "Claude-User/1.0",
    MOZILLA + "Perplexity-User/1.0",
    CHROME + "; Manus-User/1.0",
    CHROME + " Agent-NovaAct/0.9",
    CHROME + " Google-Agent",
    "meta-externalagent/1.1",
    ANDROID.format("K") + "Chrome/140.0.0.0 Mobile Safari/537.36 (compatible; Bytespider)",
    "CCBot/2.0 (https://commoncrawl.org/faq/)",
    # Unheard of; they give an address, or call themselves compatible.
    "Mozilla/5.0 (compatible; Unheard/1.0; +https://unheard.example/about)",
    "Mozilla/5.0 (compatible; Unheard)",
    CHROME + " Unheard/2.0 (https://unheard.example/about)",
    CHROME + " hello@unheard.example",
    "Unheard/1.0 (https://unheard.example/) " + CHROME,
]
APPS = [
    "Mobile Safari/537.36 Instagram 296.0.0.35.109 Android (33/13; 420dpi; 1080x2117; {}; {}; o1s)",
    "Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/407.0.0.0.65;FBMF/{};FBDV/{};FBCR/Bot Mobile;]",
    "Mobile Safari/537.36 Line/12.1.1/IAB",
    "Mobile Safari/537.36 Snapchat/12.61.0.50 ({}; Android 13#{}; gzip; )",
    "Mobile Safari/537.36 musical_ly_2022803040 JsSdk/1.0 NetType/WIFI AppName/musical_ly "
    "ByteLocale/de-DE Region/DE BytedanceWebview/d8a21c6",
    "Mobile Safari/537.36 Weibo ({}-{}__weibo__11.6.3__android__android13)",
]
PLATFORMS = [
    "Mozilla/5.0 (Linux; Android 13; {} Build/TP1A) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; U; Android 12; de-de; {} (Dual) Build/1) Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; arm_64; Android 12; {}) AppleWebKit/537.36 YaBrowser/23.1 Mobile",
    "Mozilla/5.0 (Android 13; Mobile; {}; rv:140.0) Gecko/140.0 Firefox/140.0",
    "Mozilla/5.0 (Phone; OpenHarmony 5.0; {}) AppleWebKit/537.36 Chrome/114.0.0.0 ArkWeb/4.1.6.1",
    "Mozilla/5.0 (Linux; Android 12; HarmonyOS; {}; HMSCore 6.12) HuaweiBrowser/14.0 Mobile",
    "Mozilla/5.0 (Mobile; {}; rv:84.0) Gecko/84.0 Firefox/84.0 KAIOS/3.0",
    "Mozilla/5.0 (Linux; Tizen 2.3; {}) AppleWebKit/537.3 Version/2.3 Mobile Safari/537.3",
    "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0; {}) AppleWebKit/537.36 Version/6.0 TV Safari/537.36",
    "Mozilla/5.0 (Web0S; Linux/SmartTV; {}) AppleWebKit/537.36 Chrome/94.0.4606.128 Safari/537.36",
    "Mozilla/5.0 (Web0S; Linux/SmartTV) Chrome/94.0 LG Browser/8.00.00 (LGE; {}; 03.00.15; 1)",
    "Mozilla/5.0 (Linux armv7l) Chrome/84.0 OPR/46.0 OMI/4.20 VIZIO-DTV/V7.2 (Vizio, {}, wireless)",
    "Mozilla/5.0 (Linux; Andr0id 9; {}) AppleWebKit/537.36 Chrome/96.0 Safari/537.36 OPR/46.0",
    "Mozilla/5.0 (Linux) Chrome/94.0 HbbTV/1.5.1 (+DRM;{};SmartTV2021:UAU8000;T-KTM2DEUC;;)",
    "Dalvik/2.1.0 (Linux; U; Android 13; {} Build/TP1A)",
    "MyShop/4.2 (iPhone; iOS 18.1; {})",
]
PEOPLE = [
    CHROME,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
    IPHONE + "Version/18.1 Safari/604.1",
    IPHONE + "Safari/604.1 (Ecosia ios@9.2.3.1367)",
    IPHONE + "Instagram 123.1.0.26.115 (iPhone11,8; iOS 18_1; de_DE; scale=2.00; 828x1792)",
    IPHONE + "[FBAN/FBIOS;FBDV/iPhone11,8;FBMD/iPhone;FBSN/iOS;FBSV/18.1;FBCR/Spider;FBID/phone]",
    IPHONE + "NAVER(inapp; search; 2000; 12.3.6; 14PRO)",
    "Mozilla/5.0 (Windows NT 10.0) Chrome/108.0 Electron/22.0.0 Safari/537.36 Slack_SSB/4.4.2",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    "Mozilla/5.0 (compatible; Konqueror/4.5; FreeBSD) KHTML/4.5.4 (like Gecko)",
    ANDROID.format("CUBOT_P20") + "Chrome/140.0.0.0 Mobile Safari/537.36",
    CHROME + " CubotBrowser/1.0 Unsplash/7.0",
    "Phone Spider-Man Edition",
    "",
]
# Backends and apps send heartbeats with them.
LIBRARIES = [
    "aiohttp/3.9.1",
    "Apache-HttpClient/4.5.10 (Java/17.0.9)",
    "axios/1.7.2",
    "curl/8.5.0",
    "Dart/3.3 (dart:io)",
    "Go-http-client/2.0",
    "GuzzleHttp/7",
    "Java-http-client/21.0.2",
    "libwww-perl/6.72",
    "MyShop/1.0 CFNetwork/1490.0.4 Darwin/23.2.0",
    "node",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "node-superagent/3.8.3",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "Python/3.12 aiohttp/3.9.1",
    "undici",
    "Wget/1.21.4",
    "WordPress/6.5; https://shop.example",
]


@pytest.mark.fault("B35")
@pytest.mark.parametrize("user_agent", ROBOTS)
def test_robots_that_say_so(user_agent: str) -> None:
    assert is_bot(user_agent.encode())


@pytest.mark.fault("B35")
@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("user_agent", [*PLATFORMS, *(ANDROID + app for app in APPS)])
def test_a_device_may_have_any_name(user_agent: str, name: str) -> None:
    device = user_agent.replace("{}", name)
    assert not is_bot(device.encode())
    assert not is_bot(device.encode()[: len(user_agent) + 2])  # cut off
    assert is_bot(f"{device} Googlebot/2.1".encode())


@pytest.mark.fault("B35")
@pytest.mark.parametrize("user_agent", [*PEOPLE, *LIBRARIES])
def test_people_and_libraries_are_counted(user_agent: str) -> None:
    assert not is_bot(user_agent.encode())
