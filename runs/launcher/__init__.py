"""The program beside each step in its pod: it fetches inputs, sends the log, collects outputs, tells kfdash. Knows no Django.

It shares the folder `/kfdash` with `entry`, under which the user's command runs in the neighbour container:

    bin/entry       the program itself, put there by the launcher's postStart hook
    step/alive      touched every two seconds: the launcher lives
    step/plan       what to run, once inputs are in place (`volume.Plan`); or
    step/refused    why nothing is to be run: a sentence
    step/held       locked by `entry` until its process is gone
    step/begun      `entry` is there and begins: the container of the step was made
    log/<n>.log     the log, in the segments of `runs.logstore`; those that were sent are removed here
    step/ended      how the command ended, as JSON (`volume.Ended`); its outputs can be read
    step/copyout    custom paths to copy to `out/`, and step/copied: that it is done
    step/collected  `entry` may end

Every file appears whole, by its renaming. Both sides may be killed and started again at any time: they go on from the folder.
"""
