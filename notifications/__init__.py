"""Webhooks by Standard Webhooks: stored, signed, delivered at least once, repeated, replayed.

store.store_events        keep events and plan their deliveries, in the caller's transaction
store.replay              plan deliveries of kept events anew
store.test_endpoint       send a test event to one endpoint
store.prune_events        forget events of long ago
endpoints.*               register, change, rotate, disable, enable, delete
deliver.Deliverer         the loop that sends what is due; any number of them share the work
guard.open_session        the HTTP session it sends with
signing.SecretBox         what custody supplies so that secrets are encrypted at rest
"""
