"""The LwM2M Server's decisions: registrations, operations, observations. No clock, socket or storage of its own."""
