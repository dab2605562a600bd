"""What may come, and what goes so that there is room; safe while the server serves.

    room        `Room`: quotas, the limit of all contents, the free space of the disk
    intake      the way in for contents: room is taken, and what has come is recorded
    rules       `Rules`: what the operator allows; `Gone` and `Collected`: what went
    pairs       pairs that expired, whose content never came, that nobody asks for
    contents    contents that no pair names, and those used least where there is a limit
    collect     all of it: by hand, every hour, and when room is wanted
    clock       whether the clock is to be believed when it is every hour
    pins        keys whose pairs and contents no collection takes
    holdings    what is kept under a key, and how somebody ends it

Pairs go first and contents after, so that at every moment, and after every crash, what a
pair names is there. What is pinned stays, and so does what it names.
"""
