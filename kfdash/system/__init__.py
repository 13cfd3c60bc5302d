"""How the installation is, in words and in numbers: what the System page, `doctor`, `/readyz` and `/metrics` say of it.

`asking` asks what may not answer, each at most once at a time and with a deadline; `looks` are the questions; `parts` makes
rows and sentences of what processes told (pure); `stand` puts it all together; `views` is the page.
"""
