"""The work of each verb, in the file of its name: imported when the verb runs, and not before."""
