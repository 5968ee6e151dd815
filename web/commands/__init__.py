"""The commands of `lstmq`, a module for each family."""
