"""How a visitor came, in the names by which that is counted (store/sources.py)."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from service.api.requests.heartbeats import HeartbeatBody
from service.api.requests.referrers import clean_referrer
from service.sites import Site

# Who comes back from paying was here before.
_PAYMENTS = frozenset(
    [
        "2checkout.com",
        "3dsecure.io",
        "adyen.com",
        "alipay.com",
        "amazonpay.com",
        "arcot.com",
        "authorize.net",
        "billing.stripe.com",
        "bluesnap.com",
        "braintreegateway.com",
        "buy.stripe.com",
        "cardinalcommerce.com",
        "checkout.com",
        "checkout.stripe.com",
        "giropay.de",
        "gocardless.com",
        "hooks.stripe.com",
        "invoice.stripe.com",
        "klarna.com",
        "mollie.com",
        "paddle.com",
        "paydirekt.de",
        "paypal.com",
        "payu.com",
        "przelewy24.pl",
        "razorpay.com",
        "sofort.com",
        "stripe.network",
        "worldpay.com",
        "pay.google.com",
        "pay.stripe.com",
        "payments.amazon.com",
    ]
)


def names_of(beat: HeartbeatBody, device: str, headers: Mapping[bytes, bytes], site: Site) -> str:
    """The names of how somebody came and on what, a tab between them. A host of the site's own and
    one where people pay are not sources."""
    source = _host_or_name(beat.source or "")
    if _is_own(source, headers, site) or _is_payment(source):
        source = ""
    names = [f"source {source or '--'}"]
    if medium := (beat.medium or "").lower():
        names.append(f"medium {medium}")
    if beat.campaign:
        names.append(f"campaign {beat.campaign}")
    names.append(f"device {device}")
    return "\t".join(names)


def _host_or_name(source: str) -> str:
    """The host of a URL, or the name as it is; lower case, and `www.` is not part of it."""
    text = str(clean_referrer(source)) if "//" in source else source.lower()
    return text.removeprefix("www.")


def _is_own(source: str, headers: Mapping[bytes, bytes], site: Site) -> bool:
    if not source:
        return False
    try:
        here = urlsplit(headers.get(b"origin", b"").decode("latin-1")).hostname or ""
    except ValueError:
        here = ""
    here = here.removeprefix("www.")
    if source == here or _is_below(source, here) or _is_below(here, source):
        return True
    return bool(
        site.origins and any(site.allows(f"https://{host}") for host in (source, f"www.{source}"))
    )


def _is_below(host: str, domain: str) -> bool:
    return "." in domain and host.endswith("." + domain)


def _is_payment(source: str) -> bool:
    labels = source.split(".")
    return any(".".join(labels[n:]) in _PAYMENTS for n in range(len(labels)))
