"""Mail to people: an outbox in SQL, letters made from templates, and a thread that sends them.

A request only puts a letter into the outbox. Everything that could tell whether somebody is known, or that could
fail, wait or take long happens afterwards, away from the request.
"""
