"""What is counted and measured, for people and for programs.

tally        what this process counts, and writes down every few seconds
samples      the space that is taken, over time
statistics   the numbers, read for pages and metrics
metrics      ``/metrics``, in Prometheus' text format
health       ``/healthz`` and ``/readyz``
"""
