"""The language: a KFP v2 pipeline as typed values, read strictly and checked.

Plain Python: no Django, no I/O, no clock. `model` holds the values. `parse` makes them from text: `documents` reads YAML and
JSON, `strict` holds them against KFP's messages, `older` converts what came before, `build` makes the values, `check` finds
every broken rule. `values` says how a value becomes text, `cel` evaluates expressions, `arguments` checks what a run is given,
`platform` reads the Kubernetes document.
"""
