"""httpx's one-off requests to services that speak plain HTTP, and its client.

httpx reads the hundred and more certificates that it trusts for each client, and for each request
that is made without one: 30 ms of CPU, and as much each time a condition is asked for again. These
trust none, so HTTPS fails."""

import functools
import ssl

import httpx

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # shared, and without a certificate to trust

get = functools.partial(httpx.get, verify=_NO_TLS)
post = functools.partial(httpx.post, verify=_NO_TLS)
Client = functools.partial(httpx.Client, verify=_NO_TLS)
