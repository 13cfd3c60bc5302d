"""Steps as pods: from orders to pods, and from pods back to facts.

`manifest`, `volumes`, `template` and `pods` are plain thinking about dicts; `client` alone knows the `kubernetes` package.
"""
