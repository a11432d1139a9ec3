# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of other loops than asyncio's own: a group of three tasks that wait, and the one that waits for the
group. READY comes when all do. usage: loops.py uvloop|anyio|trio
"""

import asyncio
import sys


async def happen(event):
    await event.wait()


async def nested(depth, event):
    if depth:
        return await nested(depth - 1, event)
    await happen(event)


def ready():
    print("READY", flush=True)


def run_trio():
    import trio

    async def main():
        event = trio.Event()
        async with trio.open_nursery() as group:
            group.start_soon(happen, event, name="one")
            group.start_soon(nested, 3, event, name="two")
            group.start_soon(trio.sleep, 5000, name="three")
            await trio.testing.wait_all_tasks_blocked()
            ready()

    import trio.testing
    trio.run(main)


def run_anyio():
    import anyio

    async def main():
        event = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(happen, event, name="one")
            group.start_soon(nested, 3, event, name="two")
            group.start_soon(anyio.sleep, 5000, name="three")
            asyncio.get_running_loop().call_later(0.2, ready)

    anyio.run(main)


def run_uvloop():
    import uvloop

    async def main():
        event = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(happen(event), name="one")
            group.create_task(nested(3, event), name="two")
            group.create_task(asyncio.sleep(5000), name="three")
            asyncio.get_running_loop().call_later(0.2, ready)

    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())


{"trio": run_trio, "anyio": run_anyio, "uvloop": run_uvloop}[sys.argv[1]]()
