"""measured.py CHECKER LOG EXPECTED COMMAND...: runs a link checker, and reads what it found.

Prints seconds of wall time, of its processor time, its peak memory in bytes, the requests in nginx's LOG, and how many
broken URLs it missed and made up, going by the paths in EXPECTED ("-": nothing is looked at).
"""
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit


def of_oneloop(out, _):
    return [b["url"] for b in json.loads(out)["broken"]]


def of_linkchecker(out, _):
    rows = csv.reader((line for line in io.StringIO(out) if not line.startswith("#")), delimiter=";")
    header = next(rows)
    return [r[header.index("url")] for r in rows if r and r[header.index("valid")] != "True"]


def of_linkinator(out, _):
    return [one["url"] for one in json.loads(out)["links"] if one["state"] == "BROKEN"]


def of_muffet(out, _):
    return [link["url"] for page in json.loads(out) for link in page["links"] if "error" in link]


def of_lychee(out, _):
    failed = json.loads(out)["error_map"]
    return [one["url"] for links in failed.values() for one in links]


def of_wget(_, err):
    tail = err[err.rindex("Found "):] if "Found " in err else ""
    return re.findall(r"^http\S+$", tail, re.M)


def main():
    checker, log, expected, *command = sys.argv[1:]
    before = os.path.getsize(log) if log != "-" else 0
    with tempfile.TemporaryDirectory() as scratch, open(f"{scratch}/out", "w+") as out, open(f"{scratch}/err", "w+") as err:
        begun = time.perf_counter()
        running = subprocess.Popen(command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, used = os.wait4(running.pid, 0)
        wall = time.perf_counter() - begun
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
    requests = 0
    if log != "-":
        with open(log, "rb") as file:
            file.seek(before)
            requests = sum(1 for _ in file)
    missed = made_up = 0
    if expected == "-":
        if status != 0:
            sys.exit(f"{command[0]}: status {status}: {texts[1][-300:]}")
    else:
        try:
            found = {urlsplit(u).path for u in globals()[f"of_{checker}"](*texts)}
        except (ValueError, KeyError) as e:
            sys.exit(f"{command[0]}: status {status}, its report is none: {e!r}: {texts[0][:200]} {texts[1][-300:]}")
        with open(expected) as file:
            there = set(file.read().split())
        missed, made_up = len(there - found), len(found - there)
        if checker == "oneloop" and (missed or made_up):
            sys.exit(f"oneloop missed {missed} broken URLs, and made up {made_up}")
    print(f"{wall:.4f} {used.ru_utime + used.ru_stime:.4f} {used.ru_maxrss * 1024} {requests} {missed} {made_up}")


main()
