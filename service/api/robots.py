"""Robots, by the User-Agent in which they say so."""

import re
from functools import lru_cache

# Those that name themselves, or give the address of a page about them. HTTP libraries are not among
# them: backends beat with them.
_BOT = re.compile(
    r"(?<!cu)bot(?:\b|_)|crawl|spider(?![ _-]?man)|slurp|archiver|facebookexternalhit|"
    r"facebookcatalog|meta-external|feedfetcher|mediapartners|preview|lighthouse|pagespeed|"
    r"gtmetrix|pingdom|uptime|monitoring|validator|scrapy|headless|prerender|rendertron|"
    r"phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|"
    r"\bgoogle-|-google\b|googleother|googleproducer|google favicon|"
    r"\bPTST\b|webpagetest|speedcurve|debugbear|catchpoint|synthetic|statuscake|site24x7|"
    r"thousandeyes|checkly|"
    r"yandex(?:images|video|media|blogs|webmaster|metrika|direct|favicons|accessibility)|"
    r"(?:chatgpt|claude|perplexity|mistralai)-(?:user|web)|anthropic-ai|cohere-ai|"
    r"httrack|heritrix|screaming frog|sitebulb|linkcheck|checklink|iframely|embedly|"
    r"\AWhatsApp/|\+https?://(?!github\.com/)",
    re.IGNORECASE,
)
# The system and the model of a phone, which may have any name; a robot that poses as one gives its
# own name elsewhere, or says here that it is compatible.
_PHONE = re.compile(r"\((?:Linux; )?(?:U; )?Android (?:(?!compatible|://)[^()]|\([^()]*\))*\)")


@lru_cache(maxsize=4096)
def is_bot(user_agent: bytes) -> bool:
    """Whether a User-Agent calls itself a crawler, a previewer, a monitor or a browser that no
    person looks at."""
    return _BOT.search(_PHONE.sub("", user_agent.decode("latin-1"), count=1)) is not None
