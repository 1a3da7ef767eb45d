"""The process that trains, its device, and the parent's handle on it."""
