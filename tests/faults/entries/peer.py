"""A real py-dspinlock worker that acquires, releases, abandons and deletes keys of Rust workers at random.

Before each write it increments the version of the key; afterwards it acknowledges the version (see staleness.rs).
"""

import random
import sys
from datetime import timedelta
from time import sleep

import redis
from dspinlock import HashDSpinlock

port, keys, writer, rounds = (int(word) for word in sys.argv[1:5])
session = redis.Redis(host="127.0.0.1", port=port)


def lock(key, **options):
    """Creates a lock for each operation, because py-dspinlock has one tag per object."""
    made = HashDSpinlock(key, sess=session, **options)
    made.max_spinlock_tries, made.spinlock_sleep_thresh = 20, 0.005
    return made


def hold(key):
    held = lock(key)
    held._acquire()
    sleep(random.uniform(0, 0.004))
    return held


def compute(key):
    """Acquires, then releases: COMPUTED without a value."""
    hold(key)._release()


def release_late(key):
    """Takes locks over at once, and releases when its own lock may have been taken over."""
    held = lock(key)
    held.max_block_time = timedelta(milliseconds=random.uniform(0, 20))
    held._acquire()
    sleep(random.uniform(0, 0.02))
    held._release()


def abandon(key):
    """Never releases: another lock object deletes the key."""
    hold(key)
    lock(key).delete_atomic_query_mutex_state()


def delete(key):
    lock(key).delete_atomic_query_mutex_state()


errors = {}
for _ in range(rounds):
    key = str(random.randrange(keys))
    version = session.incr(f"version:{key}")
    try:
        random.choice([compute, compute, release_late, abandon, delete])(key)
        session.set(f"acknowledged:{key}:{writer}", max(version, int(session.get(f"acknowledged:{key}:{writer}") or 0)))
    except Exception as error:  # the test checks the names
        name = type(error).__name__
        errors[name] = errors.get(name, 0) + 1
    # A cached lock reads a computed key without an acquire.
    try:
        lock(key, cached_if_computed=True)._acquire()
    except Exception as error:
        name = type(error).__name__
        errors[name] = errors.get(name, 0) + 1
print(" ".join(f"{name}={count}" for name, count in errors.items()))
