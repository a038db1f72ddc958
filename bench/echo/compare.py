"""Messages there and back over kept connections: the server on core 0, the load on core 1.

"epoll" and "uring" are bare loops in C, and "paired" is the median ratio to the run of epoll right before: the
kernel's TCP path has two speeds that change by the minute. Processor time is the server's.
"""
import peers

KIB = 1024


class Setup(peers.Comparison):
    cases = {"1 KiB x 10": (KIB, 10, 60_000), "10 KiB x 10": (10 * KIB, 10, 40_000),
             "100 KiB x 10": (100 * KIB, 10, 10_000), "1 KiB x 1000": (KIB, 1000, 60_000)}
    paired = "epoll"

    def commands(self):
        size, connections, self.items = self.cases[self.case]
        all = self.peers
        all.oneloop("oneloop", "coroutine")
        all.oneloop("oneloop fiber", "fiber")
        all.oneloop("oneloop callback", "callback")
        all.compiled("epoll", "cc", "epoll.c", [])
        all.compiled("uring", "cc", "uring.c", ["-luring"])
        all.compiled("libuv", "cc", "libuv.c", ["-luv"])
        for model in ("callback", "coroutine"):
            all.compiled(f"asio {model}", "g++", "asio.cc", ["-std=c++20", "-pthread"], model)
        all.tokio("tokio", "tokio.rs")
        all.go("go", "echo.go")
        all.script("node", "node", "echo.js")
        for kind in ("protocol", "streams"):
            all.python(f"asyncio {kind}", "asyncio", "echo.py", kind)
            all.python(f"uvloop {kind}", "uvloop", "echo.py", f"uvloop-{kind}")
        for kind in ("twisted", "gevent"):
            all.python(kind, kind, "echo.py", kind)
        load = all.load("cc", "load.c")
        return self.served(all.commands, load, "PORT", str(size), str(connections), str(self.items))
