"""Keeps the parts that several scripts share in step: `python lua/assemble.py`.

Each script in this folder is complete as it stands, so that `redis-cli --eval lua/heartbeat.lua`
runs the very text the service runs. What stands between `-- @include NAME` and `-- @end` is a
copy of `parts/NAME.lua`, indented as that line is, written by this command; `--check` exits 1
where one is out of date.
"""

import re
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
BLOCK = re.compile(r"^( *)-- @include (\w+)\n.*?^\1-- @end$", re.DOTALL | re.MULTILINE)


def assemble(text: str) -> str:
    """The text with every included part as it is now."""
    return BLOCK.sub(lambda m: _block(m[1], m[2]), text)


def _block(indent: str, name: str) -> str:
    part = textwrap.indent((HERE / "parts" / f"{name}.lua").read_text(), indent)
    return f"{indent}-- @include {name}\n{part}{indent}-- @end"


def main() -> int:
    outdated = [p for p in sorted(HERE.glob("*.lua")) if assemble(p.read_text()) != p.read_text()]
    if "--check" in sys.argv:
        for path in outdated:
            print(f"{path.name} is out of date: run python lua/assemble.py")
        return 1 if outdated else 0
    for path in outdated:
        path.write_text(assemble(path.read_text()))
        print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
