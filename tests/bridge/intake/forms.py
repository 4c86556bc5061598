"""Forty ways to ask a server to carry mail elsewhere (sec-S08, sec-S09)."""
FORMS = [
    "a@elsewhere.example", "a%elsewhere.example@example.org", '"a@elsewhere.example"@example.org',
    "@example.org:a@elsewhere.example", "@example.org,@bar.com:a@elsewhere.example", "elsewhere.example!a",
    "elsewhere.example!a@example.org", "a@elsewhere.example@example.org", "a%elsewhere.example@[127.0.0.1]",
    "a@[127.0.0.1]", "a@[192.0.2.1]", "a@[IPv6:::1]", "a@[IPv6:::ffff:127.0.0.1]", '"a"@elsewhere.example',
    '"a b"@elsewhere.example', "a%elsewhere.example", "a@example.org.elsewhere.example", "a@elsewhere.example.",
    "a@example.org%elsewhere.example", '"a@elsewhere.example"', '"example.org"@elsewhere.example',
    "u@example.org@elsewhere.example", "a@localhost", "a@mx.example.org", "a@EXAMPLE.NET", "u@example.org.",
    "a@.example.org", "a@sub.example.org", "u%example.org@elsewhere.example",
    "@elsewhere.example:u%a@elsewhere.example",
    "a@elsewhere.example,u@example.org", "u@example.org,a@elsewhere.example", "<a@elsewhere.example>",
    "a@elsewhere.example (u@example.org)", "a(u@example.org)@elsewhere.example", "a;u@example.org",
    "a:u@example.org", "group:a@elsewhere.example;", '"\\"@elsewhere.example"@example.org',
    "=?utf-8?q?a=40elsewhere=2Eexample?=@example.org",
]  # fmt: skip
