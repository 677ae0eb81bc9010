"""Handlers that do nothing, for `gridloom-bench sdk`."""
import gridloom

worker = gridloom.Worker()


@worker.handler("nothing")
def nothing(shard: gridloom.Shard) -> None:
    pass


@worker.handler("nothing-async")
async def nothing_async(shard: gridloom.Shard) -> None:
    pass


if __name__ == "__main__":
    worker.run()
