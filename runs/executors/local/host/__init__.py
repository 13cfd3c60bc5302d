"""The host: the program that runs a local installation's steps. `python -m runs.executors.local.host --help`.

One asyncio process owns environments, warm interpreters, the steps' processes, their folders and logs; clients talk to it over
a Unix socket (`server`). Knows no Django, no settings and no database; starts fast because of what it does not import.

`recipe` reads commands, `environments` builds what they need, `forkserver` (a program in that environment) forks the steps,
`pool` talks to it, `framing` and `steplog` make numbered lines of what is printed, `attempts` is one attempt from order to
result, `records` what is on disk of it, `hub` those who watch, `server` the socket.
"""
