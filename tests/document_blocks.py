"""Code blocks of the README and of the pages below `docs/`, and the commands in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page):
    return str(page.relative_to(ROOT))


def text_of(page):
    """The text of a page, with the files that it includes."""
    include = re.compile(r'^--8<-- "(.*)"$', re.MULTILINE)
    return include.sub(lambda match: (ROOT / match[1]).read_text(), page.read_text())


def blocks(page, language):
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


def commands(page):
    """The words of every command in shell blocks, and of every `zoo` or `python` one in prose."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"`(zoo \w+ [^`]+|python [^`]+)`", prose)
    return [command for line in lines for command in split(line)]


def split(line):
    """The commands of a line of the shell, without variables before them and redirections."""
    reader = shlex.shlex(line, posix=True, punctuation_chars="&|<>;")
    reader.whitespace_split = True
    found, words = [[]], iter(reader)
    for word in words:
        if word in ("<", ">"):
            next(words)
        elif word in ("&&", "|", ";"):
            found.append([])
        elif found[-1] or not re.fullmatch(r"\w+=.*|srun", word):
            found[-1].append(word)
    return [command for command in found if command]
