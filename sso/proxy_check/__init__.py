"""Attacks on a running reverse proxy: can somebody get past it to the app, or speak as somebody else?

``door`` sends requests byte by byte as they are given, ``attacks`` knows what to send and what would be wrong,
``remedies`` which line to change, ``trial`` lends a session of nobody real.
"""
