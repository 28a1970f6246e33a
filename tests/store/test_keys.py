"""Key spellings: what an operator types, and what holds a site together on one slot."""

from collections import Counter
from zlib import crc32

import pytest
from redis.crc import key_slot

from service.store.keys import MS_PER_HOUR, Keys, ShardKeys, day_text, hour_text
from service.store.tags import shard_number, shard_of, site_of, tag_of

NOW_HOUR = 1_900_000_000_000 // MS_PER_HOUR  # 2030-03-17T17
S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
SITES = ["blog", "example.org", "a", "a.b-c.example", "x" * 63, *(f"site-{n}" for n in range(200))]


def all_keys(keys: ShardKeys) -> list[str]:
    return [
        *keys.all_of(NOW_HOUR), keys.session(S), keys.viewed(S, "/a{b}c"),
    ]  # fmt: skip


def test_the_spellings() -> None:
    keys = Keys().of_session("blog", S)
    assert keys.session(S) == f"presence:{{blog}}:session:{S}"
    assert keys.viewed(S, "/hello") == f"presence:{{blog}}:viewed:{S}:/hello"
    assert keys.active == "presence:{blog}:active"
    assert keys.uniques_of(NOW_HOUR) == "presence:{blog}:uniques:20300317"
    assert keys.minutes_of(NOW_HOUR) == "presence:{blog}:minutes:2030031717"
    assert keys.hours_of(NOW_HOUR) == "presence:{blog}:hours:20300317"
    assert Keys().due == "presence:due"


@pytest.mark.parametrize("shards", [1, 3, 12])
def test_all_keys_of_a_shard_are_in_one_slot(shards: int) -> None:
    for keys in Keys("p", shards).of_site("example.org"):
        names = all_keys(keys)
        assert {key_slot(name.encode()) for name in names} == {key_slot(keys.tag.encode())}
        assert all(name.startswith(f"p:{{{keys.tag}}}:") for name in names)


def test_a_session_is_always_in_the_same_shard() -> None:
    assert {shard_of(f"session-{n}", 12) for n in range(500)} == set(range(12))
    assert shard_of(S, 12) == crc32(S.encode()) % 12
    assert shard_of(S, 1) == 0
    keys = Keys("p", 12)
    assert keys.of_session("blog", S) is keys.of_site("blog")[shard_of(S, 12)]
    assert keys.of_tag(tag_of("blog", shard_of(S, 12), 12)) is keys.of_session("blog", S)


@pytest.mark.parametrize(
    "site, shards, tags",
    [
        ("blog", 1, ["blog"]),
        ("blog", 2, ["blog/0.2", "blog/1"]),
        ("blog", 3, ["blog/0.2", "blog/1", "blog/2.2"]),
        (
            "example.org",
            4,
            ["example.org/0.4", "example.org/1.2", "example.org/2.4", "example.org/3.2"],
        ),
    ],
)
def test_the_tags_of_shards(site: str, shards: int, tags: list[str]) -> None:
    assert [tag_of(site, n, shards) for n in range(shards)] == tags
    assert [shard_number(tag) for tag in tags] == list(range(shards))
    assert [keys.tag for keys in Keys("p", shards).of_site(site)] == tags


SITES = ["blog", "example.org", "a", "a.b-c.example", "x" * 63, *(f"site-{n}" for n in range(200))]


def part_of(tag: str, shards: int) -> int:
    """The part of all slots that the keys of a tag lie in, of so many equal ones."""
    return int(key_slot(Keys().of_tag(tag).active.encode())) * shards // 16_384


@pytest.mark.parametrize("shards", [2, 3, 12])
def test_each_shard_lies_in_its_own_part_of_the_slots(shards: int) -> None:
    for site in SITES:
        tags = [tag_of(site, n, shards) for n in range(shards)]
        assert [part_of(tag, shards) for tag in tags] == list(range(shards))
        assert {site_of(tag) for tag in tags} == {site}


def test_the_plain_tag_is_kept_where_it_lies_right() -> None:
    plain = {
        (site, n): f"{site}/{n}"
        for site in SITES
        for n in range(3)
        if tag_of(site, n, 3)[-2] == "/"
    }
    assert len(SITES) / 2 < len(plain) < 2 * len(SITES)  # a third of them, by chance
    assert all(part_of(tag, 3) == n for (_, n), tag in plain.items())


@pytest.mark.parametrize(
    "last",
    [(5460, 10922), (5460, 10921)],
    ids=["as redis-cli deals them out", "rounded down"],
)
def test_twelve_shards_on_three_nodes_are_four_on_each(last: tuple[int, int]) -> None:
    for site in SITES:
        slots = [key_slot(keys.active.encode()) for keys in Keys("p", 12).of_site(site)]
        nodes = Counter(sum(slot > end for end in last) for slot in slots)
        assert nodes == {0: 4, 1: 4, 2: 4}, site


def test_a_site_in_one_piece_has_its_own_name() -> None:
    assert [tag_of(site, 0, 1) for site in SITES] == SITES


@pytest.mark.parametrize(
    "hour, hour_name, day_name",
    [
        (0, "1970010100", "19700101"),
        (23, "1970010123", "19700101"),
        (24, "1970010200", "19700102"),
        (NOW_HOUR, "2030031717", "20300317"),
        (473_351, "2023123123", "20231231"),
        (473_352, "2024010100", "20240101"),
        (473_352 + 24 * 59, "2024022900", "20240229"),
    ],
)
def test_hours_and_days_are_utc(hour: int, hour_name: str, day_name: str) -> None:
    assert (hour_text(hour), day_text(hour // 24)) == (hour_name, day_name)


def test_the_last_keys_are_those_of_an_hour_and_its_day() -> None:
    keys = Keys().of_session("blog", S)
    assert keys.all_of(NOW_HOUR // 24 * 24 + 23)[13:] == (
        "presence:{blog}:uniques:20300317",
        "presence:{blog}:minutes:2030031723",
        "presence:{blog}:hours:20300317",
    )
