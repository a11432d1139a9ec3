# SPDX-License-Identifier: GPL-3.0-or-later
"""Two tasks that share a processor 70 to 30, by the clock of their thread, tasks that wait, and a thread
without any of them."""

import asyncio
import threading
import time

clock = getattr(time, "thread_time", time.perf_counter)


def spin(seconds):
    end = clock() + seconds
    while clock() < end:
        pass


async def pause():
    await asyncio.sleep(0)


async def heavy():
    while True:
        spin(0.014)
        await pause()


async def light():
    spin(0.006)
    print("READY", flush=True)  # by now all others have begun
    while True:
        spin(0.006)
        await pause()


async def patient(event):
    await event.wait()


async def root():
    event = asyncio.Event()
    await asyncio.gather(heavy(), light(), *[patient(event) for _ in range(7)])


async def lonely():
    await asyncio.sleep(1000)


async def main():
    task = asyncio.ensure_future(lonely())
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    await root()
    task.cancel()


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
