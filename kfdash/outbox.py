"""Enqueues jobs by name once the transaction has committed, and hands facts to the driver.

A leaf: nobody imports `jobs`. A message may be lost or doubled; rows say what is due, and the observer's tick sends it again.
"""
