"""How the APIs speak: errors, JSON in and out, queries, filters, sorting and paging as KFP's gateway has them.

A leaf: knows neither app. What a resource is called and where its columns are comes from the app that lists it.
"""
