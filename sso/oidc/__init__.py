"""OpenID Connect: the standard door for apps that speak neither our cookie nor a proxy's headers."""
