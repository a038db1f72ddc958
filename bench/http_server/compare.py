"""A hello world to wrk's 100 connections: the server on core 0, wrk on core 1. Processor time is the server's."""
import shutil

import peers

HYPER = """
hyper = { version = "1", features = ["server", "http1"] }
hyper-util = { version = "0.1", features = ["tokio"] }
http-body-util = "0.1"
bytes = "1"
"""


class Setup(peers.Comparison):
    items = 100_000
    paired = "nginx"

    def commands(self):
        all = peers.Peers(self.folder, self.bin)
        all.commands["oneloop"] = [str(self.bin / "bench_http_server")]
        all.commands["nginx"] = ["bash", str(self.folder / "nginx.sh"), str(all.build / "nginx.d")]
        all.tokio("hyper.rs", name="hyper", more=HYPER)
        all.compiled("beast", "g++", "beast.cc", ["-std=c++20", "-pthread"])
        all.go("go", "server.go")
        all.interpreted("node", "node", "server.js")
        all.python("aiohttp", "server.py", "aiohttp")
        self.skipped = all.skipped
        if shutil.which("wrk") is None:
            self.skipped = {"everything": "there is no wrk, which makes the load"}
            return {}
        return self.served(all.commands, "bash", str(self.folder / "wrk.sh"), "PORT", str(self.items), "100")
