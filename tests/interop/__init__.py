"""Our CoAP engine against engines of others, over real sockets, in both roles."""
