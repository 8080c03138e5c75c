"""What OpenAPI can't say of a request, set right before it is sent. Schemathesis judges the request as it is then."""

import schemathesis

# Of each group, a request may have one. That more are refused has a test of its own.
EXCLUSIVE_HEADERS = ("Expected-Version", "If-Match", "If-None-Match")
# Where a page of the log begins, by the direction of reading.
BEGINNINGS = {"forward": ("after", "from_time"), "backward": ("before", "before_time")}

# Milliseconds that every request can do with: one that is given less is rightly answered 503 or 504.
AMPLE = 30_000


def keep_one(parameters, names, chosen):
    """Leaves one of the names that are there, a different one from request to request."""
    present = [name for name in names if parameters and name in parameters]
    for name in present:
        if name != present[chosen % len(present)]:
            del parameters[name]


def begin_once(query, chosen):
    """Leaves one beginning, of the direction that is read in. What is no direction stays what it is."""
    direction = (query or {}).get("direction", "forward")
    if direction not in list(BEGINNINGS):
        return
    for other, names in BEGINNINGS.items():
        if other != direction:
            for name in names:
                query.pop(name, None)
    keep_one(query, BEGINNINGS[direction], chosen)


def allow_time(headers):
    """Makes a short time an ample one; what is no time stays what it is."""
    text = str((headers or {}).get("Everfold-Timeout", ""))
    if text.isascii() and text.isdigit() and 0 < int(text) < AMPLE:
        headers["Everfold-Timeout"] = str(AMPLE)


def quote_version(headers):
    """Gives a bare version its quotes: schemathesis takes it for an ETag, though the pattern has them."""
    if (headers or {}).get("If-Match", "").isdigit():
        headers["If-Match"] = f'"{headers["If-Match"]}"'


@schemathesis.hook
def before_call(context, case, kwargs):
    chosen = sum(map(ord, f"{case.path_parameters}{case.body}"))
    keep_one(case.headers, EXCLUSIVE_HEADERS, chosen)
    if case.operation.path == "/v1/events" and case.query:
        begin_once(case.query, chosen)
    allow_time(case.headers)
    quote_version(case.headers)
    # Events that the loaded module doesn't know are refused: they go to streams that no module is for.
    if case.operation.definition.raw.get("operationId") == "appendEvents" and case.path_parameters.get("type") == "account":
        case.path_parameters["type"] = "ledger"
