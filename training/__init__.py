"""The Photosite library: everything that touches a pixel, and the offline commands.

`training` never imports `service`. Importing this package imports neither torch nor any decoder.
"""

__version__ = "0.1.0"
