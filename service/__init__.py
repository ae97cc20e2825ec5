"""The delivery: HTTP, queue, storage, hot-load."""
