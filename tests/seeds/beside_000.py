"""Seed 000: what it says of other programs, of the past, and of free software in general."""

from tests.seeds.book import beside

D = "000"

beside(D, "2.1 MTA", "Postfix, Sendmail, Qmail and Exim are the best known MTAs", "Postfix, Sendmail, Qmail y Exim son los MTAs más conocidos",
       ("names of other programs; docs/benchmarks.md compares with them", "nombres de otros programas; docs/benchmarks.md compara con ellos"))  # fmt: skip
beside(D, "2.2 MUA", "Hotmail, Yahoo and Gmail are readers on the web", "Hotmail, Yahoo y Gmail son lectores en la web",
       ("services of others; ours has no webmail of its own, any that speaks IMAP can be put before it",
        "servicios de otros; el nuestro no trae correo web propio, sirve cualquiera que hable IMAP"))  # fmt: skip
beside(D, "2.2 formats", "Maildir performs better than mbox, which has to be searched through", "Maildir rinde más que mbox, en el que hay que buscar",
       ("a comparison of formats; here both are read through an index, and neither is searched",
        "comparación entre formatos; aquí ambos se leen mediante un índice y en ninguno se busca"))  # fmt: skip
beside(D, "2.2 formats", "Sendmail, Exim and Postfix choose the format each in its way", "Sendmail, Exim y Postfix eligen el formato cada uno a su manera",
       ("settings of other programs; ours is tried above", "ajustes de otros programas; el nuestro se prueba arriba"))  # fmt: skip
beside(D, "2.2 MDA", "mail as the program that writes into mailboxes", "mail como programa que escribe en los buzones",
       ("today's mail hands everything to sendmail, as tried above; it has no way to deliver by itself",
        "el mail de hoy lo entrega todo a sendmail, como se prueba arriba; ya no sabe repartir por sí mismo"))  # fmt: skip
beside(D, "3.1.2 dialogue", "the answer to the end of the message is 220 in the text, 250 in its dialogue",
       "la respuesta al final del mensaje es 220 en el texto y 250 en su diálogo",
       ("a slip of the text: 250 it is, as in its dialogue and in the standard", "errata del texto: es 250, como en su diálogo y en la norma"))  # fmt: skip
beside(D, "3.1.2 dialogue", "the client's last line is printed as 221 Adios", "la última línea del cliente se imprime como 221 Adios",
       ("a slip of the print: 221 comes from the server, tried above", "errata de imprenta: el 221 lo dice el servidor, y se prueba arriba"))  # fmt: skip
beside(D, "3.4 POP", "versions of POP before 3 are obsolete", "las versiones de POP anteriores a la 3 son obsoletas",
       ("nothing speaks them any more", "ya nada las habla"))  # fmt: skip
beside(D, "4 Free software", "what free software is, GNU, Linux, the GPL and distributions", "qué es el software libre, GNU, Linux, la GPL y las distribuciones",
       ("not about a mail system; ours is made for Debian (docs/install.md)", "no trata de un sistema de correo; el nuestro está hecho para Debian (docs/instalar.md)"))  # fmt: skip
