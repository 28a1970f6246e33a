"""README.md and docs/ say what is: settings, endpoints, commands, files and tests by name; and
every link leads somewhere.

`python -m tests.repository.test_docs` writes the tables of settings and of abuse.
"""

import ast
import re
from pathlib import Path

import pytest

from service.app import ROUTES
from service.cli import main as command_line
from service.settings import PREFIX, SETTINGS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
OTHERS = ["CHANGELOG.md", "SECURITY.md", "client/README.md", "python/README.md"]
DOCUMENTS = [*PAGES, *(ROOT / name for name in OTHERS)]
BEGIN = "<!-- settings: written by python -m tests.repository.test_docs -->\n"
END = "<!-- end of settings -->"
ABUSE_BEGIN = "<!-- abuse: written by python -m tests.repository.test_docs -->\n"
ABUSE_END = "<!-- end of abuse -->"
# What comes, and what must hold; a row is shown as soon as a test is marked with it.
ABUSE = {
    "B19": ("trailers that are spelled like headers", "nothing is read from them; they end at the balancers"),
    "B20": ("endless trailers, or empty lines before a request; a head of 70 KB in one piece", "cut off; memory stays bounded"),
    "B21": ("operator endpoints through a plain proxy, two Hosts, bad Hosts, absolute targets, rebound names", "a token, always; 400 where it is not clear which host is meant"),
    "B22": ("one address names 10,000 pages", "new pages are still named; totals stay exact"),
    "B23": ("thousands of live streams, each of another page", "at most 40 KB a stream"),
    "B24": ("CSV where `;` or tab separates", "no cell is a formula"),
    "B25": ("private sites beside unknown ones", "they cannot be told apart"),
    "B26": ("characters that are not seen, in paths, names and cities", "422"),
    "B27": ("pipelined requests across packet borders, for long", "served"),
    "B28": ("passwords with `/ # ? @` in the Redis URL", "no part of them is shown anywhere"),
    "B29": ("offers to upgrade, with a body: curl and Java", "served as HTTP/1.1"),
    "B30": ("tracing headers in preflights", "allowed"),
    "B31": ("one bad item of a thousand in a batch", "the others are written"),
    "B32": ("one page in several spellings", "one row, found by each"),
    "B33": ("line feeds, BOM, default ports, wildcard and app origins in settings", "read as meant, or the start stops with the remedy"),
    "B34": ("unknown or wrong options of the Redis URL; TLS in each form", "the start stops with one line; TLS works"),
    "B35": ("robots that say so; phones with odd names", "dropped; counted"),
    "B36": ("proxies that compress or collect live streams", "events come at once; where a proxy holds them back whatever they say, pages fetch the numbers"),
}  # fmt: skip


def settings_table() -> str:
    """The table of settings, from the very list that is read at the start."""
    rows = ["| variable | default | unit | meaning |", "|---|---|---|---|"]
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else ""
        help_text = re.sub(r"[a-z+]+://[^\s,]*(?:,h:p[^\s,]*)?", r"`\g<0>`", setting.help)
        rows.append(f"| `{PREFIX}{setting.name}` | {default} | {setting.unit} | {help_text} |")
    return "\n".join(rows) + "\n"


def test_settings_table_is_up_to_date() -> None:
    text = (DOCS / "settings.md").read_text()
    shown = text.partition(BEGIN)[2].partition(END)[0]
    assert shown == settings_table(), "run python -m tests.repository.test_docs"


