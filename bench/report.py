"""Results of bench/run in words: tables, the machine they were measured on, the versions of all that took part."""
import datetime
import json
import pathlib
import re
import shutil
import subprocess

import peers

HERE = pathlib.Path(__file__).resolve().parent


def duration(ns):
    for unit, size in (("ns", 1), ("us", 1e3), ("ms", 1e6)):
        if ns < 1000 * size:
            return f"{ns / size:.1f} {unit}"
    return f"{ns / 1e9:.2f} s"


def count(n):
    return f"{n:,.0f}" if n >= 100 else f"{n:.2f}"


def ratio(n):
    return f"{n:.2f}" if n >= 0.095 else f"{n:.1g}"


# What a row may have to tell: a heading, the key, and how it is written.
COLUMNS = (
    ("a second", "per_second", count),
    ("each", "ns", duration),
    ("of oneloop", "ratio", ratio),
    ("paired", "paired", ratio),
    ("processor each", "cpu_us", lambda us: duration(us * 1e3)),
    ("load", "load", "{:.0%}".format),
    ("server", "server", "{:.0%}".format),
    ("bytes each", "bytes", "{:,.0f}".format),
    ("all started", "start_s", lambda s: duration(s * 1e9)),
    ("peak", "peak", lambda n: f"{n / 1e6:,.0f} MB"),
    ("requests", "requests", "{:,.0f}".format),
    ("missed", "missed", "{:,.0f}".format),
    ("made up", "made_up", "{:,.0f}".format),
    ("spread", "spread", "{:.0%}".format),
)


def table(rows):
    """Lines of cells, the headings first, without columns that have nothing to tell. Then the rows not measured."""
    measured = {name: row for name, row in rows.items() if "ns" in row}
    columns = [c for c in COLUMNS if any(row.get(c[1]) for row in measured.values())]
    lines = [["", *(heading for heading, _, _ in columns)]] if measured else []
    for name, row in measured.items():
        lines.append([name, *(write(row[key]) if row.get(key) is not None else "" for _, key, write in columns)])
    rest = [f"{name}: {how}: {why}" for name, row in rows.items() if name not in measured for how, why in row.items()]
    return lines, rest


def text(rows):
    lines, rest = table(rows)
    widths = [max(map(len, column)) for column in zip(*lines)]
    for first, *others in lines:
        yield "  " + "  ".join([first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:]))])
    yield from (f"  {line}" for line in rest)


def markdown_table(rows):
    lines, rest = table(rows)
    for number, cells in enumerate(lines):
        yield "| " + " | ".join(cells) + " |"
        if number == 0:
            yield "|---|" + "--:|" * (len(cells) - 1)
    yield ""
    for line in rest:
        # Without the folders of this machine.
        yield "- " + re.sub(r"(?<![\w.:/-])(/[\w.@+-]+)+/", "", line)
    if rest:
        yield ""


def output(*command):
    """What a program says about itself; nothing, where it is not there."""
    if shutil.which(command[0], path=peers.PATH) is None:
        return ""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=HERE)
    return done.stdout + done.stderr


def machine():
    def field(file, name):
        return re.search(rf"^{name}\s*[:=]\s*\"?(.*?)\"?$", pathlib.Path(file).read_text(), re.M)[1]

    cores = len(re.findall(r"^processor\s*:", pathlib.Path("/proc/cpuinfo").read_text(), re.M))
    virtual = " of a virtual machine" if "hypervisor" in field("/proc/cpuinfo", "flags") else ""
    memory = int(field("/proc/meminfo", "MemTotal").split()[0]) / 1024 ** 2
    kernel = re.match(r"[\d.]+", pathlib.Path("/proc/sys/kernel/osrelease").read_text())[0]
    return (f"{cores} cores{virtual} ({field('/proc/cpuinfo', 'model name')}), {memory:.0f} GiB of memory, "
            f"Linux {kernel}, {field('/etc/os-release', 'PRETTY_NAME')}")


def number(text):
    found = re.search(r"\d+(\.\d+)+", text)
    return found and found[0]


def of_header(header, macro):
    """The version of Asio or Boost, both of which have it as 102201 for 1.22.1."""
    code = f"#include <{header}>\n{macro}"
    done = subprocess.run(["g++", "-E", "-P", "-xc++", "-"], input=code, capture_output=True, text=True)
    lines = done.stdout.split()
    if done.returncode != 0 or not lines or not lines[-1].isdigit():
        return None
    n = int(lines[-1])
    return f"{n // 100000}.{n // 100 % 1000}.{n % 100}"


def versions(peers_dir):
    """By name, of what is installed."""
    found = {
        "g++": number(output("g++", "-dumpfullversion")),
        "Go": number(output("go", "version")),
        "rustc": number(output("rustc", "--version")),
        "Node": number(output("node", "--version")),
        "Python": number(output(peers.PYTHON, "--version")),
        "Asio": of_header("asio/version.hpp", "ASIO_VERSION"),
        "Boost": of_header("boost/version.hpp", "BOOST_VERSION"),
        "nginx": number(output("nginx", "-v")),
        "wrk": number(output("wrk", "-v")),
        "linkchecker": number(output("linkchecker", "--version")),
        "wget": number(output("wget", "--version")),
    }
    for library in ("libuv", "liburing", "libcurl"):
        found[library] = number(output("pkg-config", "--modversion", library))
    for module in ("uvloop", "gevent", "trio", "twisted", "aiohttp"):
        code = f"import importlib.metadata as m; print(m.version('{module}'))"
        found[module] = number(output(peers.PYTHON, "-c", code))
    for lock in sorted(peers_dir.glob("*/*/Cargo.lock")):
        crates = r'^name = "(tokio|hyper|hyper-util)"\nversion = "(.*)"$'
        found.update(re.findall(crates, lock.read_text(), re.M))
    for package in ("http_client/node_modules/undici", "crawl/node_modules/linkinator"):
        if (file := peers_dir / package / "package.json").exists():
            found[pathlib.Path(package).name] = json.loads(file.read_text())["version"]
    for program in ("crawl/muffet", "crawl/bin/lychee"):
        found[pathlib.Path(program).name] = number(output(str(peers_dir / program), "--version"))
    return {name: version for name, version in found.items() if version}


PAGE = """\
# Results of the benchmarks

Written by `make bench`, or for some of them by `bench/run NAME... --write FILE`, on {date}, for oneloop at
`{commit}`. Medians of {rounds} rounds, in which the peers take turns; the spread is that from the fastest
round to the slowest, as a part of the median. What counts are the ratios: "of oneloop" is how many times
as much a peer does in the same time (above 1: faster than oneloop), "paired" how many times as much as the
yardstick that ran right before it. "Load" and "server" are the share of its core that the other side took.

Machine: {machine}.

Versions: {versions}.
"""


def markdown(benchmarks, rounds, peers_dir):
    """The page. `benchmarks`: by name, what it is about, and by case its rows and what is to be said below."""
    found = ", ".join(f"{name} {version}" for name, version in versions(peers_dir).items())
    commit = output("git", "describe", "--always", "--dirty").strip() or "an unknown commit"
    yield PAGE.format(date=datetime.date.today(), commit=commit, rounds=rounds, machine=machine(), versions=found)
    for name, (about, cases) in benchmarks.items():
        yield from (f"## {name}", "", about, "")
        for case, (rows, note) in cases.items():
            if case is not None:
                yield from (f"### {case}", "")
            yield from markdown_table(rows)
            if note:
                yield from (note, "")
