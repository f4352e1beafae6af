"""The worker on a VM: performs actions, observes the engine and the disk, reports both."""
