"""Every header that the service reads, with a value that would change something. Sent as a
trailer, none of them may."""

READ = {
    "Accept": "text/html",
    "Access-Control-Request-Method": "POST",
    "Authorization": "Bearer operator",
    "CF-Connecting-IP": "10.9.8.1",
    "CF-IPCity": "Berlin",
    "CF-IPCountry": "DE",
    "CF-IPLatitude": "52.5",
    "CF-IPLongitude": "13.4",
    "CloudFront-Viewer-City": "Berlin",
    "CloudFront-Viewer-Country": "DE",
    "CloudFront-Viewer-Latitude": "52.5",
    "CloudFront-Viewer-Longitude": "13.4",
    "Connection": "close",
    "Content-Length": "1",
    "DNT": "1",
    "Expect": "100-continue",
    "Forwarded": "for=10.9.8.1",
    "Host": "localhost",
    "HTTP2-Settings": "AAMA",
    "If-None-Match": "*",
    "Last-Event-ID": "1-1",
    "Origin": "https://shop.example",
    "Purpose": "prefetch",
    "Sec-CH-UA-Mobile": "?1",
    "Sec-GPC": "1",
    "Sec-Purpose": "prefetch",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "True-Client-IP": "10.9.8.1",
    "Upgrade": "h2c",
    "User-Agent": "Googlebot/2.1",
    "Via": "1.1 proxy",
    "X-Client-IP": "10.9.8.1",
    "X-Forwarded-For": "10.9.8.1",
    "X-Forwarded-Proto": "https",
    "X-Moz": "prefetch",
    "X-NF-Geo": "eyJjb3VudHJ5Ijp7ImNvZGUiOiJERSJ9fQ==",
    "X-Real-IP": "10.9.8.1",
    "X-Request-ID": "from-a-trailer",
    "X-Vercel-IP-City": "Berlin",
    "X-Vercel-IP-Country": "DE",
    "X-Vercel-IP-Latitude": "52.5",
    "X-Vercel-IP-Longitude": "13.4",
}


def chunked(body: bytes, trailers: dict[str, str]) -> bytes:
    """A body in one chunk, with these behind it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers.items())
    return b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, lines.encode())
