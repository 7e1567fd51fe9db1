"""What strangers and customers have tried: each attack a row, with what it may cost, measured from outside."""
