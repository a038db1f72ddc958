"""spawn.py gevent|trio|asyncio|uvloop N: N parties that sleep for a second. Prints what spawn.cpp prints."""
import resource
import sys
import time

kind, n = sys.argv[1], int(sys.argv[2])
begun = 0
started = 0.0


def kilobytes(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


def begin():
    global begun, started
    begun += 1
    if begun == n:
        started = time.monotonic()


if kind == "gevent":
    import gevent

    def sleeper():
        begin()
        gevent.sleep(1)

    before = kilobytes("VmRSS:")
    start = time.monotonic()
    gevent.joinall([gevent.spawn(sleeper) for _ in range(n)])
elif kind == "trio":
    import trio

    async def sleeper():
        begin()
        await trio.sleep(1)

    async def main():
        async with trio.open_nursery() as nursery:
            for _ in range(n):
                nursery.start_soon(sleeper)

    before = kilobytes("VmRSS:")
    start = time.monotonic()
    trio.run(main)
else:
    import asyncio
    if kind == "uvloop":
        import uvloop
        uvloop.install()

    async def sleeper():
        begin()
        await asyncio.sleep(1)

    async def main():
        tasks = [asyncio.create_task(sleeper()) for _ in range(n)]
        for t in tasks:
            await t

    before = kilobytes("VmRSS:")
    start = time.monotonic()
    asyncio.run(main())

wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_SELF)
print(wall, used.ru_utime + used.ru_stime, (kilobytes("VmHWM:") - before) * 1024 / n, started - start)
