"""One child of a worker: imports the application and runs its jobs. ``python -m packhorse._child``."""
