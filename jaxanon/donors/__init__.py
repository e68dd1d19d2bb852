"""The people whose faces may be shown: a bank of pictures, and who is chosen for whom.

A choice is a function of the seed, of the asked keypoints and of visible pixels only.
"""
