"""Tags of site shards, which stand between the braces of their keys.

All keys of one site shard share the hash tag `{site}` (or `{site/0}`, `{site/1.2}` … where a site
is split, and `{site/0@1}` … once its number of shards was changed, `{site/@<ms>}` where numbers of
former shards are folded), so that one script call touches one slot of a cluster.
"""

from binascii import crc_hqx
from functools import lru_cache
from itertools import count
from zlib import crc32

SLOTS = 16_384  # of Redis Cluster and Valkey Cluster


def shard_of(session_id: str, shards: int) -> int:
    """The shard of a session: `crc32(id) % shards`, the same in every copy and for ever."""
    return crc32(session_id.encode()) % shards if shards > 1 else 0


@lru_cache(maxsize=65_536)
def tag_of(site: str, shard: int, shards: int, generation: int = 0) -> str:
    """What stands between the braces: `blog`, or `blog/2` or `blog/2.1` where sites are split; of
    layouts after the first `blog/2@1` or `blog/2@1.1`, so that no two of a site share a shard.

    Tags fall on slots as if by chance, and three nodes would share twelve of them unevenly. So of
    N shards the n-th is spelled such that its slot lies in the n-th of N equal parts of all slots:
    `site/n` where that does already, else `site/n.k` with the smallest k from 1 that does. Nodes
    that hold equal ranges of slots then hold equally many shards. The first and the last slot of
    a part are not used: whoever deals out slots may round to either side.
    """
    if shards == 1 and not generation:
        return site
    tag = f"{site}/{shard}@{generation}" if generation else f"{site}/{shard}"
    checksum = crc_hqx(tag.encode(), 0)  # CRC16 as clusters take it; it goes on where it ended
    if _lies_in(checksum % SLOTS, shard, shards):
        return tag
    for k in count(1):
        slot = crc_hqx(b".%d" % k, checksum) % SLOTS
        if _lies_in(slot, shard, shards):
            break
    return f"{tag}.{k}"


def archive_tag(site: str, since_ms: int) -> str:
    """What stands between the braces of an archive: `blog/@1795939852172`, when it was made."""
    return f"{site}/@{since_ms}"


def is_archive(tag: str) -> bool:
    """Whether a tag is that of an archive."""
    return "/@" in tag


def _lies_in(slot: int, part: int, parts: int) -> bool:
    return part * SLOTS <= (slot - 1) * parts and (slot + 2) * parts <= (part + 1) * SLOTS


def site_of(tag: str) -> str:
    """The site that a tag belongs to: no name of a site has a slash."""
    return tag.partition("/")[0]


def shard_number(tag: str) -> int:
    """The number of a shard by its tag: 2 of `blog/2` and `blog/2.1`, 0 where sites are whole."""
    return int(tag.partition("/")[2].partition(".")[0].partition("@")[0] or 0)


def generation_of(tag: str) -> int:
    """The number of the layout that a tag belongs to: 1 of `blog/2@1` and `blog/2@1.1`, else 0."""
    return int(tag.partition("@")[2].partition(".")[0] or 0)
