"""Object stores on loopback for tests, each a process of its own: S3 (moto), GCS (ours), a proxy that breaks things.

`child` starts them; `s3`, `gcs` and `proxy` are what is started. tests/stores.py makes fixtures of them.
"""
