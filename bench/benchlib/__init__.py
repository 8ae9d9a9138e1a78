"""What the evidence scripts of bench/ share."""
