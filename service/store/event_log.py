"""What an entry of `events` says: of whom, and where they are after it and were before."""

from collections.abc import Iterable, Mapping

from service.store.members import Member

ERASED = "erased"  # of nobody: entries before it are gone (lua/erase_events.lua)
# A session that goes on in another shard, since its site is split anew, came into one, and went
# from the other.
CARRIED = ("carried_in", "carried_out")


def member_in(event: Mapping[str, str]) -> Member:
    """Where an event says that a session is, or was when it left."""
    return Member(
        event.get("session", ""),
        event.get("country", "--"),
        event.get("path", ""),
        event.get("user", ""),
    )


def origin_of(event: Mapping[str, str]) -> Member:
    """Where a session was, and whose, before an event."""
    member = member_in(event)
    if event.get("type") == "identified":
        return member._replace(user=event.get("was", ""))
    return member._replace(path=event.get("from", ""))


def here_after(events: Iterable[Mapping[str, str]]) -> dict[Member, str]:
    """Who is here after these events, with the moment they joined, ms, as far as it is known."""
    here: dict[Member, str] = {}
    for event in events:
        member = member_in(event)
        match event.get("type"):
            case "joined" | "carried_in":
                here[member] = event["at"]
            case "moved" | "identified":
                here[member] = here.pop(origin_of(event), event["at"])
            case "left" | "carried_out":
                here.pop(member, None)
    return here
