"""Framed TCP: what carries predictions (aisrv to actor) and samples (aisrv to buffer).

frame       the 32-byte header, the kinds of frames, the limits
hello       what a client says first, checked
room        memory for a frame on its way in
connection  one peer of a server: its receive buffer, what is still to be written
server      one selector loop's worth of connections: handshake, reading, refusing, queued writes, bounds over all of them
client      one blocking connection

A conversation: HELLO (JSON: protocol, token, role, name, specs) is answered by WELCOME or REFUSED; then every DATA frame
by DATA, ACK or ERROR with the same tag. Rows travel in the layout of kaimesh.arrays; nothing is pickled.
"""
