"""What insight asks the database and the store does not answer already: one file for each subject.

Each function is one statement in the snapshot of the session that it is given, named by what it tells.
"""
