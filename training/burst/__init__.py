"""Several raws of one static scene made into one with less noise, which is then denoised.

alignment.py  by how many whole cells a frame is shifted against the first     frames.py   frames that fit together
merging.py    the mean of what agrees, and of how many frames it is            denoise.py  the whole flow
"""
