"""What a user does beside the stages; each command returns values, and the command line prints them."""
