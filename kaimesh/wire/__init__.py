"""What goes between processes. Framed TCP carries predictions (aisrv to actor) and samples (aisrv to buffer); gRPC all else.

frame       the 32-byte header, the kinds of frames, the limits
hello       what a client says first, checked
room        memory for a frame on its way in
connection  one peer of a server: its receive buffer, what is still to be written
server      one selector loop's worth of connections: handshake, reading, refusing, queued writes, bounds over all of them
client      one blocking connection
grpc_edge   servers and clients of gRPC, with the token, deadlines and one boundary
internal    our own bugs, counted where a server goes on after one
ports       whether ports are free
proxies     the mesh's connections go past a proxy

A conversation in frames: HELLO (JSON: protocol, token, role, name, specs) is answered by WELCOME or REFUSED; then every DATA frame
by DATA, ACK or ERROR with the same tag. Rows travel in the layout of kaimesh.contract.arrays; nothing is pickled.
"""
