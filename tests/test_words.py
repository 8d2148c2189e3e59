"""Words that CONTRIBUTING rules out, in what users read."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
WORDS = [
    word
    for left in re.findall(r"^\| (.+) \| .+ \|$", CONTRIBUTING.split("## Words")[1], re.MULTILINE)
    for word in left.split(", ")
    if word != "not"
]
BANNED = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
SOURCES = [
    path
    for folder in ("zoo", "configs", "benchmarks", "tools", "examples")
    for path in (ROOT / folder).rglob("*.py")
]


def prose(source):
    """The strings of a module that are sentences: docstrings, messages, help."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def found(text):
    # Names of identifiers and options are not words.
    return BANNED.findall(re.sub(r"`[^`]*`|\$HOME/\w+", "", text))


def test_the_list_is_read():
    assert {"picture", "told", "grey"} <= set(WORDS)
    assert found("a Grey picture of `told`") == ["Grey", "picture"]


@pytest.mark.parametrize("paths", [PAGES, SOURCES], ids=["pages", "package"])
def test_no_ruled_out_word_is_used(paths):
    wrong = {}
    for path in paths:
        text = path.read_text()
        if path.name == "CONTRIBUTING.md":
            text = text.split("## Words")[0]
        texts = prose(text) if path.suffix == ".py" else [text]
        if words := [word for one in texts for word in found(one)]:
            wrong[str(path.relative_to(ROOT))] = words
    assert wrong == {}
