"""What pods tell and ask: an ASGI application of its own, on a listener of its own.

It takes nothing but the token of one attempt, and answers nothing that this attempt may not know. It gives the complete
order and the inputs, takes log blocks, outputs and the result document, and hands facts to the driver. Rows are looked at in
threads that keep their connections; no body is held in memory but small ones.
"""
