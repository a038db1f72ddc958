"""/bin/true started 2,000 times, 50 at once, each waited for: all on both cores. Processor time is the starter's.

"posix_spawn" is the yardstick in C.
"""
import peers


class Setup(peers.Comparison):
    items = 2_000
    paired = "posix_spawn"

    def commands(self):
        all = peers.Peers(self.folder, self.bin)
        n = str(self.items)
        all.commands["oneloop"] = [str(self.bin / "bench_process"), n]
        all.compiled("posix_spawn", "cc", "posix_spawn.c", [], n)
        all.go("go", "process.go", n)
        all.tokio("tokio.rs", n)
        all.interpreted("node", "node", "process.js", n)
        all.python("asyncio", "process.py", "asyncio", n)
        all.python("uvloop", "process.py", "uvloop", n)
        self.cores = dict.fromkeys(all.commands, "0,1")
        self.skipped = all.skipped
        return all.commands
