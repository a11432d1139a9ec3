# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that wait for jobs of ThreadPoolExecutors, as the first argument says; "list" lists what there is,
those first that can never end. Prints READY once all that wait do. Python 3.6 and later."""
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed, wait

rooms = threading.Event()  # never set: whoever waits for it is not part of any ring


def child(number):
    return number


def slow(number):
    rooms.wait()
    return number


def own_result(pool, other):
    return pool.submit(child, 1).result()


def own_wait(pool, other):
    return wait([pool.submit(child, number) for number in range(3)])


def own_as_completed(pool, other):
    return [job.result() for job in as_completed([pool.submit(child, number) for number in range(3)])]


def own_map(pool, other):
    return list(pool.map(child, range(3)))


def through_the_first(pool, other):
    """The first job waits for one that is queued, the second one for the first."""
    if mine.number == 0:
        return pool.submit(child, 1).result()
    return jobs[0].result()


def each_other(pool, other):
    return other.submit(child, 1).result()


def limited(pool, other):
    return pool.submit(child, 1).result(timeout=10000)


def others_job(pool, other):
    """The other pool's threads have something to do, but nothing that cannot end."""
    return other.submit(slow, 1).result()


def cancelled(pool, other):
    job = pool.submit(child, 1)
    job.cancel()
    rooms.wait()


def one_goes_on(pool, other):
    if mine.number == 0:
        return slow(1)
    return pool.submit(child, 1).result()


def growing(pool, other):
    """Fewer threads than it may have: the next job that is submitted starts one."""
    return pool.submit(slow, 1).result()


STUCK = [own_result, own_wait, own_as_completed, own_map, through_the_first, each_other]
OTHERS = [limited, others_job, cancelled, one_goes_on, growing]

if sys.argv[1] == "list":
    print(" ".join(work.__name__ for work in STUCK))
    print(" ".join(work.__name__ for work in OTHERS))
    raise SystemExit
work = next(work for work in STUCK + OTHERS if work.__name__ == sys.argv[1])
jobs, mine = [], threading.local()
began = threading.Barrier(5 if work is each_other else 3)


def job(number, pool, other):
    mine.number = number
    began.wait()
    return work(pool, other)


def submit(pool, other):
    """Both threads begin with one, and further ones stand in the queue."""
    for number in range(2):
        jobs.append(pool.submit(job, number, pool, other))
    for _ in range(3):
        pool.submit(child, 0)


def waiting():
    """Who waits where, if they all do: in Condition.wait(), but not for a thread that is starting."""
    places = []
    for ident, frame in sys._current_frames().items():
        names = []
        place = (ident, id(frame), frame.f_lasti)
        while frame:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        if ident != threading.get_ident():
            places.append(place)
            if names[0] != "wait" or "start" in names:
                return None
    return sorted(places) if len(places) == threads else None


def settle():
    """Until it has been the same for a while: whoever wanted the GIL has had it."""
    before, same = None, 0
    while same < 10:
        time.sleep(0.02)
        now = waiting()
        same = same + 1 if now and now == before else 0
        before = now


def in_function(name):
    count = 0
    for frame in sys._current_frames().values():
        while frame and frame.f_code.co_name != name:
            frame = frame.f_back
        count += frame is not None
    return count


one = ThreadPoolExecutor(20 if work is growing else 2, thread_name_prefix="upper")
two = ThreadPoolExecutor(2, thread_name_prefix="lower")
threads = 4 if work in (each_other, others_job) else 2
submit(one, two)
if work is each_other:
    submit(two, one)
began.wait()
if work is not growing:
    settle()
while work is growing and in_function("slow") < 2:
    time.sleep(0.01)
print("READY", flush=True)
rooms.wait()
