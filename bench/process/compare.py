"""/bin/true started 2,000 times, 50 at once, each waited for: all on both cores. Processor time is the starter's.

"posix_spawn" is the yardstick in C.
"""
import peers


class Setup(peers.Comparison):
    items = 2_000
    paired = "posix_spawn"

    def commands(self):
        all = self.peers
        n = self.items
        all.oneloop("oneloop", n)
        all.compiled("posix_spawn", "cc", "posix_spawn.c", [], n)
        all.go("go", "process.go", n)
        all.tokio("tokio", "tokio.rs", n)
        all.script("node", "node", "process.js", n)
        all.python("asyncio", "asyncio", "process.py", "asyncio", n)
        all.python("uvloop", "uvloop", "process.py", "uvloop", n)
        self.cores = dict.fromkeys(all.commands, "0,1")
        return all.commands
