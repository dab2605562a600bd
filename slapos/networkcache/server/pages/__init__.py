"""Pages for people, made on the server: no script, one style, good on a phone.

    services     from a request to its page: `make_pages`            <- read first
    views        what is on each page
    statements   what a pair says, and what is claimed in it
    timelines    which plots there are
    plots        bars over time, as SVG
    state        what an operator should look at
    address      where this cache is reached
    rendering    templates, and why nothing that a client sent can be more than text

`templates` has the pages, `static` the files that they name. A page shows nothing that
``GET`` of SHADIR would not; for the names of accounts see `nearby`.
"""
