"""The sending side of the buffer, for aisrv: imports neither Reverb nor TensorFlow.

sender  samples on their way to the ingest ports, with back-pressure and books
"""
