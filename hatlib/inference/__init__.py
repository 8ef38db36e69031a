"""Any image through a network, in tiles and in the precision that suits it. May import `weights`
and what it imports."""
