"""References within the document."""


def ref(kind: str, name: str) -> dict[str, str]:
    """A reference to one of the document's components."""
    return {"$ref": f"#/components/{kind}/{name}"}
