"""Dramatiq with worker processes, as many as the machine has cores, of four threads each, and a large prefetch. A message is
acknowledged when it is done. Of its middleware it has what tries again."""
import os
import time

os.environ["dramatiq_queue_prefetch"] = "1000"

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries

from program import PORT, Program, executed, forked

THREADS = 4

broker = RedisBroker(host="127.0.0.1", port=PORT, middleware=[Retries()])
dramatiq.set_broker(broker)
nothing = dramatiq.actor(actor_name="nothing")(executed)


def serve():
    # A connection of its own for each process.
    broker.client.connection_pool.reset()
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    worker.start()
    while True:
        time.sleep(3_600)


def pending():
    return broker.client.hlen("dramatiq:default.msgs")


Program(broker.client.ping, nothing.send, lambda: forked(serve), pending).main()
