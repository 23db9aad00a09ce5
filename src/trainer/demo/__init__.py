"""The built-in demo: `demo` trains the published methods, adapts the general network, and compares them."""
