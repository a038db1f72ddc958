#!/usr/bin/env python3
"""The page that `oneloop crawl --format html` writes, in a browser.

A site with planted faults is served on this machine and crawled; headless Chromium opens the report
and a reader's hands sort, filter and search it, on a desk and on a phone. chromedriver speaks
WebDriver, which is HTTP and JSON, so nothing else is needed for it.
"""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

TOOL = pathlib.Path(os.environ.get("ONELOOP_BIN_DIR", "build/release/bin")) / "oneloop"
SKIPPED = 77
HOSTILE = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'>"
MANY = 600  # broken links on one page: more than the report shows at once


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Site(http.server.BaseHTTPRequestHandler):
    """Pages with all that a report can tell."""
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet

    def do_GET(self):
        path = self.path.partition("?")[0]
        kind, status, headers = "text/html; charset=utf-8", 200, {}
        body = "<!doctype html><title>page</title>"
        if path == "/":
            body += (f'<p id="top"><a href="/gone">{escaped(HOSTILE)}</a> '
                     '<a href="/broken">The broken one</a> <a href="/moved">old</a>'
                     '<a href="/page#there">wrong place</a> <a href="/page">page</a>'
                     '<a href="mailto:a@example.org">mail</a> <a href="/many">many</a>'
                     '<a href="/a\'b%22onmouseover=x/' + "long" * 60 + '">long</a>')
        elif path == "/page":
            body += '<h1 id="here">Here</h1><a href="/gone">again</a>'
        elif path == "/moved":
            status, headers = 301, {"Location": "/page"}
        elif path == "/many":
            body += "".join(f'<a href="/none/{i}">number {i}</a>\n' for i in range(MANY))
        elif path == "/broken":
            status, body = 500, "broken"
        else:
            status, kind, body = 404, "text/plain", "nothing here"
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that has seen enough may hang up."""


class Browser:
    """Headless Chromium behind chromedriver: as much of WebDriver as a reader needs."""
    ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

    def __init__(self, chromium, driver, directory):
        self.driver = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True,
                                       stderr=subprocess.DEVNULL,
                                       env={**os.environ, "HOME": directory})
        self.session = None
        try:
            port = next(m[1] for m in (re.search(r"successfully on port (\d+)", line)
                                       for line in self.driver.stdout) if m)
            self.base = f"http://127.0.0.1:{port}"
            options = {"binary": chromium, "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                "--proxy-server=127.0.0.1:9", f"--user-data-dir={directory}/profile"]}
            capabilities = {"browserName": "chrome", "goog:chromeOptions": options,
                            "goog:loggingPrefs": {"browser": "ALL"}}
            value = self.call("POST", "/session",
                              {"capabilities": {"alwaysMatch": capabilities}})
            self.session = value["sessionId"]
        except BaseException:
            self.close()
            raise

    def call(self, method, path, body=None):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        if self.session:
            path = f"/session/{self.session}{path}"
        request = urllib.request.Request(self.base + path, data, method=method,
                                         headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{method} {path}: {e.read().decode()}") from None

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        return self.call("POST", "/element",
                         {"using": "css selector", "value": selector})[self.ELEMENT]

    def click(self, selector):
        self.call("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector, text):
        element = self.find(selector)
        self.call("POST", f"/element/{element}/clear")
        self.call("POST", f"/element/{element}/value", {"text": text})

    def size(self, width, height):
        # A window has a least width; the page is told its own.
        self.call("POST", "/goog/cdp/execute",
                  {"cmd": "Emulation.setDeviceMetricsOverride",
                   "params": {"width": width, "height": height, "deviceScaleFactor": 1,
                              "mobile": width < 500}})

    def set_scripts(self, on):
        self.call("POST", "/goog/cdp/execute",
                  {"cmd": "Emulation.setScriptExecutionDisabled", "params": {"value": not on}})

    def messages(self):
        return [m["message"] for m in self.call("POST", "/se/log", {"type": "browser"})
                if m["level"] in ("SEVERE", "WARNING")]

    def close(self):
        if self.session:
            try:
                self.call("DELETE", "")
            except (AssertionError, OSError):
                pass
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.report = pathlib.Path(cls.directory.name) / "report.html"
        server = Server(("127.0.0.1", 0), Site)
        cls.addClassCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.shutdown)
        cls.site = f"http://127.0.0.1:{server.server_port}"
        run = subprocess.run(
            [TOOL, "crawl", cls.site + "/", "--fragments", "--format", "html", "-o", cls.report],
            capture_output=True, text=True, timeout=240)
        assert run.returncode == 1, (run.returncode, run.stderr)
        cls.browser = Browser(shutil.which("chromium"), shutil.which("chromedriver"),
                              cls.directory.name)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.browser.set_scripts(True)
        self.browser.size(1280, 900)
        self.browser.open(self.report.as_uri())

    def rows(self, section="broken", column=0):
        """What a reader sees of a column, from the top."""
        return self.browser.run(
            "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
            ".filter(r => r.offsetHeight > 0).map(r => r.cells[arguments[1]].innerText.trim())",
            section, column)

    def count(self, section="broken"):
        return self.browser.run(
            "return document.querySelector(`#${arguments[0]} .count`).textContent", section)

    def sort(self, section, column):
        self.browser.click(f"#{section} th:nth-child({column}) button")
        return self.browser.run(
            "return [...document.querySelectorAll(`#${arguments[0]} th`)]"
            ".map(t => t.getAttribute('aria-sort'))", section)

    def test_all_is_told(self):
        broken = MANY + 3
        self.assertEqual(self.count(), f"{broken}")
        self.assertEqual(len(self.rows()), 500)
        self.browser.click("#broken .more button")
        rows = self.rows()
        self.assertEqual(len(rows), broken)
        self.assertIn(self.site + "/gone", rows)
        self.assertEqual(self.rows("fragments"), [self.site + "/page#there"])
        self.assertEqual(self.rows("redirects"), [self.site + "/moved"])
        self.assertEqual(self.rows("redirects", 2), [self.site + "/page"])
        self.assertIn("mail addresses", self.rows("skipped"))
        self.assertEqual(self.rows("hosts"), [self.site[len("http://"):]])

    def test_headers_sort(self):
        self.assertEqual(self.sort("broken", 1), ["ascending", "none", "none", "none"])
        up = self.rows()
        numbers = [int(r.rpartition("/")[2]) for r in up if "/none/" in r]
        self.assertGreater(len(numbers), 100)
        self.assertEqual(numbers, sorted(numbers))  # 2 before 10
        self.assertEqual(self.sort("broken", 1), ["descending", "none", "none", "none"])
        down = self.rows()
        self.assertEqual(down[0], f"{self.site}/none/{MANY - 1}")
        # The number of links: the largest first.
        self.assertEqual(self.sort("broken", 4), ["none", "none", "none", "descending"])
        self.assertEqual(self.rows()[0], self.site + "/gone")
        self.assertEqual(self.rows("broken", 3)[0], "2")
        # By the keyboard alone.
        self.browser.run("document.querySelector('#broken th:nth-child(2) button').focus()")
        focus = self.browser.call("GET", "/element/active")[Browser.ELEMENT]
        self.browser.call("POST", f"/element/{focus}/value", {"text": "\ue006"})
        self.browser.call("POST", f"/element/{focus}/value", {"text": "\ue006"})
        self.assertEqual(self.rows("broken", 1)[0].split(), ["500", "Internal", "Server", "Error"])

    def test_search_and_filters_choose_rows(self):
        self.browser.type("#broken input[type=search]", "THE broken")
        self.assertEqual(self.rows(), [self.site + "/broken"])
        self.assertEqual(self.count(), f"1 of {MANY + 3}")
        self.browser.type("#broken input[type=search]", f"none/{MANY - 1}")
        self.assertEqual(self.rows(), [f"{self.site}/none/{MANY - 1}"])
        self.browser.type("#broken input[type=search]", "not to be found")
        self.assertEqual(self.rows(), [])
        self.browser.type("#broken input[type=search]", "\ue003")
        self.browser.click("#broken select[name=kind] option[value='500']")
        self.assertEqual(self.rows(), [self.site + "/broken"])
        self.browser.click("#broken select[name=kind] option[value='']")
        self.assertEqual(self.count(), f"{MANY + 3}")

    def test_no_text_of_a_page_becomes_a_part_of_the_report(self):
        self.browser.type("#broken input[type=search]", "window.hurt")
        self.assertEqual(self.rows(), [self.site + "/gone"])
        self.assertIn(HOSTILE, self.rows("broken", 2)[0])
        self.assertIsNone(self.browser.run("return window.hurt ?? null"))
        self.assertEqual(self.browser.run("return document.scripts.length"), 1)
        self.assertEqual(self.browser.run("return document.images.length"), 0)
        self.assertEqual(self.browser.run(
            "return performance.getEntriesByType('resource').map(r => r.name)"), [])
        self.assertEqual(self.browser.messages(), [])

    def test_nothing_else_may_run(self):
        self.browser.run("""
            const s = document.createElement('script');
            s.textContent = 'window.hurt = 3';
            document.body.append(s);
            const b = document.createElement('b');
            b.setAttribute('onclick', 'window.hurt = 4');
            document.body.append(b);
            b.click();""")
        self.assertIsNone(self.browser.run("return window.hurt ?? null"))
        self.browser.messages()

    def test_the_policy_names_the_script_and_the_style(self):
        text = self.report.read_text()
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
        for part in ("style", "script"):
            own = re.search(rf"<{part}>(.*?)</{part}>", text, re.S)[1]
            digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
            self.assertIn(f"{part}-src 'sha256-{digest}'", policy)

    def test_a_phone_shows_it_without_moving_sideways(self):
        for width in (360, 320):
            self.browser.size(width, 740)
            self.browser.open(self.report.as_uri())
            self.assertEqual(self.browser.run("return innerWidth"), width)
            self.assertLessEqual(
                self.browser.run("return document.documentElement.scrollWidth"), width)
            # Nor is anything cut off.
            self.assertEqual(self.browser.run(
                "return [...document.querySelectorAll('main *, header *')].filter(e => {"
                "  const box = e.getBoundingClientRect();"
                "  return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);"
                "}).map(e => e.outerHTML.slice(0, 80))"), [])
            self.browser.type("#broken input[type=search]", "gone")
            self.assertEqual(self.rows(), [self.site + "/gone"])
            self.assertEqual(self.sort("broken", 1)[0], "ascending")

    def test_it_is_a_plain_table_without_scripts(self):
        self.browser.set_scripts(False)
        self.browser.open(self.report.as_uri())
        shown = self.browser.call("GET", "/source")
        self.assertGreaterEqual(shown.count("<tr data-kind"), MANY + 3)
        body = self.browser.find("#broken tbody")
        self.assertIn(f"{self.site}/none/{MANY - 1}",
                      self.browser.call("GET", f"/element/{body}/text"))
        tools = self.browser.find("#broken .tools")
        self.assertFalse(self.browser.call("GET", f"/element/{tools}/displayed"))


if __name__ == "__main__":
    missing = [p for p in ("chromium", "chromedriver") if not shutil.which(p)]
    if missing:
        print(f"skipped: there is no {' and no '.join(missing)}")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
