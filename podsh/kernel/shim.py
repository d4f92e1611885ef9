"""What a pod has of podsh is compiled with this (podsh/native/build.py reads it by its path).

None of it is a secret: a program that uses the cookie by itself hides its requests, and so denies
itself what they would have brought.
"""

# in argument 6 of a call that takes at most five: "not yet, the kernel is asked first"
COOKIE = 0x5E1F_A9C4_B37D_206B
# argument 6 of setxattrat and getxattrat is their own
COOKIE_ARGUMENT = 5

# a page of the pod that holds a u64 of the machine's byte order: what was refused at another
# number may be asked for again
GENERATION = "/.podsh/gen"

# where programs of a pod ask by `kage`. Whoever decides on connect(2) lets the pod have this one
# without a question, by the object: the socket that init made in the skeleton. It may be connected
# to on the program's behalf: the monitor goes by who sends (podsh/monitor/kage.py).
KAGE_SOCKET = "/.podsh/kage.sock"
