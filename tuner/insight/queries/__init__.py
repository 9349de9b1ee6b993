"""What insight asks the database and the store does not answer already: one file for each subject.

A function answers one question in the snapshot of the session that it is given, and is named by the answer.
"""
