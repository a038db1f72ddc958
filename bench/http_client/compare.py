"""20,000 documents of 1 KiB from nginx over kept connections, 100 at a time: nginx on core 0, the client on core 1.

nginx makes them without a file behind, so that not it but the client is what is measured; "server" is the share of its
core that it used. wrk is the yardstick: it looks at nothing but the length. "hyper" are connections of its own, each
lent to one task, "hyper pool" is its pooling client.
"""
import peers

HYPER = """
hyper = { version = "1", features = ["client", "http1"] }
hyper-util = { version = "0.1", features = ["client-legacy", "http1", "tokio"] }
http-body-util = "0.1"
bytes = "1"
"""


class Setup(peers.Comparison):
    items = 20_000
    concurrency = 100

    def commands(self):
        all = self.peers
        arguments = ("http://127.0.0.1:PORT/", self.items, self.concurrency)
        all.oneloop("oneloop", *arguments)
        all.script("wrk", "bash", "wrk.sh", *arguments, needs="wrk")
        for name in ("hyper", "hyper pool"):
            all.tokio(name, "hyper.rs", *arguments, *name.split()[1:], more=HYPER)
        all.go("go", "client.go", *arguments)
        all.compiled("libcurl", "cc", "client.c", ["-lcurl"], *arguments)
        all.node("undici", "undici", "6.29.1", "client.js", *arguments)
        all.python("aiohttp", "aiohttp", "client.py", *arguments)
        all.python("aiohttp uvloop", "aiohttp, uvloop", "client.py", *arguments, "uvloop")
        return self.serving(all.commands, "bash", str(self.folder / "nginx.sh"), str(all.build / "nginx.d"))
