"""The LwM2M data model: paths, values, object models, link lists, attributes and content formats.

Pure: bytes and objects in, bytes and objects out; the table of models is handed in as text. It knows of CoAP only the
Content-Format numbers, and nothing of servers, devices or sockets.
"""
