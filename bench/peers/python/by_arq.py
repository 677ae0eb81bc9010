"""arq with worker processes, as many as the machine has cores, of 100 jobs at once each, that look at the queue each 5 ms and
keep no results. A job stays in the queue until it is done. Jobs are enqueued 50 at once."""
import asyncio

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from program import AT_ONCE, PORT, Program, executed, forked

AT_ONCE_EACH = 100
ENQUEUED_AT_ONCE = 50

settings = RedisSettings(host="127.0.0.1", port=PORT)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


async def nothing(_, job=None, sent=None):
    executed(job, sent)


class Store:
    """The connection, made when it is first needed: not before a fork."""

    pool = None

    async def get(self):
        if self.pool is None:
            self.pool = await create_pool(settings)
        return self.pool


store = Store()


def serve():
    asyncio.set_event_loop(asyncio.new_event_loop())
    worker = Worker([nothing], redis_settings=settings, max_jobs=AT_ONCE_EACH, poll_delay=0.005, keep_result=0,
                    health_check_interval=3_600, handle_signals=False)
    worker.run()


def connect():
    loop.run_until_complete(store.get())


def submit(*args):
    async def one():
        await (await store.get()).enqueue_job("nothing", *args)

    loop.run_until_complete(one())


def submit_many(jobs):
    async def some(count):
        pool = await store.get()
        for _ in range(count):
            await pool.enqueue_job("nothing")

    async def all_of_them():
        share, rest = divmod(jobs, ENQUEUED_AT_ONCE)
        await asyncio.gather(*(some(share + (at < rest)) for at in range(ENQUEUED_AT_ONCE)))

    loop.run_until_complete(all_of_them())


def pending():
    async def count():
        return await (await store.get()).zcard("arq:queue")

    return loop.run_until_complete(count())


Program(connect, submit, lambda: forked(serve, AT_ONCE), pending, submit_many).main()
