"""The language: a KFP v2 pipeline as typed values, read strictly and checked.

Plain Python: no Django, no I/O, no clock. `model` holds the values, `parse` makes them from documents,
`check` finds every broken rule, `values` says how a value becomes text, `cel` evaluates expressions,
`platform` reads the Kubernetes document.
"""
