"""The words of Mailman's command line as functions: each takes a `Desk` and gives an exit status.

The command line itself (`bridge.cli`) reads the arguments and calls these.
"""
