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
        if shutil.which("wrk") is None:
            raise peers.Skipped("there is no wrk, which makes the load")
        all = self.peers
        all.oneloop("oneloop")
        all.script("nginx", "bash", "nginx.sh", all.build / "nginx.d", needs="nginx")
        all.tokio("hyper", "hyper.rs", more=HYPER)
        all.compiled("beast", "g++", "beast.cc", ["-std=c++20", "-pthread"])
        all.go("go", "server.go")
        all.script("node", "node", "server.js")
        all.python("aiohttp", "aiohttp", "server.py", "aiohttp")
        return self.served(all.commands, "bash", str(self.folder / "wrk.sh"), "PORT", str(self.items), "100")
