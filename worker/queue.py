"""The doorbell: a Celery app whose messages say only that there is work.

A message may ring twice or not at all; the job's record is the truth (see `leases`). Messages are
acknowledged early, nothing is stored about tasks, and no other Celery machinery is used.
"""

import logging
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Literal

import kombu.exceptions
import redis
from celery import Celery

from worker.records import JobKind
from worker.settings import Settings

QueueName = Literal["train", "predict"]
QUEUES: dict[JobKind, QueueName] = {
    "train": "train",
    "predict": "predict",
    "evaluate": "predict",
}
ADVANCE_JOB = "lstmq.advance_job"
ANSWER_QUESTIONS = "lstmq.answer_questions"

log = logging.getLogger(__name__)


def broker_url(settings: Settings) -> str:
    """The settings' Redis as kombu spells it."""
    url = settings.effective_redis_url
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url


def make_app(settings: Settings) -> Celery:
    """The Celery app; building it connects to nothing."""
    celery = Celery("lstmq", broker=broker_url(settings), include=["worker.tasks"])
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_default_queue="train",
        task_create_missing_queues=True,
        task_routes={ADVANCE_JOB: {"queue": "train"}, ANSWER_QUESTIONS: {"queue": "predict"}},
        task_acks_late=False,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_lost_wait=0.1,  # for a dead child's result: there is none to come
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 600,
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 15,
            "queue_order_strategy": "priority",
        },
    )
    return celery


class Doorbell:
    """Sends messages; never decides whether anything is accepted."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_app(settings)
        # One try: kombu would go on for seconds, and the sweep repeats what is lost.
        self._app.conf.broker_transport_options |= {
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0,
            "interval_max": 0,
        }
        self.broken = False  # whether Redis did not take the last message
        self._soon: SimpleQueue[QueueName] = SimpleQueue()
        self._starting = Lock()
        self._thread: Thread | None = None

    def ring(self, queue: QueueName) -> bool:
        """Say that there is work; False when Redis did not take it (the sweep will repeat it)."""
        return self.send(ADVANCE_JOB, (), queue)

    def ring_soon(self, queue: QueueName) -> None:
        """The same from a thread of its own: a frozen Redis must not hold up the one who asks."""
        with self._starting:
            if self._thread is None:
                self._thread = Thread(target=self._ring_for_ever, name="doorbell", daemon=True)
                self._thread.start()
        self._soon.put(queue)

    def send(self, task: str, arguments: tuple[object, ...], queue: QueueName) -> bool:
        """Publish one message, without retries; False when Redis did not take it."""
        try:
            self._app.send_task(task, args=arguments, queue=queue, retry=False, ignore_result=True)
        except (kombu.exceptions.OperationalError, redis.RedisError, OSError) as error:
            log.warning("a message for %s was not sent: %s", queue, error)
            self.broken = True
        else:
            self.broken = False
        return not self.broken

    def _ring_for_ever(self) -> None:
        while True:
            self.ring(self._soon.get())


# What `celery -A worker` runs. Everybody else has a Doorbell.
app = make_app(Settings())
