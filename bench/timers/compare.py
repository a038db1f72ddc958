"""A million timers pending at once: taken back in another order, or fired, all within 100 ms.

"heap" is the yardstick: a binary heap of deadlines, and no loop. The timers of oneloop, Asio and Go are exact to the
kernel's clock, those of libuv and tokio to a millisecond.
"""
import peers


class Setup(peers.Comparison):
    cases = ("cancelled", "fired")
    items = 1_000_000

    def commands(self):
        arguments = (self.case, self.items)
        all = self.peers
        all.oneloop("oneloop", *arguments)
        all.compiled("heap", "g++", "heap.cc", ["-std=c++20"], *arguments)
        all.compiled("asio", "g++", "asio.cc", ["-std=c++20", "-pthread"], *arguments)
        all.compiled("libuv", "cc", "libuv.c", ["-luv"], *arguments)
        all.go("go", "timers.go", *arguments)
        all.tokio("tokio", "tokio.rs", *arguments)
        return all.commands
