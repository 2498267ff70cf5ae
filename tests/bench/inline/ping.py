"""Round trips of 64 bytes over TCP: `ping.py serve ADDRESS PORT`, or
`ping.py ask ADDRESS PORT COUNT`, which prints the median and the 99th
percentile in microseconds."""

import socket
import sys
import time

SIZE = 64


def whole(connection):
    got = b''
    while len(got) < SIZE:
        part = connection.recv(SIZE - len(got))
        if not part:
            return None
        got += part
    return got


def serve(address, port):
    with socket.create_server((address, port)) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (got := whole(connection)) is not None:
                connection.sendall(got)


def ask(address, port, count):
    with socket.create_connection((address, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        for _ in range(count):
            start = time.perf_counter_ns()
            connection.sendall(b'x' * SIZE)
            whole(connection)
            times.append(time.perf_counter_ns() - start)
    times.sort()
    print(times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000)


if sys.argv[1] == 'serve':
    serve(sys.argv[2], int(sys.argv[3]))
else:
    ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
