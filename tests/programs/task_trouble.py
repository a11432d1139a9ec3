# SPDX-License-Identifier: GPL-3.0-or-later
"""An event loop in trouble, or one that looks so and is well.

usage: task_trouble.py WHAT      the name of a function below; READY on standard output when it is so
"""

import asyncio
import concurrent.futures
import os
import signal
import socket
import sys
import threading
import time

MANY = 300


def say_ready():
    sys.stdout.write("READY\n")
    sys.stdout.flush()


def start(coroutine):
    return asyncio.get_event_loop().create_task(coroutine)


async def tick():
    while True:
        await asyncio.sleep(0.02)


async def settle():
    """All others have come to where they stay."""
    await asyncio.sleep(0.15)
    say_ready()


# ---- Trouble -------------------------------------------------------------------------------------

async def first_half(others):
    await others[1]


async def second_half(others):
    await others[0]


async def cycle():
    others = []
    others.append(start(first_half(others)))
    others.append(start(second_half(others)))
    await asyncio.gather(settle(), tick())


async def transfer(mine, other):
    async with mine:
        await asyncio.sleep(0.05)
        async with other:
            pass


async def locks():
    accounts, orders = asyncio.Lock(), asyncio.Lock()
    await asyncio.gather(transfer(accounts, orders), transfer(orders, accounts), settle())


async def reenter():
    lock = asyncio.Lock()

    async def inner():
        async with lock:
            pass

    async def outer():
        async with lock:
            await inner()

    await asyncio.gather(outer(), settle(), tick())


async def acquire_twice():
    """As reenter(), but by hand."""
    lock = asyncio.Lock()

    async def twice():
        await lock.acquire()
        await lock.acquire()

    await asyncio.gather(twice(), settle(), tick())


async def by_hand():
    accounts, orders = asyncio.Lock(), asyncio.Lock()

    async def move(mine, other):
        await mine.acquire()
        try:
            await asyncio.sleep(0.05)
            await other.acquire()
            other.release()
        finally:
            mine.release()

    await asyncio.gather(move(accounts, orders), move(orders, accounts), settle())


async def over_thread():
    """A job asks its loop for something that wants the lock of who awaits the job."""
    lock, loop = asyncio.Lock(), asyncio.get_event_loop()

    async def update():
        async with lock:
            pass

    def job():
        asyncio.run_coroutine_threadsafe(update(), loop).result()

    async def handle():
        async with lock:
            await loop.run_in_executor(None, job)

    await asyncio.gather(handle(), settle())


async def use_table(lock, holding):
    async with lock:
        holding.append(None)
        await asyncio.sleep(3600)


async def group():
    """A group whose task awaits the one that waits for the group, while others go on."""
    tasks = []

    async def child():
        await asyncio.wait([tasks[0]])

    async def parent():
        await asyncio.gather(start(child()), tick())

    tasks.append(start(parent()))
    await asyncio.gather(settle(), tick())


def other_loop():
    loop = asyncio.new_event_loop()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_forever()

    threading.Thread(target=run, name="other loop", daemon=True).start()
    return loop


def ask(coroutine, loop):
    return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


async def two_loops():
    """What this loop asks of another one needs this one's answer."""
    here, there, asking = asyncio.get_event_loop(), other_loop(), []

    async def confirm():
        await asking[0]

    async def reserve():
        await ask(confirm(), here)

    async def order():
        await ask(reserve(), there)

    asking.append(start(order()))
    await asyncio.gather(settle(), tick())


async def pile_up():
    lock = asyncio.Lock()
    tasks = [start(use_table(lock, [])) for _ in range(MANY)]
    await settle()
    await asyncio.gather(*tasks)


async def refresh():
    await asyncio.sleep(3600)


async def use_token(refreshing):
    await asyncio.shield(refreshing)


async def pile_up_task():
    refreshing = start(refresh())
    tasks = [start(use_token(refreshing)) for _ in range(MANY)]
    await settle()
    await asyncio.gather(*tasks)


async def limited(limit):
    async with limit:
        await asyncio.sleep(3600)


async def pile_up_limit():
    limit = asyncio.Semaphore(3)
    tasks = [start(limited(limit)) for _ in range(MANY)]
    await settle()
    await asyncio.gather(*tasks)


async def blocking_query(peer):
    await asyncio.sleep(0.15)
    say_ready()
    peer.recv(1)


async def blocked():
    here, there = socket.socketpair()
    others = [start(tick()) for _ in range(5)]
    await blocking_query(here)
    await asyncio.gather(*others)
    there.close()


async def handles_signal():
    """A handler that blocks on top of the loop that waits for events."""
    here, there = socket.socketpair()

    def reload(number, frame):
        say_ready()
        here.recv(1)

    others = [start(tick()) for _ in range(5)]
    signal.signal(signal.SIGUSR1, reload)
    await asyncio.sleep(0.15)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    await asyncio.sleep(3600)
    await asyncio.gather(*others)
    there.close()


async def compute():
    await asyncio.sleep(0.15)
    say_ready()
    number = 0
    while True:
        number = (number + 1) % 1000