def marked_tests() -> dict[str, list[str]]:
    """By row, the tests that are marked with it, as file::name."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if "pytest.mark.fault(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            for mark in getattr(node, "decorator_list", ()):
                if ast.unparse(mark).startswith("pytest.mark.fault("):
                    (row,) = mark.args
                    name = f"{path.relative_to(ROOT)}::{getattr(node, 'name', '')}"
                    found.setdefault(row.value, []).append(name)
    return found


def abuse_table() -> str:
    """The rows that tests are marked with."""
    tests = marked_tests()
    rows = ["| row | what comes | what must hold | tests |", "|---|---|---|---|"]
    for row, (given, required) in ABUSE.items():
        if row in tests:
            named = ", ".join(f"`{name}`" for name in tests[row])
            rows.append(f"| {row} | {given} | {required} | {named} |")
    return "\n".join(rows) + "\n"


def test_abuse_table_is_up_to_date() -> None:
    text = (DOCS / "reliability.md").read_text()
    shown = text.partition(ABUSE_BEGIN)[2].partition(ABUSE_END)[0]
    assert shown == abuse_table(), "run python -m tests.repository.test_docs"


def test_no_setting_is_named_that_is_none() -> None:
    names = {PREFIX + setting.name for setting in SETTINGS}
    for document in DOCUMENTS:
        named = set(re.findall(r"PRESENCE_[A-Z_]+[A-Z]", document.read_text()))
        assert named <= names, document.name


def test_every_endpoint_is_in_the_table_and_no_other() -> None:
    there = {
        (method, route.path.replace(":path}", "}"))
        for route in ROUTES
        for method in route.methods or set()
        if method != "HEAD"
    }
    shown = {
        (method, path)
        for methods, path in re.findall(r"`([A-Z]+(?:`, `[A-Z]+)*) (/[^`]*)`", README.read_text())
        for method in methods.split("`, `")
    }
    assert shown == there


def test_commands_are_in_the_table() -> None:
    text = (DOCS / "command-line.md").read_text()
    assert command_line.commands
    for name in command_line.commands:
        assert re.search(rf"^\| `presence {name}\b", text, re.MULTILINE), name


def names_in(path: Path) -> set[str]:
    """What is defined in it."""
    pattern = r"^\s*(?:async )?(?:def|class) (\w+)"
    return set(re.findall(pattern, path.read_text(), re.MULTILINE))


NAMED = sorted(
    {
        found
        for document in DOCUMENTS
        for found in re.findall(r"(tests/(?:\w+/)*\w+\.py)(?:::(\w+))?", document.read_text())
    }
)


@pytest.mark.parametrize("file, name", NAMED, ids=str)
def test_named_tests_exist(file: str, name: str) -> None:
    assert (ROOT / file).is_file()
    assert not name or name in names_in(ROOT / file)


def test_every_rule_names_its_test() -> None:
    """Each line of the page on conflicts says where the rule lives and what proves it."""
    section = (DOCS / "conflicts.md").read_text().partition("\n## ")[0]
    rows = re.findall(r"^\| (?!rule|---)(.*) \|$", section, re.MULTILINE)
    assert len(rows) >= 11
    for row in rows:
        _, here, proof = row.rsplit(" | ", 2)
        assert re.search(r"`[\w/.]+\.\w+`", here), row
        assert re.search(r"tests/(?:\w+/)*\w+\.py::\w+", proof), row


def test_named_files_exist() -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        pattern = r"`((?:service|lua|client|deploy|bench|docs|tests|\.ci)/[\w./]*)`"
        for name in re.findall(pattern, text):
            assert (ROOT / name).exists(), f"{document.name}: {name}"


def headings(document: Path) -> set[str]:
    """The anchors of a document, spelled as GitHub spells them."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(document: Path) -> list[str]:
    """What a document links to or shows, but for other servers; code is not looked at."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    found += re.findall(r'(?:src|srcset|href)="([^"]+)"', re.sub(r"`[^`\n]*`", "", text))
    return [link for link in found if not link.startswith(("http:", "https:"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 200


def test_every_page_is_in_the_index() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(INDEX)}
    pages = set(DOCS.glob("*.md")) - {INDEX}
    assert pages <= linked
    rows = re.findall(r"^\| .*\? \| \[\S+\]\(\S+\) \|$", INDEX.read_text(), re.MULTILINE)
    assert len(rows) == len(pages), "a page answers a question, on one line"


def test_readme_leads_to_the_index() -> None:
    assert "docs/README.md" in links(README)


def test_every_folder_is_in_the_layout() -> None:
    """docs/development.md names all packages of the service, and no other."""
    table = (DOCS / "development.md").read_text().partition("\n## Layout")[2]
    named = set(re.findall(r"^\| `service/(\w+)/` ", table, re.MULTILINE))
    assert named == {init.parent.name for init in (ROOT / "service").glob("*/__init__.py")}


def _write(document: Path, marks: tuple[str, str], content: str) -> None:
    before, begin, rest = document.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    assert begin
    assert end
    document.write_text(before + begin + content + end + after)


def main() -> None:
    """Writes the tables of settings and of abuse."""
    _write(DOCS / "settings.md", (BEGIN, END), settings_table())
    _write(DOCS / "reliability.md", (ABUSE_BEGIN, ABUSE_END), abuse_table())


if __name__ == "__main__":
    main()
