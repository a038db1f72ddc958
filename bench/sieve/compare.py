"""The first 2,000 primes (gevent: 500): a filter a prime, each between two channels of capacity 10.

What is counted are numbers sent. oneloop's coroutines are "oneloop".
"""
import peers


def sends(primes):
    """How many numbers go through channels until as many primes have come out: each passes the filters up to the
    one of its least divisor."""
    found, total, n = [], 0, 2
    while len(found) < primes:
        place = next((i for i, p in enumerate(found) if n % p == 0), None)
        if place is None:
            found.append(n)
            place = len(found) - 1
        total += place + 1
        n += 1
    return total


class Setup(peers.Comparison):
    primes = 2000
    fewer_primes = 500

    def commands(self):
        self.items = sends(self.primes)
        all = self.peers
        n = self.primes
        all.oneloop("oneloop", "coroutine", n)
        all.oneloop("fibers", "fiber", n)
        all.go("go", "sieve.go", n)
        all.compiled("asio", "g++", "asio.cc", ["-std=c++20", "-pthread"], n)
        all.tokio("tokio", "tokio.rs", n)
        all.python("gevent", "gevent", "sieve.py", "gevent", self.fewer_primes)
        self.fewer = {"gevent": sends(self.fewer_primes)}
        return all.commands
