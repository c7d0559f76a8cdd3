"""How processes talk. Framed TCP carries predictions (aisrv to actor) and samples (aisrv to buffer), gRPC the rest.

frame           the 32-byte header, the kinds of frames, the limits
gate            who a client is, by its token, and what its role may do
hello           the first frame of a client, checked
receive_buffer  the memory of a frame, which grows with the bytes that arrive
connection      one peer of a server: its receive buffer and its queued writes
server          many connections in one thread: handshake, reading, refusing, queued writes, limits over all
client          one blocking connection
grpc_edge       gRPC servers and clients with the token, deadlines, and one place that handles unexpected errors
internal        counts and logs our own bugs, after which a server goes on
ports           whether ports are free
proxies         keeps the mesh's own connections away from an HTTP proxy

A conversation in frames: a client sends HELLO (JSON: protocol, token, role, name, specs) and gets WELCOME or REFUSED.
Each DATA frame that it then sends is answered by DATA, ACK or ERROR with the same tag. Rows travel in the layout of
kaimesh.contract.arrays; nothing is pickled.
"""
