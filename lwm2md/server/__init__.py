"""The LwM2M Server's decisions: registrations, operations and observations, with no clock, socket or storage of its own."""
