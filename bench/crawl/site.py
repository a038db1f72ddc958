"""The sites to crawl, as files for nginx."""

PAGES = 5_000
LINKS = 20
BROKEN = 50  # URLs, each linked from two pages

LISTS = 1_000
LEAVES = 1_000  # of each list


def missing(n):
    return f"/missing/{n}.html"


def page(n):
    return f"/p/{n}.html" if n else "/"


def links_of(n):
    """The 20 links of page `n`: three further down, so that all can be reached, and the rest anywhere."""
    links = [3 * n + i for i in (1, 2, 3) if 3 * n + i < PAGES]
    state = n + 1
    while len(links) < LINKS:
        state = state * 6364136223846793005 + 1442695040888963407 & 0xFFFFFFFFFFFFFFFF
        links.append((state >> 33) % PAGES)
    urls = [page(i) for i in links]
    if n % (PAGES // BROKEN // 2) == 7:
        urls[-1] = missing(n // (PAGES // BROKEN // 2) % BROKEN)
    return urls


def document(title, urls):
    items = "\n".join(f'  <li class="entry"><a href="{u}">An entry that is about number {i}</a>, and a word on what it says</li>'
                      for i, u in enumerate(urls))
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1 id="top">{title}</h1>
<p>Some words, as pages have them, so that there is something to read beside the links.</p>
<ul>
{items}
</ul>
</body>
</html>
"""


def write_pages(root):
    (root / "p").mkdir()
    for n in range(PAGES):
        (root / (page(n) if n else "/index.html")[1:]).write_text(document(f"Page {n}", links_of(n)))


def write_lists(root):
    """A start page, 1,000 lists, and on each of them 1,000 links that no other page has."""
    (root / "list").mkdir()
    (root / "start.html").write_text(document("All lists", [f"/list/{n}.html" for n in range(LISTS)]))
    for n in range(LISTS):
        name = "".join(chr(97 + int(c)) for c in str(n))
        text = document(f"List {n}", [f"/leaf/{name}/{word(i)}.html" for i in range(LEAVES)])
        (root / "list" / f"{n}.html").write_text(text)


def word(n):
    return "an-entry-of-" + "".join(chr(97 + int(c)) for c in str(n))


def expected(root):
    """What is broken, one URL's path a line."""
    (root / "broken.txt").write_text("".join(missing(n) + "\n" for n in range(BROKEN)))
