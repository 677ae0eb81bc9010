"""Huey with worker processes, as many as the machine has cores, that wait at Redis. A job that is taken is gone from the queue:
what a worker that dies was given is lost."""
from huey import RedisHuey

from program import AT_ONCE, PORT, Program, executed

huey = RedisHuey("nothing", host="127.0.0.1", port=PORT, results=False)
nothing = huey.task()(executed)


def start():
    consumer = huey.create_consumer(workers=AT_ONCE, worker_type="process", periodic=False)
    consumer.start()
    return consumer.stop


Program(huey.storage.conn.ping, nothing, start, huey.pending_count).main()
