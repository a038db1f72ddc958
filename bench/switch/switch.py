"""switch.py gevent|asyncio N: two parties pass N numbers over a channel (asyncio: a queue of one)."""
import resource
import sys
import time

kind, n = sys.argv[1], int(sys.argv[2])
total = 0


def with_gevent():
    import gevent
    from gevent.queue import Channel
    c = Channel()

    def sends():
        for i in range(n):
            c.put(i)

    def receives():
        global total
        for _ in range(n):
            total += c.get()

    gevent.joinall([gevent.spawn(receives), gevent.spawn(sends)])


def with_asyncio():
    import asyncio

    async def sends(q):
        for i in range(n):
            await q.put(i)

    async def receives(q):
        global total
        for _ in range(n):
            total += await q.get()

    async def main():
        q = asyncio.Queue(1)
        await asyncio.gather(receives(q), sends(q))

    asyncio.run(main())


start = time.monotonic()
with_gevent() if kind == "gevent" else with_asyncio()
wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_SELF)
assert total == n * (n - 1) // 2
print(wall, used.ru_utime + used.ru_stime)
