"""echo.py protocol|streams|uvloop-protocol|uvloop-streams|twisted|gevent PORT: an echo server in Python."""
import sys

kind, port = sys.argv[1], int(sys.argv[2])


def with_asyncio():
    import asyncio
    import socket

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def echo(reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := await reader.read(256 * 1024):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def main():
        if kind.endswith("streams"):
            server = await asyncio.start_server(echo, "127.0.0.1", port, limit=256 * 1024, backlog=1024)
        else:
            server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    if kind.startswith("uvloop"):
        import uvloop
        uvloop.install()
    asyncio.run(main())


def with_twisted():
    from twisted.internet import epollreactor
    epollreactor.install()
    from twisted.internet import protocol, reactor

    class Echo(protocol.Protocol):
        def connectionMade(self):
            self.transport.setTcpNoDelay(True)

        def dataReceived(self, data):
            self.transport.write(data)

    factory = protocol.Factory()
    factory.protocol = Echo
    reactor.listenTCP(port, factory, backlog=1024, interface="127.0.0.1")
    reactor.run()


def with_gevent():
    import socket

    from gevent.server import StreamServer

    def echo(peer, _):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := peer.recv(256 * 1024):
                peer.sendall(data)
        except OSError:
            pass

    StreamServer(("127.0.0.1", port), echo, backlog=1024).serve_forever()


{"twisted": with_twisted, "gevent": with_gevent}.get(kind, with_asyncio)()
