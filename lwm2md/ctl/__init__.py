"""lwm2mctl: the daemon from the command line, over its HTTP API.

RULES: nothing of the daemon is imported but the pure table of paths, and no library but msgspec, so that a command is
over before anybody notices that it started. What devices said is shown with its control characters escaped.
"""
