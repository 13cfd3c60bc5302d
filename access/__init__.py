"""Who people are and what was done: accounts, rights, tokens, logging in, the activity log. Knows neither pipelines nor runs."""
