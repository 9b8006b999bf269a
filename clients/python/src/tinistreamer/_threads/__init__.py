"""What only threads can do. `_tasks` has the same names for asyncio, with `Async` before them."""
