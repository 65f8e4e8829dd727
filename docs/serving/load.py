"""A load test of server.py on this machine: ``python load.py pump.model``.

Sends requests by several clients at once, each the next when the last is answered, and prints how
long they took and what a core of the server's scored. For Linux, which tells the processor time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pyarrow as pa


def start(model: str) -> tuple[subprocess.Popen[bytes], int]:
    """A server with one worker and one thread of torch, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "uvicorn", "server:app", "--port", str(port), "--log-level", "warning"]
    how = os.environ | {"MODEL": os.path.abspath(model), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([sys.executable, *command], cwd=Path(__file__).parent, env=how)
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, port
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise RuntimeError("the server did not start; it says above why")


def ask(port: int, path: str, body: bytes | None, times: int) -> list[float]:
    """Seconds that so many requests took, one after the other."""
    connection, seconds = HTTPConnection("127.0.0.1", port), []
    for _ in range(times):
        begun = time.perf_counter()
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(said.decode())
        seconds.append(time.perf_counter() - begun)
    return seconds


def bodies(columns: list[str], rows: int) -> dict[str, bytes]:
    """Requests of so many rows, by their path."""
    table = pa.table({name: np.random.default_rng(0).normal(size=rows) for name in columns})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream = sink.getvalue().to_pybytes()
    return {"/score": json.dumps(table.to_pylist()).encode(), "/arrow": stream}


def processor_seconds(process: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(model: str, clients: int = 4, requests: int = 100) -> None:
    """Measure one row at a time, and a thousand."""
    server, port = start(model)
    try:
        told = HTTPConnection("127.0.0.1", port)
        told.request("GET", "/model")
        columns = json.load(told.getresponse())["columns"]
        for rows in (1, 1000):
            for path, body in bodies(columns, rows).items():
                ask(port, path, body, 3)
                before = processor_seconds(server.pid)
                with ThreadPoolExecutor(clients) as pool:
                    calls = [pool.submit(ask, port, path, body, requests) for _ in range(clients)]
                    seconds = np.concatenate([call.result() for call in calls])
                used = processor_seconds(server.pid) - before
                p50, p99 = 1e3 * np.quantile(seconds, [0.5, 0.99])
                speed = rows * len(seconds) / max(used, 1e-2)
                print(
                    f"{path:7}{rows:5} rows  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  "
                    f"{speed:7.0f} rows per second and core"
                )
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
