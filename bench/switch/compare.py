"""Two parties pass two million numbers over an unbuffered channel, one way: a hop is one number.

oneloop's coroutines are "oneloop", its other pairs have their own names. All but the pairs with "2" run on one
core and one loop (runtime, thread), except "threads": two. transfer and context are yardsticks without a channel, futex
is the one across two threads.
"""
import peers


class Setup(peers.Comparison):
    items = 2_000_000

    def commands(self):
        all = self.peers

        def ours(name, what, items=self.items):
            all.oneloop(name, what, items)
            self.fewer[name] = items

        ours("oneloop", "coroutine")
        ours("fibers", "fiber")
        ours("threads", "thread", 100_000)
        ours("coroutines 2 loops", "coroutine_2", 100_000)
        ours("fibers 2 loops", "fiber_2", 100_000)
        ours("transfer", "transfer", 20_000_000)
        ours("context", "context", 20_000_000)
        all.compiled("futex", "cc", "futex.c", ["-pthread"], 100_000)
        self.fewer["futex"] = 100_000
        for name in ("threads", "coroutines 2 loops", "fibers 2 loops", "go 2", "futex"):
            self.cores[name] = "0,1"
        n = self.items
        all.go("go", "switch.go", n)
        all.go("go 2", "switch.go", n, "2")
        all.compiled("asio", "g++", "asio.cc", ["-std=c++20", "-pthread"], n)
        all.tokio("tokio", "tokio.rs", n)
        all.script("node", "node", "switch.js", n)
        for name in ("gevent", "trio", "asyncio", "uvloop"):
            self.fewer[name] = 200_000
            all.python(name, name, "switch.py", name, self.fewer[name])
        return all.commands
