"""Seed 003: what it says of other programs, and notes of its author."""

from tests.seeds.book import beside

D = "003"

beside(D, "1 Introduction", "mail is one of the basic uses of a network", "el correo es uno de los usos fundamentales de una red",
       ("says why, not how", "dice por qué, no cómo"))  # fmt: skip
beside(D, "2 MUA", "a reader's program has a thousand more options", "un cliente de correo tiene miles de opciones adicionales",
       ("a matter of the programs; what they need of a server is tried with document 000", "cosa de los programas; lo que necesitan del servidor se prueba con el documento 000"))  # fmt: skip
beside(D, "5 POP3", "two answers of the printed session lack their plus sign", "dos respuestas de la sesión impresa van sin el signo más",
       ("slips of the print: +OK it is, tried above", "erratas de imprenta: es +OK, y se prueba arriba"))  # fmt: skip
beside(D, "6 MTA", "sendmail, smail, exim and qmail are the most used", "sendmail, smail, exim y qmail son los más usados",
       ("names of other programs; docs/benchmarks.md compares with today's", "nombres de otros programas; docs/benchmarks.md compara con los de hoy"))  # fmt: skip
beside(D, "8 MAA", "qpopper, UW and courier are the most used", "qpopper, UW y courier son los más usados",
       ("names of other programs; docs/benchmarks.md compares with today's", "nombres de otros programas; docs/benchmarks.md compara con los de hoy"))  # fmt: skip
beside(D, "8 MAA", "a note to explain APOP further", "una nota para explicar más APOP",
       ("the author's note to himself; APOP is tried above", "nota del autor para sí mismo; APOP se prueba arriba"))  # fmt: skip
beside(D, "10 mailman", "mailman is written in Python and best installed from a package", "mailman está escrito en Python y es preferible instalarlo por paquetes",
       ("so is ours; docs/install.md has the steps", "también el nuestro; los pasos están en docs/instalar.md"))  # fmt: skip
