"""Estafeta's mailing lists: posts, members, moderation, digests and pipermail-style archives."""
