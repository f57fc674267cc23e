"""What people see: the live view, plain lines, telemetry and the closing table.

Only Rich draws here; the engine's objects are read, never changed.
"""
