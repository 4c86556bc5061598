"""The one process that stays root (DESIGN 5): it begins for users of the operating system what needs their rights.

It listens on a SEQPACKET socket, looks at SO_PEERCRED, and knows the verbs of `bridge.wire.helper`: deliver as user,
run the mailbox command as user, run an alias's program as `delivery.program_user`, check a password with PAM, let a
session go on as user. Root itself only reads the request, forks and becomes somebody else; nothing that looks at mail
has uid 0, and the libraries are those of Python's standard library (PAM through pamela, in a child that ends with its
answer).
"""
