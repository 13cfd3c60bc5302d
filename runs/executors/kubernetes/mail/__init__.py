"""Pods that cannot call kfdash: what they and kfdash tell each other by documents in a bucket and by the launchers' output.

`mailbox` is the bucket's part, `relay` carries what comes out of it (and out of the followed output) to the intake, as the
launcher itself would call it, and back. So nothing is decided here: the intake's checks are the same for both ways.
`runs.launcher.mail` is the other end.
"""
