"""A real py-dspinlock worker that does by chance what one may do to a key that Rust workers use.

Whatever it writes makes older results untrue: it lets the number grow first, and says so when it is done (see truth.rs).
"""

import random
import sys
from datetime import timedelta
from time import sleep

import redis
from dspinlock import HashDSpinlock

port, keys, actor, rounds = (int(word) for word in sys.argv[1:5])
session = redis.Redis(host="127.0.0.1", port=port)


def lock(key, **options):
    """A fresh one each time, as a careful user does: py-dspinlock makes one tag per object."""
    made = HashDSpinlock(key, sess=session, **options)
    made.max_spinlock_tries, made.spinlock_sleep_thresh = 20, 0.005
    return made


def hold(key):
    held = lock(key)
    held._acquire()
    sleep(random.uniform(0, 0.004))
    return held


def compute(key):
    """Waits where another holds the key, holds it, and leaves COMPUTED without a value."""
    hold(key)._release()


def release_late(key):
    """Takes a lock for abandoned at once; and releases when another may have done so to it."""
    held = lock(key)
    held.max_block_time = timedelta(milliseconds=random.uniform(0, 20))
    held._acquire()
    sleep(random.uniform(0, 0.02))
    held._release()


def abandon(key):
    """Dies with the lock: the next one deletes it."""
    hold(key)
    lock(key).delete_atomic_query_mutex_state()


def delete(key):
    lock(key).delete_atomic_query_mutex_state()


errors = {}
for _ in range(rounds):
    key = str(random.randrange(keys))
    truth = session.incr(f"truth:{key}")
    try:
        random.choice([compute, compute, release_late, abandon, delete])(key)
        session.set(f"acknowledged:{key}:{actor}", max(truth, int(session.get(f"acknowledged:{key}:{actor}") or 0)))
    except Exception as error:  # the test wants the names of all of them
        name = type(error).__name__
        errors[name] = errors.get(name, 0) + 1
    # A reader of the computed key, who takes no lock.
    try:
        lock(key, cached_if_computed=True)._acquire()
    except Exception as error:
        name = type(error).__name__
        errors[name] = errors.get(name, 0) + 1
print(" ".join(f"{name}={count}" for name, count in errors.items()))
