"""The device: object tree, registration state machine, reporting and a simulated world. Pure: ``now`` is passed in."""
