"""Rules signed under The Update Framework: keys, roles with lifetimes, and a repository that is published atomically."""
