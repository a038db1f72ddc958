"""A million parties that sleep for a second (those with "100k" in the name: 100,000), on one core.

"oneloop" are coroutines. Bytes are resident memory at its peak, for each party. A fiber that touches two pages of
its stack takes 8,192 bytes and its record.
"""
import peers


class Setup(peers.Comparison):
    items = 1_000_000

    def commands(self):
        all = peers.Peers(self.folder, self.bin)
        few = 100_000
        ours = str(self.bin / "bench_spawn")
        all.commands["oneloop"] = [ours, "coroutine", str(self.items)]
        all.commands["fibers 100k"] = [ours, "fiber", str(few)]
        all.go("go", "spawn.go", str(self.items))
        if "go" in all.commands:
            all.commands["go 100k"] = [all.commands["go"][0], str(few)]
        all.compiled("asio", "g++", "asio.cc", ["-std=c++20", "-pthread"], str(self.items))
        all.tokio("tokio.rs", str(self.items))
        for name in ("gevent", "asyncio"):
            all.python(name, "spawn.py", name, str(few))
            if name in all.commands:
                all.commands[f"{name} 100k"] = all.commands.pop(name)
        self.fewer = {name: few for name in all.commands if name.endswith("100k")}
        self.skipped = all.skipped
        return all.commands
