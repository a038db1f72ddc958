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
        all = peers.Peers(self.folder, self.bin)
        for model in ("coroutine", "fiber", "callback"):
            name = "oneloop" if model == "coroutine" else f"oneloop {model}"
            all.commands[name] = [str(self.bin / "bench_echo"), model]
        all.compiled("load", "cc", "load.c", [])
        all.compiled("epoll", "cc", "epoll.c", [])
        all.compiled("uring", "cc", "uring.c", ["-luring"])
        all.compiled("libuv", "cc", "libuv.c", ["-luv"])
        all.compiled("asio callback", "g++", "asio.cc", ["-std=c++20", "-pthread"], "callback")
        if "asio callback" in all.commands:
            all.commands["asio coroutine"] = [all.commands["asio callback"][0], "coroutine"]
        all.tokio("tokio.rs")
        all.go("go", "echo.go")
        all.interpreted("node", "node", "echo.js")
        for module, kinds in {"asyncio": ("protocol", "streams"), "uvloop": ("uvloop-protocol", "uvloop-streams"),
                              "twisted": ("twisted",), "gevent": ("gevent",)}.items():
            for kind in kinds:
                name = f"asyncio {kind}" if module == "asyncio" else kind.replace("-", " ")
                all.python(module, "echo.py", kind, name=name)
        self.skipped = all.skipped
        load = all.commands.pop("load")[0]
        return self.served(all.commands, load, "PORT", str(size), str(connections), str(self.items))
