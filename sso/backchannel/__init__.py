"""Telling apps that keep sessions of their own that a sign-in ended (OpenID Connect Back-Channel Logout 1.0).

``notices`` are put into Redis by the end itself, ``deliveries`` made of them in SQL, and ``sender`` posts those.
docs/backchannel.md tells operators and the people who write apps the rest.
"""
