"""Link checkers on sites that nginx serves: which URLs of 5,000 pages with 20 links each are broken, beside others;
and a million URLs, for the memory they take. All as fast as they go: without their pauses between requests.

lychee does not follow links: it is given all pages, and asks for each of them as a page and as a link.
"""
import importlib.util
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import peers

HERE = pathlib.Path(__file__).resolve().parent
MILLION = "a million URLs"

spec = importlib.util.spec_from_file_location("crawl_site", HERE / "site.py")
site = importlib.util.module_from_spec(spec)
spec.loader.exec_module(site)


class Setup(peers.Comparison):
    cases = ("5,000 pages", MILLION)
    fields = ("wall", "cpu", "peak", "requests", "missed", "made_up")
    timeout = 900

    @property
    def items(self):
        return site.LISTS * (site.LEAVES + 1) + 1 if self.case == MILLION else site.PAGES

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="oneloop-bench-"))
        os.chmod(self.dir, 0o755)
        root = self.dir / "site"
        root.mkdir()
        if self.case == MILLION:
            site.write_lists(root)
        else:
            site.write_pages(root)
            site.expected(self.dir)
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        logged = f"access_log {self.dir}/access.log" if self.case != MILLION else "access_log off"
        (self.dir / "nginx.conf").write_text(f"""
            worker_processes 1;
            daemon off;
            pid {self.dir}/pid;
            error_log {self.dir}/error.log crit;
            events {{ worker_connections 1024; }}
            http {{
              types {{ text/html html; }}
              sendfile on;
              open_file_cache max=10000;
              {logged};
              add_header LinkChecker "as fast as you like" always;
              keepalive_requests 10000000;
              server {{
                listen 127.0.0.1:{self.port} backlog=1024;
                root {root};
                location /leaf/ {{ default_type text/html; return 200 "<title>A leaf</title><p>No links."; }}
              }}
            }}""")
        (self.dir / "access.log").touch()
        # Without its cap of ten requests a second, which takes the site's consent, too.
        (self.dir / "linkcheckerrc").write_text("[checking]\nmaxrequestspersecond=1000000\nthreads=10\n")
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.server = subprocess.Popen(["taskset", "-c", "0", nginx, "-c", str(self.dir / "nginx.conf")],
                                       stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("nginx does not start")

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait(10)
        shutil.rmtree(self.dir)

    def commands(self):
        all = self.peers
        base = f"http://127.0.0.1:{self.port}"
        oneloop = str(self.bin / "oneloop")
        if self.case == MILLION:
            command = [oneloop, "crawl", "--format", "json", f"{base}/start.html"]
            return {"oneloop": self.measured("oneloop", "-", "-", command)}
        start = base + site.page(0)
        all.add("oneloop", oneloop, "crawl", "--format", "json", start)
        all.installed("linkchecker", "-f", f"{self.dir}/linkcheckerrc", "--no-status", "-o", "csv", start)
        all.installed("wget", "--spider", "-r", "-l", "inf", "-nv", start)
        all.npm("linkinator", "7.6.1", "build/src/cli.js", start, "--recurse", "--concurrency", "100", "--format", "json",
                "--verbosity", "error")
        all.module("muffet", "github.com/raviqqe/muffet/v2", "v2.10.9", "--json", "--max-connections", "100", start)
        lychee = ["--format", "json", "--no-progress", "--max-concurrency", "100", "--host-concurrency", "100",
                  "--host-request-interval", "0ms"]
        pages = self.dir / "pages.txt"
        pages.write_text("".join(f"{base}{site.page(n)}\n" for n in range(site.PAGES)))
        all.crate("lychee", "0.24.2", *lychee, "--files-from", str(pages))
        return {name: self.measured(name, self.dir / "access.log", self.dir / "broken.txt", command)
                for name, command in all.commands.items()}

    def measured(self, name, log, expected, command):
        return [sys.executable, str(HERE / "measured.py"), name, str(log), str(expected), *command]
