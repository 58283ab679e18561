"""TON, read and paid through the HTTP interface of toncenter, version 3."""
