"""Steps as processes of this machine. `executor` is the client's side; `host` is a program of its own."""
