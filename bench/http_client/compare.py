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

import peers


class Setup(peers.Comparison):
    items = 20_000
    concurrency = 100

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
        all = peers.Peers(self.folder, self.bin)
        all.commands["oneloop"] = [str(self.bin / "bench_http_client"), *arguments]
        all.go("go", "client.go", *arguments)
        all.compiled("libcurl", "cc", "client.c", ["-lcurl"], *arguments)
        all.python("aiohttp", "client.py", *arguments)
        if shutil.which("wrk"):
            all.commands["wrk"] = ["bash", str(self.folder / "wrk.sh"), *arguments]
        else:
            all.skipped["wrk"] = "there is no wrk"
        self.skipped = all.skipped
        return all.commands
