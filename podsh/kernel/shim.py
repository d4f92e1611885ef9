"""What the preload shim is compiled with (podsh/native/build.py reads this file by its path).

Neither is a secret: a program that uses the cookie by itself hides its requests, and so denies
itself what they would have brought.
"""

# in argument 6 of a call that takes at most five: "not yet, the kernel is asked first"
COOKIE = 0x5E1F_A9C4_B37D_206B
# argument 6 of setxattrat and getxattrat is their own
COOKIE_ARGUMENT = 5

# a page of the pod that holds a u64 of the machine's byte order: what was refused at another
# number may be asked for again
GENERATION = "/.podsh/gen"
