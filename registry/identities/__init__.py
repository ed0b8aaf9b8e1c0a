"""Who acts on this node: identities, their credentials, groups of them."""
