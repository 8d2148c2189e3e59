"""A page as Python's own parser sees it."""

from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "meta"}


class Page(HTMLParser):
    """Elements, tables and text of a page; a tag that is not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self.text = [], [], ""
        self._open = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag}: an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append(["", False])
        if tag == "b":
            self.tables[-1][-1][-1][1] = True

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1][0] += data

    def all(self, tag):
        """The attributes of every such element."""
        return [attributes for name, attributes in self.elements if name == tag]


def number(cell):
    """What a cell says, None for a dash."""
    return None if cell == "\N{EN DASH}" else float(cell.replace("\N{MINUS SIGN}", "-"))
