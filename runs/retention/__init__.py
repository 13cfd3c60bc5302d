"""What is removed after a time: rules, what they mean for each run, and carrying them out.

`rules` and `planning` are plain Python: they know no database and read no clock. `reading` finds by indexes what the rules may
mean, `removing` takes it out of the database, `leftovers` off disks and out of buckets, and `passes` does one after the other,
a little at a time. A dry run is a pass that removes nothing: it looks with the same eyes.
"""
