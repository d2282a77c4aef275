"""A serial line behind a WebSocket, by Debian's python3-websockets: the first argument says how it behaves. Prints its port."""
import asyncio
import sys
import websockets

MODE = sys.argv[1]


async def serve(socket):
    await socket.send(b"login: ")
    if MODE == "flood":
        while True:
            await socket.send(b"x" * 4096)
    if MODE == "huge":
        await socket.send(b"x" * (2 << 20))
    async for message in socket:
        data = message.encode() if isinstance(message, str) else message
        if data == b"bye":
            await socket.close(1011, "the host port\x1b[2J is gone")
        elif data == b"die":
            socket.transport.abort()
        elif data == b"text":
            await socket.send("said as text")
        else:
            await socket.send(data)


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
