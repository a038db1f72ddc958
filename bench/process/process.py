import asyncio
import resource
import sys
import time


async def some(left):
    for _ in left:
        p = await asyncio.create_subprocess_exec("/bin/true", stdin=asyncio.subprocess.DEVNULL,
                                                 stdout=asyncio.subprocess.DEVNULL)
        if await p.wait() != 0:
            sys.exit(1)


async def main():
    left = iter(range(int(sys.argv[2])))
    await asyncio.gather(*(some(left) for _ in range(50)))

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.install()
begun = time.perf_counter()
asyncio.run(main())
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - begun, used.ru_utime + used.ru_stime)
