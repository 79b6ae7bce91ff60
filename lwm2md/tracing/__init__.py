"""What goes over the wire, kept and shown: the last messages of every device, and traces that an operator asks for.

RULES: no clock, no socket, no storage in here: datagrams come with their time, and what must be stored is handed to a
function. Peers are read by `lwm2md.net.addresses`. On the way of a datagram nothing is decoded and nothing can fail.
"""
