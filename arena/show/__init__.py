"""Showing an episode: as a film, or as a page for a browser. Nothing here knows an environment; arena/replay brings
them together.

film   pictures to a GIF or an MP4
page   one HTML file with a time slider; page.html and page.js are its shell, frames.js draws pictures on it
"""
