"""client.py BASE COUNT CONCURRENCY [uvloop]: aiohttp, one session, as many workers as requests at a time."""
import asyncio
import sys
import time

import aiohttp


async def main(base, count, concurrency):
    numbers = iter(range(count))

    async def worker(session):
        for i in numbers:
            async with session.get(f"{base}{i}") as response:
                body = await response.read()
                assert response.status == 200 and len(body) == 1024

    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        begun, before = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
        print(f"{time.perf_counter() - begun:.4f} {time.process_time() - before:.4f}")


if sys.argv[4:] == ["uvloop"]:
    import uvloop
    uvloop.install()
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
