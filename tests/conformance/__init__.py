"""What makes a store a store: the same tests over every one of them."""
