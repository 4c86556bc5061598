"""What `fetchmail --help` prints, in the language of who asks."""

from bridge.cli.words import tr

_LINES = (
    ("-?, --help", "this page", "esta página"),
    ("-V, --version", "what will be done, account by account", "qué se hará, cuenta por cuenta"),
    ("    --configdump", "the same for programs, as a Python literal", "lo mismo para programas, en Python"),
    ("-c, --check", "say whether there is mail, collect nothing", "decir si hay correo, sin recogerlo"),
    ("-s, --silent", "say only what goes wrong", "decir solo lo que falla"),
    ("-v, --verbose", "say more", "decir más"),
    ("-d, --daemon N", "go on in the background, every N seconds; 0: once", "en segundo plano cada N segundos; 0: una"),
    ("-N, --nodetach", "the same in the foreground", "lo mismo en primer plano"),
    ("-q, --quit", "end the one in the background", "terminar el que está en segundo plano"),
    ("-L, --logfile FILE", "where the background one writes", "dónde escribe el de segundo plano"),
    ("    --syslog", "it writes to the system's log", "escribe en el registro del sistema"),
    (
        "-f, --fetchmailrc FILE",
        "instead of ~/.fetchmailrc; - is the input",
        "en vez de ~/.fetchmailrc; - es la entrada",
    ),
    ("    --pidfile FILE", "where the background one notes its number", "dónde anota su número el de segundo plano"),
    ("-p, --protocol NAME", "auto, imap, pop3 or apop", "auto, imap, pop3 o apop"),
    ("-P, --service PORT", "port there", "puerto remoto"),
    ("    --auth NAME", "password, cram-md5 or apop", "password, cram-md5 o apop"),
    ("-t, --timeout N", "seconds of silence that end a poll", "segundos de silencio que acaban una consulta"),
    ("-u, --username NAME", "login there", "usuario remoto"),
    ("-r, --folder NAME", "folder there (IMAP)", "carpeta remota (IMAP)"),
    ("-a, --all", "old mail, too (here: all that wasn't collected yet)", "también el antiguo (aquí: lo no recogido)"),
    ("-k, --keep", "leave mail there", "dejar allí el correo"),
    ("-K, --nokeep", "delete it there when it is safe here", "borrarlo allí cuando aquí está a salvo"),
    ("-F, --flush", "delete what was collected before", "borrar allí lo recogido antes"),
    ("-l, --limit N", "leave larger messages, bytes", "dejar los mensajes mayores, bytes"),
    ("-B, --fetchlimit N", "messages of one poll", "mensajes de una consulta"),
    ("    --ssl", "TLS from the first byte", "TLS desde el primer byte"),
    ("    --sslproto ''", "no TLS: the password goes in clear text", "sin TLS: la contraseña viaja sin cifrar"),
    ("    --sslcertfile FILE", "trust these authorities", "confiar en estas autoridades"),
    ("    --sslfingerprint F", "trust only this certificate", "confiar solo en este certificado"),
    ("    --config FILE", "settings of Estafeta", "ajustes de Estafeta"),
)


def page() -> str:
    usage = tr("usage:  fetchmail [options] [server ...]", "uso:  fetchmail [opciones] [servidor ...]")
    known = tr(
        "The other options of fetchmail 6.4 are known, too; what can't be done here is said.",
        "También se conocen las demás opciones de fetchmail 6.4; se avisa de lo que aquí no se hace.",
    )
    return "\n".join([usage, *(f"  {option:24} {tr(en, es)}" for option, en, es in _LINES), known])
