"""Whether all that is kept is right, and mending it, while a server serves.

check        the check in the background, at a chosen rate
inspection   every content and every pair, once                        <- read first
findings     what was found, as a value
aside        a bad content is moved out of the way
sources      where contents are fetched again
"""
