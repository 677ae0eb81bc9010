"""Celery with a prefork pool, as many processes as the machine has cores. Tuned as its guide to optimizing says for many short
tasks: a large prefetch, no results; and without what workers tell each other. A task is acknowledged before it runs, as by
default: what a worker that dies was given is lost."""
import celery.apps.worker  # here, so that no start of a worker counts it
from kombu import Connection

from program import AT_ONCE, PORT, Program, executed, forked

app = celery.Celery("peer", broker=f"redis://127.0.0.1:{PORT}/0")
app.conf.update(
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_send_sent_event=False,
    worker_send_task_events=False,
    worker_prefetch_multiplier=128,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.005},
)
nothing = app.task(name="nothing")(executed)


def serve():
    app.worker_main(["--quiet", "worker", "--pool", "prefork", "--concurrency", str(AT_ONCE), "--loglevel", "CRITICAL",
                     "--without-gossip", "--without-mingle", "--without-heartbeat"])


def connect():
    with app.producer_pool.acquire(block=True) as producer:
        producer.connection.ensure_connection()


def submit(*args):
    nothing.apply_async(args)


def pending():
    with Connection(app.conf.broker_url) as connection:
        client = connection.default_channel.client
        return client.llen("celery") + client.hlen("unacked")


Program(connect, submit, lambda: forked(serve, 1), pending).main()
