"""Robots, by the User-Agent in which they say so.

HTTP libraries (curl, requests, okhttp and their kind) are not among them: backends and apps send
heartbeats with them. Nor is Electron, which makes desktop apps.
"""

import re
from functools import lru_cache

# Names that are whole words.
_BROWSERS = """
    applitools browserless browsershot browserstack casperjs criticalcss cutycapt cypress dareboost
    debugbear ghostinspector gtmetrix happydom hotjar htmlunit hyperbrowser jsdom katalon
    lambdatest lightpanda mabl novaact percy phantomjs playwright ptst puppeteer rigor saucelabs
    selenium silktide sitespeed slimerjs speedcurve splash stagehand testcafe testim treo url2png
    urlbox weasyprint webpagetest wkhtmltoimage wkhtmltopdf
"""
_MONITORS = """
    alwayson appdynamics appinsights betterstack catchpoint checkly cronitor datadog
    datadogsynthetics dynatrace freshping gatus googlehc haproxy hetrixtools hyperping icinga
    instana monspark montastic nagios nodeping ohdear panopta pulsetic readyforrequest ruxit sensu
    site24x7 siteimprove solarwinds statping statuscake thousandeyes updown uptrends zabbix
"""
_SCANNERS = """
    acunetix arachni censys censysinspect detectify dirbuster foregenix hardenize invicti masscan
    nessus netsparker nikto nmap nuclei openvas owasp skipfish sqlmap tenable w3af watchtowr wpscan
    zgrab zmeu
"""
_FETCHERS = """
    bytespider cardyb diffbot embedly facebookcatalog facebookexternalhit heritrix httrack iframely
    img2dataset imgproxy mediapartners nutch scrapy sitebulb sitesucker webcopier yahoomailproxy
"""
_NAMES = frozenset(f"{_BROWSERS} {_MONITORS} {_SCANNERS} {_FETCHERS}".split())
_WORD = re.compile(r"[a-z0-9]+")
# Parts of names; and addresses, of a page about the robot or of who runs it.
_SAYS_SO = re.compile(
    r"(?<!cu)bots?(?![a-z])|crawl|spider(?![ _-]?man)|slurp|scrap(?:er|ing)|"
    r"archiv(?:er|ing|e-it|ebox|e\.org)|index(?:er|ing)\b|fetcher|harvester|sitemap|"
    r"headless|prerender|render(?:er|tron)|(?:web|chrome|gecko)driver|zombie\.js|ghost inspector|"
    r"lighthouse|page ?speed|screen ?shot|thumbnail|preview|"
    r"uptime|monitor(?:ing)?(?![a-z])|synthetic|pingdom|pinger|probe(?![a-z])|"
    r"health[ -]?check|checker|check_http|better stack|blackbox exporter|oh dear|host-tracker|"
    r"valid(?:ator|ation)|inspectiontool|audit|vulnerab|netcraft|qualys|"
    r"(?:content|cookiehub|domain|port|security|site|web)[ -]?scan|\w/scan|"
    r"(?<!user)-agent(?![a-z])|agent-|httpagent|"
    r"[a-z]-user(?![a-z])|(?:anthropic|claude|cohere|gemini|openai)-|meta-external|imageproxy|"
    r"\bgoogle-|-google\b|google(?:other|producer|agent|association|stackdriver| favicon)|"
    r"yandex(?:images|video|media|blogs|webmaster|metrika|direct|favicons|accessibility)|"
    r"screaming frog|link ?check|checklink|link sleuth|"
    r"\Awhatsapp(?:/|\Z)|\+https?://(?!github\.com/)|"
    r"\bcompatible\b(?!; ?(?:msie|konqueror))|"
    r"\A(?=.*mozilla/).*(?:https?://|[\w.]@(?:[a-z0-9-]+\.)+[a-z]{2,})"
)
# Comments that tell of a device: its name, its maker's and its carrier's may have any words.
_COMMENT = re.compile(
    r"\((?>[^()]+|\([^()]*\))*+(?:\)|\Z)|\[fb(?:an|_iab)/[^\]]*+|(?<=hbbtv/)[^ ]* ?\([^()]*+"
)
_DEVICE = re.compile(
    r"\A\((?:linux|mobile|phone|tablet|tv|smart-?tv|hisense|lge|panasonic|philips|samsung|sony|vizio)\b|"
    r"andr[o0]id|harmony|iphone|ipad|"
    r"ipod|\bios\b|tizen|web[o0]s|kaios|sailfish|smart-?tv|netcast|vidaa|bravia|windows phone|"
    r"\d+dpi\b|nintendo|playstation|xbox|blackberry|\bbb10\b|symbian|series[346]0|bada/|roku"
)
# A robot that poses as a device says in the same comment whose it is, or has a version.
_POSES = re.compile(r"\bcompatible\b|://|(?:bot|crawl\w*|spider\w*|-google)/\d")


@lru_cache(maxsize=4096)
def is_bot(user_agent: bytes) -> bool:
    """Whether a User-Agent calls itself a crawler, a previewer, a monitor or a browser that no
    person looks at."""
    text = _COMMENT.sub(_without_device, user_agent.decode("latin-1").lower())
    return not _NAMES.isdisjoint(_WORD.findall(text)) or _SAYS_SO.search(text) is not None


def _without_device(comment: re.Match[str]) -> str:
    tells = comment[0]
    # One without its end was cut off, perhaps before it says which system it is about.
    is_device = not tells.endswith(")") or _DEVICE.search(tells)
    return "()" if is_device and not _POSES.search(tells) else tells
