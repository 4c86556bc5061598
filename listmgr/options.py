"""What the owner of a list can set: each option described once, with Mailman's name, type, default and help.

Promises: every option here is obeyed by the engine (the field is read somewhere; a test looks); `Options` is a frozen
value, `from_json` reads any document that an older or newer version wrote: unknown names are dropped, missing ones get
their default. `changed` refuses what is wrong, with every mistake named (Wrong).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

from listmgr.describe import Option, Words, Wrong, option

ACTIONS = ("accept", "hold", "reject", "discard")
MEMBER_FLAGS = ("hide", "ack", "notmetoo", "nodupes")


@dataclass(frozen=True, slots=True)
class Options:
    """All options of one list."""

    # general
    real_name: str = option(
        "", "general", "The public name of the list (only upper and lower case may be changed).",
        "Nombre público de la lista (solo se pueden cambiar mayúsculas y minúsculas).",
    )  # fmt: skip
    owner: tuple[str, ...] = option(
        (), "general", "Addresses of the list's owners, one a line.",
        "Direcciones de los responsables de la lista, una por línea.",
    )  # fmt: skip
    moderator: tuple[str, ...] = option(
        (), "general", "Addresses of people who only decide on held posts, one a line.",
        "Direcciones de quienes solo deciden sobre mensajes retenidos, una por línea.",
    )  # fmt: skip
    description: str = option(
        "", "general", "A phrase that says what the list is for.", "Una frase que describe la lista."
    )
    info: str = option(
        "", "general", "A few paragraphs about the list, for its page.",
        "Unos párrafos sobre la lista, para su página.", kind="text",
    )  # fmt: skip
    subject_prefix: str = option(
        "", "general", "Prefix for the subject of each post.", "Prefijo para el asunto de cada mensaje."
    )
    from_is_list: str = option(
        "no", "general",
        "Put the list's address into From, for readers whose providers check senders (DMARC)? munge: replace the "
        "author's address, the name stays; wrap: send the post inside a message of the list.",
        "¿Poner la dirección de la lista en From, para lectores cuyos proveedores comprueban al remitente (DMARC)? "
        "munge: sustituir la dirección del autor, el nombre queda; wrap: enviar el mensaje dentro de otro de la lista.",
        choices=("no", "munge", "wrap"),
    )  # fmt: skip
    anonymous_list: bool = option(
        False, "general", "Hide who wrote a post: remove every trace of the author?",
        "¿Ocultar quién escribe: quitar todo rastro del autor?",
    )  # fmt: skip
    first_strip_reply_to: bool = option(
        False, "general", "Remove a Reply-To that the author set?", "¿Quitar el Reply-To que puso el autor?"
    )
    reply_goes_to_list: str = option(
        "poster", "general", "Where replies go: to the author, to the list, or to reply_to_address.",
        "A dónde van las respuestas: al autor, a la lista o a reply_to_address.",
        choices=("poster", "list", "address"),
    )  # fmt: skip
    reply_to_address: str = option(
        "", "general", "Address for replies, if they go to an address.",
        "Dirección para las respuestas, si van a una dirección.", kind="address",
    )  # fmt: skip
    umbrella_list: bool = option(
        False, "general", "Are the members other lists? Confirmations and reminders go to their owners then.",
        "¿Son los miembros otras listas? Las confirmaciones y recordatorios van entonces a sus responsables.",
    )  # fmt: skip
    umbrella_member_suffix: str = option(
        "-owner", "general", "What is put after a member list's name to reach its owners.",
        "Qué se añade al nombre de una lista miembro para llegar a sus responsables.", kind="suffix",
    )  # fmt: skip
    send_reminders: bool = option(
        False, "general", "Remind members once a month that they are on the list (with links, never passwords)?",
        "¿Recordar cada mes a los miembros que están en la lista (con enlaces, nunca contraseñas)?",
    )  # fmt: skip
    welcome_msg: str = option(
        "", "general", "Text put into the welcome mail.", "Texto que se añade a la bienvenida.", kind="text"
    )
    send_welcome_msg: bool = option(True, "general", "Welcome new members by mail?", "¿Dar la bienvenida por correo?")
    goodbye_msg: str = option(
        "", "general", "Text put into the mail to members who leave.", "Texto que se añade a la despedida.",
        kind="text",
    )  # fmt: skip
    send_goodbye_msg: bool = option(
        True, "general", "Send a mail to members who leave?", "¿Enviar un correo a quien se da de baja?"
    )
    admin_immed_notify: bool = option(
        True, "general", "Tell owners and moderators at once about a held post? A summary comes every day anyway.",
        "¿Avisar enseguida de cada mensaje retenido? Una vez al día llega en todo caso un resumen.",
    )  # fmt: skip
    admin_notify_mchanges: bool = option(
        False, "general", "Tell owners who joins and leaves?", "¿Avisar a los responsables de altas y bajas?"
    )
    respond_to_post_requests: bool = option(
        True, "general", "Tell authors that their post is held?", "¿Avisar al autor de que su mensaje está retenido?"
    )
    emergency: bool = option(False, "general", "Hold every post for now?", "¿Retener todos los mensajes de momento?")
    new_member_options: tuple[str, ...] = option(
        ("nodupes",), "general", "Options that new members start with.", "Opciones con que empieza cada miembro.",
        choices=MEMBER_FLAGS, kind="flags",
    )  # fmt: skip
    administrivia: bool = option(
        True, "general", "Catch posts that look like commands?", "¿Interceptar mensajes que parecen órdenes?"
    )
    max_message_size: int = option(
        1000, "general", "Largest post, KB; larger ones are held; 0: no limit.",
        "Tamaño máximo de un mensaje, en KB; los mayores se retienen; 0: sin límite.",
    )  # fmt: skip
    admin_member_chunksize: int = option(
        30, "general", "Members on one page of the membership list.",
        "Miembros en cada página de la relación de miembros.", most=200,
    )  # fmt: skip
    host_name: str = option(
        "", "general", "Mail domain of the list's addresses.", "Dominio de correo de las direcciones de la lista.",
        kind="domain",
    )  # fmt: skip
    include_rfc2369_headers: bool = option(
        True, "general", "Put List-* headers on posts? Mail programs show buttons for them.",
        "¿Poner cabeceras List-* en los mensajes? Los programas de correo las muestran como botones.",
    )  # fmt: skip
    include_list_post_header: bool = option(
        True, "general", "Put a List-Post header on posts?", "¿Poner la cabecera List-Post?"
    )
    include_sender_header: bool = option(
        True, "general", "Set Sender to the list's bounce address?", "¿Poner la dirección de rebotes en Sender?"
    )
    max_days_to_hold: int = option(
        0, "general", "Days after which a held post is discarded; 0: never.",
        "Días tras los que se descarta un mensaje retenido; 0: nunca.", most=3650,
    )  # fmt: skip
    drop_cc: bool = option(
        True, "general", "Take members out of Cc who got the post directly and want no second copy?",
        "¿Quitar de Cc a los miembros que ya lo reciben directamente y no quieren otra copia?",
    )  # fmt: skip
    # language
    preferred_language: str = option(
        "en", "language", "Language of the list's mails and pages.", "Idioma de los correos y páginas de la lista.",
        choices=("en", "es"),
    )  # fmt: skip
    # privacy: subscribing
    advertised: bool = option(
        True, "privacy/subscribing", "Show this list to those who ask which lists there are?", "¿Anunciar esta lista?"
    )
    private_roster: str = option(
        "members", "privacy/subscribing", "Who may see the roster.", "Quién puede ver la relación de miembros.",
        choices=("anyone", "members", "admins"),
    )  # fmt: skip
    obscure_addresses: bool = option(
        True, "privacy/subscribing", "Write members' addresses on pages so that robots don't recognise them?",
        "¿Escribir las direcciones de los miembros en las páginas de forma que los robots no las reconozcan?",
    )  # fmt: skip
    ban_list: tuple[str, ...] = option(
        (), "privacy/subscribing", "Addresses that may neither join nor post (patterns: *@example.org), one a line.",
        "Direcciones que no pueden entrar ni escribir (patrones: *@example.org), una por línea.", kind="patterns",
    )  # fmt: skip
    # privacy: senders
    default_member_moderation: bool = option(
        False, "privacy/sender", "Are new members moderated?", "¿Se moderan los mensajes de miembros nuevos?"
    )
    member_moderation_action: str = option(
        "hold", "privacy/sender", "What happens to posts of moderated members.",
        "Qué se hace con los mensajes de miembros moderados.", choices=("hold", "reject", "discard"),
    )  # fmt: skip
    member_moderation_notice: str = option(
        "", "privacy/sender", "Text of the mail that rejects a moderated member's post.",
        "Texto con que se rechaza un mensaje de un miembro moderado.", kind="text",
    )  # fmt: skip
    accept_these_nonmembers: tuple[str, ...] = option(
        (), "privacy/sender", "Non-members whose posts are accepted (globs: *@example.org).",
        "No miembros cuyos mensajes se aceptan (patrones: *@example.org).", kind="patterns",
    )  # fmt: skip
    hold_these_nonmembers: tuple[str, ...] = option(
        (),
        "privacy/sender",
        "Non-members whose posts are held.",
        "No miembros cuyos mensajes se retienen.",
        kind="patterns",
    )
    reject_these_nonmembers: tuple[str, ...] = option(
        (),
        "privacy/sender",
        "Non-members whose posts are rejected.",
        "No miembros cuyos mensajes se rechazan.",
        kind="patterns",
    )
    discard_these_nonmembers: tuple[str, ...] = option(
        (),
        "privacy/sender",
        "Non-members whose posts are discarded.",
        "No miembros cuyos mensajes se descartan.",
        kind="patterns",
    )
    generic_nonmember_action: str = option(
        "hold", "privacy/sender", "What happens to posts of all other non-members.",
        "Qué se hace con los mensajes de los demás no miembros.", choices=ACTIONS,
    )  # fmt: skip
    nonmember_rejection_notice: str = option(
        "",
        "privacy/sender",
        "Text of the mail that rejects a non-member.",
        "Texto con que se rechaza a un no miembro.",
        kind="text",
    )
    # privacy: recipients
    require_explicit_destination: bool = option(
        True, "privacy/recipient", "Must posts name the list in To or Cc?", "¿Deben nombrar la lista en To o Cc?"
    )
    acceptable_aliases: tuple[str, ...] = option(
        (), "privacy/recipient", "Other addresses that count as the list's name.",
        "Otras direcciones que cuentan como la lista.", kind="patterns",
    )  # fmt: skip
    max_num_recipients: int = option(
        10, "privacy/recipient", "Hold posts with this many recipients or more; 0: no limit.",
        "Retener mensajes con tantos destinatarios o más; 0: sin límite.",
    )  # fmt: skip
    # archive
    archive: bool = option(True, "archive", "Archive the posts?", "¿Archivar los mensajes?")
    archive_private: bool = option(
        False, "archive", "Is the archive for members only?", "¿Es el archivo solo para miembros?"
    )
    archive_volume_frequency: str = option(
        "month", "archive", "How often a new volume begins.", "Cada cuánto empieza un tomo nuevo.",
        choices=("year", "month", "quarter", "week", "day"),
    )  # fmt: skip

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    def changed(self, changes: Mapping[str, Any]) -> "Options":
        """These options with some of them changed; Wrong names everything that is not accepted."""
        wrong: dict[str, Words] = {}
        new: dict[str, Any] = {}
        for name, value in changes.items():
            described = by_name().get(name)
            if described is None:
                wrong[name] = ("there is no such option", "no existe esa opción")
                continue
            value = tuple(value) if isinstance(value, list) else value
            problem = described.problem(value)
            if problem:
                wrong[name] = problem
            new[name] = value
        if not wrong:
            new = {**asdict(self), **new}
            wrong |= _together(new)
        if wrong:
            raise Wrong(wrong)
        return replace(self, **new)


def _together(values: Mapping[str, Any]) -> dict[str, Words]:
    """What only goes wrong together."""
    if values["reply_goes_to_list"] == "address" and not values["reply_to_address"]:
        return {"reply_to_address": (
            "is needed where replies go to an address", "hace falta cuando las respuestas van a una dirección"
        )}  # fmt: skip
    return {}


CATEGORIES = (
    "general", "language", "privacy/subscribing", "privacy/sender", "privacy/recipient", "archive"
)  # fmt: skip


def of_category(category: str) -> list[Option]:
    """The options of one page, in their order."""
    return [one for one in by_name().values() if one.category == category]


@lru_cache(maxsize=1)
def by_name() -> dict[str, Option]:
    """Every option, in the order of its definition."""
    return {
        one.name: Option(
            one.name, one.metadata["category"], one.metadata["kind"], one.default,
            one.metadata["choices"], one.metadata["help"], one.metadata["es"], one.metadata["most"],
        )
        for one in fields(Options)
    }  # fmt: skip


def from_json(text: str) -> Options:
    """The options that a row holds. A value that this version doesn't accept counts as missing."""
    known: dict[str, Any] = {}
    for name, value in json.loads(text).items():
        described = by_name().get(name)
        value = tuple(value) if isinstance(value, list) else value
        if described is not None and not described.problem(value):
            known[name] = value
    return Options(**known)
