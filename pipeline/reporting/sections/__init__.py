"""The sections of the report's page: each file makes one, from numbers and artifacts; what is missing is said there."""
