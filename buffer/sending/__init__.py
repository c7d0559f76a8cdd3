"""The sending side of the buffer, for aisrv: imports neither Reverb nor TensorFlow.

sender  sends samples to the ingest ports, with back-pressure, and counts what becomes of each sample
"""
