"""Rules signed under The Update Framework: keys, roles with lifetimes, a repository that is published atomically."""
