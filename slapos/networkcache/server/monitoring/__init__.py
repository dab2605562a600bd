"""What is counted and measured, for people and for programs.

tally        what this process counts, and writes down every few seconds
samples      the space that is taken, over time
overview     the state of a server, as values
statistics   that state, read from the database for pages and metrics
metrics      ``/metrics``, in Prometheus' text format
health       ``/healthz`` and ``/readyz``
"""
