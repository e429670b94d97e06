"""The processes of one service and what they say to each other. docs/processes.md describes them.

    supervisor   starts the others, watches them, stops and restarts them. Reads nothing that strangers send
    worker       answers requests on the shared listener
    sync         follows the store, makes what the workers serve, and hashes it again and again

    start        from the command line to the supervisor
    children     one child process: how it is started, and how its death is described
    patience     whether a silent child hangs or only waits for the processor
    channel      messages between supervisor and child, over a socket pair
    messages     what those messages are
    accepting    takes connections from the listener
    connections  how many there may be, and who makes room
    served_memory  the list in memory, as the supervisor keeps it
    log_lines    log lines that never block who writes them

It knows no list and no HTTP.
"""
