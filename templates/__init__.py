"""Jinja2 templates of mails, pages and archives, shipped as package data; `paths.templates` overrides them singly."""
