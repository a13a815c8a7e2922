"""Requests at a rate of their own, whatever the answers take: latencies without coordinated omission.

The times to send at are drawn beforehand, with the gaps of independent clients (Poisson), the same on each run. A request
whose time comes while every connection waits for an answer waits for one, and its latency counts from its time, not from
when it was sent. So does what the client itself is late, which is told as well.
"""

import ctypes
import gc
import multiprocessing
import os
import random
import re
import select
import socket
import time
from collections import deque

PATIENCE = 10.0
PR_SET_TIMERSLACK = 29


def request(path, host, authorization=None):
    """The bytes of a GET."""
    header = f"Authorization: {authorization}\r\n" if authorization else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\n".encode()


def apart(port, heads, rate, seconds, connections, cpus):
    """`pace` in a process of its own on `cpus` ("1", "0-1"), so that nothing else of ours makes it late."""
    here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=child_of, args=(there, cpus, port, heads, rate, seconds, connections), daemon=True)
    child.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        raise RuntimeError("the paced client ended without a result") from None
    finally:
        child.join(PATIENCE)
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def child_of(pipe, cpus, *asked):
    try:
        os.sched_setaffinity(0, numbers(cpus))
        pipe.send(pace(*asked))
    except (OSError, ValueError) as error:
        pipe.send(f"the paced client failed: {error}")


def numbers(cpus):
    """"0-2,5" as {0, 1, 2, 5}."""
    ranges = (part.partition("-") for part in str(cpus).split(","))
    return {number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)}


def pace(port, heads, rate, seconds, connections):
    """Asks with `heads` in turn; microseconds from the meant time to the whole answer. Anything but a 200 is an error."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)  # the kernel would sleep up to 50 us longer
    draw = random.Random(1)
    free = deque(connect(port) for _ in range(connections))
    waiting, waits, late, errors, number = {}, [], [], 0, 0
    gc.disable()
    began = time.perf_counter()
    due = began + draw.expovariate(rate)
    end, last = began + seconds, began + seconds + PATIENCE
    while due < end or waiting:
        now = time.perf_counter()
        while due <= now and due < end and free:
            one = free.popleft()
            one.sendall(heads[number % len(heads)])
            late.append(time.perf_counter() - due)
            waiting[one] = (due, b"")
            number += 1
            due += draw.expovariate(rate)
            now = time.perf_counter()
        if now > last:
            errors += len(waiting)
            break
        until = due if due < end and free else last
        for one in select.select(list(waiting), [], [], max(0.0, until - now))[0]:
            meant, text = waiting[one]
            piece = one.recv(65536)
            text += piece
            done, closed = read(text)
            if piece and not done:
                waiting[one] = (meant, text)
                continue
            del waiting[one]
            errors += not (done and text.startswith(b"HTTP/1.1 200"))
            waits.append(time.perf_counter() - meant)
            if closed or not piece:
                one.close()
                one = connect(port)
            free.append(one)
    for one in [*free, *waiting]:
        one.close()
    late = quantiles(late)
    return {"requests": len(waits), "errors": errors, **quantiles(waits), "late_p50": late["p50"], "late_p99": late["p99"]}


def connect(port):
    one = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def read(text):
    """Whether the answer is whole, and whether its connection ends with it."""
    head, end, body = text.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0), b"onnection: close" in head


def quantiles(seconds):
    """In microseconds."""
    known = sorted(seconds) or [0.0]
    at = lambda share: round(1e6 * known[min(len(known) - 1, int(share * len(known)))], 1)  # noqa: E731
    return {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1)}
