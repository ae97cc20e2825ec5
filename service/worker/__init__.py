"""The Celery worker: takes a job, runs the library, hands back the result."""
