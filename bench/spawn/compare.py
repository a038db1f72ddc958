"""A million parties that sleep for a second (those with "100k" in the name: 100,000), on one core.

"oneloop" are coroutines, "bare" is the yardstick: frames and a heap of deadlines, no more. Bytes are resident memory at
its peak, for each party. A fiber that touches two pages of its stack takes 8,192 bytes and its record.
"""
import peers


class Setup(peers.Comparison):
    items = 1_000_000

    def commands(self):
        all = self.peers
        few = 100_000
        all.oneloop("oneloop", "coroutine", self.items)
        all.oneloop("fibers 100k", "fiber", few)
        all.compiled("bare", "g++", "bare.cc", ["-std=c++20"], self.items)
        all.go("go", "spawn.go", self.items)
        all.go("go 100k", "spawn.go", few)
        all.compiled("asio", "g++", "asio.cc", ["-std=c++20", "-pthread"], self.items)
        all.tokio("tokio", "tokio.rs", self.items)
        for name in ("gevent", "trio", "asyncio", "uvloop"):
            all.python(f"{name} 100k", name, "spawn.py", name, few)
        self.fewer = {name: few for name in all.commands if name.endswith("100k")}
        return all.commands
