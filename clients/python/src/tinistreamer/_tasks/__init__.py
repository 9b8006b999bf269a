"""What only asyncio can do. `_threads` has the same names for threads, without the `Async`."""
