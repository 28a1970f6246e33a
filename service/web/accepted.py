"""What a client says it takes, in headers such as Accept-Encoding and Accept-Language."""


def qualities_of(header: str) -> dict[str, float]:
    """The quality, 0 to 1, of each name in the header (RFC 9110, 12.4.2), in its order. One that
    cannot be read is 0: what a client takes is not guessed."""
    qualities: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameter = part.partition(";")
        quality = parameter.strip().removeprefix("q=")
        try:
            qualities[name.strip()] = float(quality) if quality else 1.0
        except ValueError:
            qualities[name.strip()] = 0.0
    return qualities
