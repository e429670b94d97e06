"""The processes of one service and what they say to each other. docs/processes.md describes them.

    supervisor   starts the others, watches them, stops and restarts them. Reads nothing that strangers send
    worker       answers requests on the shared listener

    start        from the command line to the supervisor
    children     one child process: how it is started, and how its death is described
    patience     whether a silent child hangs or only waits for the processor
    channel      messages between supervisor and child, over a socket pair
    messages     what those messages are
    accepting    takes connections from the listener
    log_lines    log lines that never block who writes them

It knows no list and no HTTP.
"""
