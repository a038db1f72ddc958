"""server.py aiohttp PORT: "hello, world\\n" to everybody."""
import sys

from aiohttp import web


async def hello(_):
    return web.Response(text="hello, world\n")


app = web.Application()
app.router.add_get("/", hello)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None, access_log=None, backlog=1024)
