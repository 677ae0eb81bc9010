"""Handlers for Gridloom in Python, and a client that starts runs.

    import gridloom

    worker = gridloom.Worker()

    @worker.handler("resize")
    def resize(shard: gridloom.Shard) -> None:
        for key in keys(shard.params["bucket"]):
            if shard.owns(key):
                shard.check()
                shard.rows()

    if __name__ == "__main__":
        worker.run()
"""

from .attach import WorkerGone
from .client import ApiError, Client, Receipt, Run, RunFailed, Unreachable
from .failure import Failure, Hold, Permanent, Retry, Stopped
from .frames import ProtocolError
from .shard import Key, Probe, Shard
from .slicing import slice_of
from .worker import Worker

__all__ = [
    "ApiError",
    "Client",
    "Failure",
    "Hold",
    "Key",
    "Permanent",
    "Probe",
    "ProtocolError",
    "Receipt",
    "Retry",
    "Run",
    "RunFailed",
    "Shard",
    "Stopped",
    "Unreachable",
    "Worker",
    "WorkerGone",
    "slice_of",
]

__version__ = "0.1.0"
