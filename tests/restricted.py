"""The user of deploy/redis.acl, with the password of a test."""

from pathlib import Path

from tests.servers import Server

ACL = Path(__file__).parents[1] / "deploy" / "redis.acl"
PASSWORD = "a-s3cret-password"


def restrict(server: Server, *more: str) -> None:
    """Makes the user; `more` are rules besides those of the file."""
    user = ACL.read_text().splitlines()[1].split()
    assert user[:2] == ["user", "presence"]
    rules = [rule.replace(">CHANGE-THIS-PASSWORD", f">{PASSWORD}") for rule in user[2:]]
    server.client.execute_command("ACL", "SETUSER", "presence", *rules, *more)


def url_of(server: Server, password: str = PASSWORD) -> str:
    """The address of a server, for that user."""
    return f"redis://presence:{password}@127.0.0.1:{server.port}"
