"""A real py-dspinlock worker that acquires, releases, abandons and deletes keys of Rust workers at random.

It prints how often each error was raised, by name and message, one error a line. The last line is `end`.
"""

import random
import re
import sys
from collections import Counter
from datetime import timedelta
from time import sleep

import redis
from dspinlock import HashDSpinlock

port, keys, rounds = (int(word) for word in sys.argv[1:4])
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


def cached(key):
    """Accepts a computed key without an acquire. The release of a lock that it has not acquired changes nothing."""
    with lock(key, cached_if_computed=True):
        pass


errors = Counter()
for _ in range(rounds):
    key = str(random.randrange(keys))
    for operation in random.choice([compute, compute, release_late, abandon, delete]), cached:
        try:
            operation(key)
        except Exception as error:
            # Without the key and the tag.
            message = re.sub(r"(tag|key): \S+|for key \S+", "", str(error))
            errors[f"{type(error).__name__} {message}"] += 1
for error, count in errors.items():
    print(count, error)
print("end")
