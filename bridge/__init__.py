"""Estafeta's mail server: doors, queue, routes, deliveries, mailboxes, and the services that read them."""
