"""The program aisrv.

aisrv  main
"""
