"""Reads the built site as a browser would and fails the build for a link to a page, file or place that is not there."""
from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = {"", "top"}
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def dead(root: Path) -> list[str]:
    """What of the links in the pages under root leads nowhere."""
    pages = {path: Page(path.read_text()) for path in root.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            name, place = urldefrag(link)
            target = (path.parent / unquote(name).split("?")[0]).resolve() if name else path
            if not target.exists() or (target in pages and unquote(place) not in pages[target].places):
                found.append(f"{path.relative_to(root)}: {link}")
    return found


def check(app, error):
    if error is None and app.builder.name == "html":
        from sphinx.errors import ExtensionError

        lines = dead(Path(app.outdir).resolve())
        if lines:
            raise ExtensionError("dead links:\n" + "\n".join(lines))


def setup(app):
    app.connect("build-finished", check, priority=999)
    return {"parallel_read_safe": True}
