"""20,000 documents of 1 KiB from nginx over kept connections, 100 at a time.

nginx makes them without a file behind, so that not it but the client is what is measured.
"""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time


class Setup:
    items = 20_000
    concurrency = 100

    def __init__(self, folder, bin_dir):
        self.folder, self.bin = folder, bin_dir
        self.skipped = {}

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="oneloop-bench-"))
        os.chmod(self.dir, 0o755)
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        (self.dir / "nginx.conf").write_text(f"""
            worker_processes 1;
            daemon off;
            pid {self.dir}/pid;
            error_log {self.dir}/error.log;
            events {{ worker_connections 1024; }}
            http {{
              access_log off;
              keepalive_requests 1000000;
              server {{
                listen 127.0.0.1:{self.port} backlog=1024;
                location / {{ return 200 "{'x' * 1024}"; }}
              }}
            }}""")
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
        base = f"http://127.0.0.1:{self.port}/"
        arguments = [base, str(self.items), str(self.concurrency)]
        found = {"oneloop": [str(self.bin / "bench_http_client"), *arguments]}

        def built(name, tool, command):
            if shutil.which(tool) is None:
                self.skipped[name] = f"there is no {tool}"
                return
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
            if done.returncode == 0:
                found[name] = [str(self.dir / name), *arguments]
            else:
                self.skipped[name] = done.stderr.strip().splitlines()[-1] if done.stderr else "not built"

        built("go", "go", ["go", "build", "-o", str(self.dir / "go"), "client.go"])
        built("libcurl", "cc", ["cc", "-O2", "-o", str(self.dir / "libcurl"), "client.c", "-lcurl"])
        python = "/usr/bin/python3"
        if subprocess.run([python, "-c", "import aiohttp"], capture_output=True).returncode == 0:
            found["aiohttp"] = [python, str(self.folder / "client.py"), *arguments]
        else:
            self.skipped["aiohttp"] = "Python's aiohttp is not installed"
        if shutil.which("wrk"):
            found["wrk"] = ["bash", str(self.folder / "wrk.sh"), *arguments]
        else:
            self.skipped["wrk"] = "there is no wrk"
        return found
