//! Addresses, networks and 5-tuples, IPv4 and IPv6 alike.
