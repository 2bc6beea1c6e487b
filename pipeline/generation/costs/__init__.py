"""What drawing an image costs before anything is drawn: operations by the model's configuration, and named devices."""
