"""The real py-dspinlock, driven by lines. Each request line gets one reply line.

    new a key=example tries=10 sleep=0.5 block=1800 cached fail      a lock under the name `a`
    new a micros=1                                                   a lock on this time after 1970
    acquire a | release a | delete a | key a | tag a                 calls the method
    unpack a                                                         parses the state with py-dspinlock
    work a 20                                                        acquires and releases 20 times, counts errors
"""

import sys
from datetime import datetime, timedelta, timezone

from dspinlock import HashDSpinlock
from dspinlock.utils import RedisParameters

parameters = RedisParameters(redis_host="127.0.0.1", port=int(sys.argv[1]))


class Lock(HashDSpinlock):
    """A lock whose options can be set."""


def new(options):
    words = dict(option.partition("=")[::2] for option in options)
    key = bytes.fromhex(words["hex"]) if "hex" in words else words.get("key", "")
    if "micros" in words:
        key = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=int(words["micros"]))
    lock = Lock(
        key, redis_params=parameters, cached_if_computed="cached" in words, fail_if_key_exists="fail" in words
    )
    lock.max_spinlock_tries = int(words.get("tries", 10))
    lock.spinlock_sleep_thresh = float(words.get("sleep", 0.5))
    lock.max_block_time = timedelta(seconds=float(words.get("block", 1800)))
    lock._key_prefix = words.get("prefix", "dspinlock")
    return lock


def work(options, count):
    """Creates a lock for each round, because py-dspinlock has one tag per object."""
    errors = {}
    for _ in range(count):
        try:
            with new(options):
                pass
        except Exception as error:  # the test checks the names
            name = type(error).__name__
            errors[name] = errors.get(name, 0) + 1
    return errors


locks, given = {}, {}
for line in sys.stdin:
    verb, name, *options = line.split()
    try:
        if verb == "new":
            locks[name], given[name], answer = new(options), options, "ok"
        elif verb == "acquire":
            locks[name]._acquire()
            answer = "ok"
        elif verb == "release":
            locks[name]._release()
            answer = "ok"
        elif verb == "delete":
            answer = locks[name].delete_atomic_query_mutex_state()
        elif verb == "key":
            answer = locks[name].get_key()
        elif verb == "tag":
            answer = locks[name]._tag
        elif verb == "unpack":
            state = locks[name]._unpack_value(locks[name]._sess.get(locks[name].get_key()))
            answer = f"{state.req_id} {state.timestamp.isoformat()} {state.value}" if state else "none"
        elif verb == "work":
            answer = work(given[name], int(options[0]))
        else:
            answer = "unknown"
        print(answer)
    except Exception as error:
        print("error", type(error).__name__)