async def hogged():
    others = [start(tick()) for _ in range(5)]
    await compute()
    await asyncio.gather(*others)


async def starving():
    """Each turn of the loop lasts for seconds, as many have much to do in it; none of them so long that it
    alone were the trouble, on a slow machine neither."""
    async def work():
        while True:
            number, end = 0, time.monotonic() + 0.1
            while time.monotonic() < end:
                number += 1
            await asyncio.sleep(0)

    others = [start(tick()) for _ in range(10)]
    await asyncio.sleep(0.15)
    say_ready()
    await asyncio.gather(*others, *[work() for _ in range(40)])


def slow_job(peer):
    peer.recv(1)


async def exhausted():
    here, there = socket.socketpair()
    loop = asyncio.get_event_loop()
    pool = concurrent.futures.ThreadPoolExecutor(3)

    async def handle():
        await loop.run_in_executor(pool, slow_job, here)

    await asyncio.gather(settle(), *[handle() for _ in range(12)])
    there.close()


async def never_released():
    """A lock of a task that an exception ended: the loop has nothing left that could wake it."""
    lock = asyncio.Lock()

    async def update(wrong):
        await lock.acquire()
        if wrong:
            raise ValueError("wrong")
        lock.release()

    await asyncio.gather(update(True), return_exceptions=True)
    await asyncio.gather(settle(), update(False), update(False))


async def held_over_await():
    """A lock of threads, which the task that has it cannot release while its loop waits for it."""
    lock = threading.Lock()

    async def save(last):
        if last:
            say_ready()
        with lock:
            await asyncio.sleep(0.05)

    await asyncio.gather(save(False), save(True), tick())


async def not_woken():
    """A future that another thread sets as if it were the loop's own one."""
    answer = asyncio.get_event_loop().create_future()

    async def receive():
        await answer

    def set_it():
        answer.set_result(None)
        threading.Timer(0.1, say_ready).start()

    threading.Timer(0.2, set_it).start()
    await asyncio.gather(receive())


async def at_rest():
    """Consumers, and nothing that could ever bring them an item."""
    jobs = asyncio.Queue()
    await asyncio.gather(settle(), *[consume(jobs) for _ in range(3)])


# ---- Nothing wrong -------------------------------------------------------------------------------

async def answer(reader, writer):
    while await reader.read(10):
        writer.write(b"pong")
    writer.close()


async def idle_server():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MANY)]
    for reader, writer in peers:
        writer.write(b"ping")
        await reader.read(4)
    await asyncio.gather(settle(), asyncio.sleep(3600))


async def consume(jobs):
    while True:
        await jobs.get()


async def idle_consumers():
    jobs, event = asyncio.Queue(), asyncio.Event()
    await asyncio.gather(settle(), asyncio.sleep(3600), *[consume(jobs) for _ in range(MANY)],
                         *[event.wait() for _ in range(MANY)])


async def sleepers():
    await asyncio.gather(settle(), *[asyncio.sleep(3600) for _ in range(MANY)])


async def family():
    """Tasks that wait for tasks, and a lock that is passed on."""
    lock = asyncio.Lock()

    async def child():
        while True:
            async with lock:
                await asyncio.sleep(0.001)

    async def parent():
        await asyncio.wait([start(child()) for _ in range(5)])

    await asyncio.gather(settle(), parent(), parent(), tick())


async def acquired_elsewhere():
    """Those that wait for a lock which a task has that is done."""
    lock = asyncio.Lock()
    await start(lock.acquire())

    async def either(which):
        if which:
            await lock.acquire()
        else:
            await lock.acquire()
        lock.release()

    async def limited():
        await asyncio.wait_for(lock.acquire(), 3600)
        lock.release()

    class OwnLock(asyncio.Lock):
        async def __aenter__(self):
            await self.acquire()

    async def in_block(own):
        async with own:
            pass

    own = OwnLock()
    await start(own.acquire())
    await asyncio.gather(settle(), either(True), either(False), limited(), in_block(lock),
                         in_block(own))


async def poller_and_bridge():
    """The only thread of a pool that may have more waits for ever; another loop is asked for something."""
    here, there = socket.socketpair()
    loop, pool = asyncio.get_event_loop(), concurrent.futures.ThreadPoolExecutor(4)

    async def poll():
        await loop.run_in_executor(pool, here.recv, 1)

    async def promise(future):
        await asyncio.wrap_future(future)

    async def forward():
        await ask(asyncio.sleep(3600), other)

    other = other_loop()
    await asyncio.gather(settle(), poll(), forward(), promise(concurrent.futures.Future()))
    there.close()


async def crawler():
    """More work than a limit lets through, and it goes on."""
    limit = asyncio.Semaphore(5)

    async def fetch():
        async with limit:
            await asyncio.sleep(0.01)

    async def visit():
        while True:
            await fetch()

    await asyncio.gather(settle(), *[visit() for _ in range(MANY)])


if __name__ == "__main__":
    asyncio.new_event_loop().run_until_complete(globals()[sys.argv[1]]())
