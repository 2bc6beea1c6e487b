"""The results of a report on a network: hours to the target, accuracy within a budget, and when a fill pays."""
