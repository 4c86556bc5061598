"""What the owner of a list can set: each option described once, with Mailman's name, type, default and help.

Promises: every option here is obeyed by the engine (the field is read somewhere; a test looks); `Options` is a frozen
value, `from_json` reads any document that an older or newer version wrote: unknown names are dropped, missing ones get
their default. `changed` refuses what is wrong with a line per mistake (ValueError).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from listmgr.addresses import valid

ACTIONS = ("accept", "hold", "reject", "discard")
MEMBER_FLAGS = ("hide", "ack", "notmetoo", "nodupes")


def option(default: Any, category: str, help: str, es: str, *, choices: tuple[str, ...] = (), kind: str = "") -> Any:
    """A field of `Options`. `kind`: line text number yesno choice addresses patterns flags; "" follows from the
    default."""
    if not kind:
        kind = "choice" if choices else {bool: "yesno", int: "number", str: "line", tuple: "addresses"}[type(default)]
    return field(
        default=default, metadata={"category": category, "help": help, "es": es, "choices": choices, "kind": kind}
    )


@dataclass(frozen=True, slots=True)
class Options:
    """All options of one list."""

    # general
    real_name: str = option(
        "", "general", "The public name of the list (make case changes only).", "Nombre público de la lista."
    )
    owner: tuple[str, ...] = option(
        (), "general", "Addresses of the list's owners.", "Direcciones de los responsables de la lista."
    )
    moderator: tuple[str, ...] = option(
        (), "general", "Addresses of people who only decide on held posts.",
        "Direcciones de quienes solo deciden sobre mensajes retenidos.",
    )  # fmt: skip
    description: str = option(
        "", "general", "A phrase that says what the list is for.", "Una frase que describe la lista."
    )
    info: str = option("", "general", "A few paragraphs about the list.", "Unos párrafos sobre la lista.", kind="text")
    subject_prefix: str = option(
        "", "general", "Prefix for the subject of each post.", "Prefijo para el asunto de cada mensaje."
    )
    first_strip_reply_to: bool = option(
        False, "general", "Remove a Reply-To that the poster set?", "¿Quitar el Reply-To que puso el autor?"
    )
    reply_goes_to_list: str = option(
        "poster", "general", "Where replies are directed to.", "A dónde se dirigen las respuestas.",
        choices=("poster", "list", "address"),
    )  # fmt: skip
    reply_to_address: str = option(
        "", "general", "Address for replies, if reply_goes_to_list is address.",
        "Dirección para las respuestas si reply_goes_to_list es address.",
    )  # fmt: skip
    send_welcome_msg: bool = option(True, "general", "Welcome new members by mail?", "¿Dar la bienvenida por correo?")
    welcome_msg: str = option(
        "", "general", "Text put into the welcome mail.", "Texto que se añade a la bienvenida.", kind="text"
    )
    send_goodbye_msg: bool = option(
        True, "general", "Send a mail to members who leave?", "¿Enviar un correo a quien se da de baja?"
    )
    goodbye_msg: str = option(
        "", "general", "Text put into that mail.", "Texto que se añade a la despedida.", kind="text"
    )
    admin_immed_notify: bool = option(
        True, "general", "Tell owners at once about a held post?", "¿Avisar enseguida de los mensajes retenidos?"
    )
    admin_notify_mchanges: bool = option(
        False, "general", "Tell owners who joins and leaves?", "¿Avisar a los responsables de altas y bajas?"
    )
    respond_to_post_requests: bool = option(
        True, "general", "Tell posters that their post is held?", "¿Avisar al autor de que su mensaje está retenido?"
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
        1000, "general", "Largest post, KB; 0: no limit.", "Tamaño máximo de un mensaje, en KB; 0: sin límite."
    )
    include_rfc2369_headers: bool = option(
        True, "general", "Put List-* headers on posts?", "¿Poner cabeceras List-* en los mensajes?"
    )
    include_list_post_header: bool = option(
        True, "general", "Put a List-Post header on posts?", "¿Poner la cabecera List-Post?"
    )
    include_sender_header: bool = option(
        True, "general", "Set Sender to the list's bounce address?", "¿Poner la dirección de rebotes en Sender?"
    )
    preferred_language: str = option(
        "en", "language", "Language of the list's mails and pages.", "Idioma de los correos y páginas de la lista.",
        choices=("en", "es"),
    )  # fmt: skip
    # privacy: subscribing
    advertised: bool = option(
        True, "privacy", "Show this list to those who ask which lists there are?", "¿Anunciar esta lista?"
    )
    private_roster: str = option(
        "members", "privacy", "Who may see the roster.", "Quién puede ver la relación de miembros.",
        choices=("anyone", "members", "admins"),
    )  # fmt: skip
    # privacy: senders
    default_member_moderation: bool = option(
        False, "privacy", "Are new members moderated?", "¿Se moderan los mensajes de miembros nuevos?"
    )
    member_moderation_action: str = option(
        "hold", "privacy", "What happens to posts of moderated members.",
        "Qué se hace con los mensajes de miembros moderados.", choices=("hold", "reject", "discard"),
    )  # fmt: skip
    accept_these_nonmembers: tuple[str, ...] = option(
        (), "privacy", "Non-members whose posts are accepted (globs: *@example.org).",
        "No miembros cuyos mensajes se aceptan (patrones: *@example.org).", kind="patterns",
    )  # fmt: skip
    hold_these_nonmembers: tuple[str, ...] = option(
        (), "privacy", "Non-members whose posts are held.", "No miembros cuyos mensajes se retienen.", kind="patterns"
    )
    reject_these_nonmembers: tuple[str, ...] = option(
        (),
        "privacy",
        "Non-members whose posts are rejected.",
        "No miembros cuyos mensajes se rechazan.",
        kind="patterns",
    )
    discard_these_nonmembers: tuple[str, ...] = option(
        (),
        "privacy",
        "Non-members whose posts are discarded.",
        "No miembros cuyos mensajes se descartan.",
        kind="patterns",
    )
    generic_nonmember_action: str = option(
        "hold", "privacy", "What happens to posts of all other non-members.",
        "Qué se hace con los mensajes de los demás no miembros.", choices=ACTIONS,
    )  # fmt: skip
    nonmember_rejection_notice: str = option(
        "",
        "privacy",
        "Text of the mail that rejects a non-member.",
        "Texto con que se rechaza a un no miembro.",
        kind="text",
    )
    # privacy: recipients
    require_explicit_destination: bool = option(
        True, "privacy", "Must posts name the list in To or Cc?", "¿Deben nombrar la lista en To o Cc?"
    )
    acceptable_aliases: tuple[str, ...] = option(
        (), "privacy", "Other addresses that count as the list's name.", "Otras direcciones que cuentan como la lista.",
        kind="patterns",
    )  # fmt: skip
    max_num_recipients: int = option(
        10, "privacy", "Hold posts with this many recipients or more; 0: no limit.",
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
        """These options with some of them changed; ValueError names everything that is wrong."""
        wrong: list[str] = []
        new: dict[str, Any] = {}
        for name, value in changes.items():
            described = by_name().get(name)
            if described is None:
                wrong.append(f"{name}: there is no such option")
                continue
            value = tuple(value) if isinstance(value, list) else value
            problem = described.problem(value)
            if problem:
                wrong.append(f"{name}: {problem}")
            new[name] = value
        if wrong:
            raise ValueError("\n".join(wrong))
        return replace(self, **new)


@dataclass(frozen=True, slots=True)
class Option:
    """One option as pages, `config_list` and checks see it."""

    name: str
    category: str
    kind: str
    default: Any
    choices: tuple[str, ...]
    help: str
    es: str

    def problem(self, value: Any) -> str:
        """What is wrong with a value, or ""."""
        if type(value) is not type(self.default):
            return f"{value!r} is no {_KINDS[type(self.default)]}"
        if self.kind == "choice" and value not in self.choices:
            return f"{value!r} is none of {', '.join(self.choices)}"
        if self.kind == "flags" and not set(value) <= set(self.choices):
            return f"{', '.join(value)}: only {', '.join(self.choices)}"
        if self.kind == "number" and value < 0:
            return "must not be negative"
        if self.kind == "addresses":
            bad = [one for one in value if not valid(one)]
            return f"no address: {bad[0]!r}" if bad else ""
        if self.kind == "line" and not value.isprintable():
            return "one line without control characters"
        return self._address(value)

    def _address(self, value: Any) -> str:
        if self.name == "reply_to_address" and value and not valid(value):
            return f"no address: {value!r}"
        return ""


_KINDS = {bool: "yes or no", int: "number", str: "text", tuple: "list"}


@lru_cache(maxsize=1)
def by_name() -> dict[str, Option]:
    """Every option, in the order of its definition."""
    return {
        one.name: Option(
            one.name, one.metadata["category"], one.metadata["kind"], one.default,
            one.metadata["choices"], one.metadata["help"], one.metadata["es"],
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
