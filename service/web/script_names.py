"""What the browser client is called. Blockers go by names: the setting SCRIPT_NAME gives it another
one, `here.js`, and with it to its parts, `here-live.js`."""

import functools

from service.web.assets import Asset, Assets, asset_of

DEFAULT = "presence.js"
_PART = b"presence-live.js"  # what a script loads when it is needed


def find_script(assets: Assets, name: str, script_name: str) -> Asset | None:
    """A script of the client by its own name, or by the one that it is given."""
    stem = script_name.removesuffix(".js")
    part = name.removeprefix(stem)
    # `p.js` is not what `presence.js` begins with.
    if script_name == DEFAULT or part == name or part[:1] not in (".", "-"):
        return assets.by_name.get(name)
    found = assets.by_name.get("presence" + part)
    return _with_part_of(found, stem) if found and _PART in found.body else found


@functools.lru_cache(maxsize=16)
def _with_part_of(script: Asset, stem: str) -> Asset:
    return asset_of(script.body.replace(_PART, f"{stem}-live.js".encode()), ".js")
