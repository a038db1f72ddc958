"""switch.py gevent|trio|asyncio|uvloop N: two parties pass N numbers over a channel (asyncio: a queue of one)."""
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


def with_trio():
    import trio

    async def sends(channel):
        async with channel:
            for i in range(n):
                await channel.send(i)

    async def receives(channel):
        global total
        async for i in channel:
            total += i

    async def main():
        out, into = trio.open_memory_channel(0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sends, out)
            nursery.start_soon(receives, into)

    trio.run(main)


def with_asyncio():
    import asyncio
    if kind == "uvloop":
        import uvloop
        uvloop.install()

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
{"gevent": with_gevent, "trio": with_trio}.get(kind, with_asyncio)()
wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_SELF)
assert total == n * (n - 1) // 2
print(wall, used.ru_utime + used.ru_stime)
