"""What happens: runs, tasks, attempts, logs and artifacts, and the executors that do the work."""
