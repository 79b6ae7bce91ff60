"""The metrics that ``/metrics`` shows: name, kind and meaning, in one place.

RULES: names are ``lwm2md_`` and what is here; a counter ends with ``_total`` where it is shown, as Prometheus wants it.
A name stays once it was published. ``docs/metrics.md`` has the same rows, and a test fails when they differ, or when a
part of the daemon counts something that is not here.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Measure(NamedTuple):
    """One metric: ``gauge`` or ``counter``, and what it says."""

    kind: str
    help: str

    def shown(self, name: str) -> str:
        """The name under which Prometheus has it."""
        return f"lwm2md_{name}_total" if self.kind == "counter" else f"lwm2md_{name}"


def _gauge(text: str) -> Measure:
    return Measure("gauge", text)


def _counter(text: str) -> Measure:
    return Measure("counter", text)


MEASURES: Final = {
    "info": _gauge("The version that runs, as the label version; always 1"),
    "started_seconds": _gauge("When the daemon started, in Unix seconds"),
    "ready": _gauge("1 when the daemon serves, 0 while it starts or stops"),
    "devices": _gauge("Devices by the label state: online, sleeping, not-responding, offline"),
    "deviating_devices": _gauge("Devices that depart from the specifications, by the label kind"),
    "deviations": _counter("What was passed over that devices did in spite of the specifications, by the label kind"),
    "operations": _gauge("Operations that are remembered, ended ones included"),
    "operations_waiting": _gauge("Operations that have not ended: those for sleeping devices, and those under way"),
    "observations": _gauge("Observations that are wished for"),
    "http_connections": _gauge("Open connections to the API"),
    "http_event_readers": _gauge("Readers of the event stream"),
    "http_requests": _counter("Requests to the API"),
    "http_failures": _counter("Requests to the API that failed by a mistake of the daemon"),
    "delivery_waiting": _gauge("Commits that wait for the storage"),
    "delivery_largest_group": _gauge("Most commits that went to the storage in one transaction"),
    "delivery_commits": _counter("Commits that went to the storage"),
    "delivery_transactions": _counter("Transactions that carried them"),
    "delivery_failures": _counter("Transactions that the storage refused"),
    "delivery_refused": _counter("Commits that failed because too many waited for the storage"),
    "delivery_events_stored": _counter("Events that were stored"),
    "delivery_values_stored": _counter("Values that were stored in the history"),
    "delivery_events_live": _counter("Events that were told to the readers there were, and not stored"),
    "delivery_events_dropped": _counter("Events that were lost: live ones without room, or without a document"),
    "delivery_readers_dropped": _counter("Readers of events that were ended: too slow, or failing"),
    "delivery_resumes_failed": _counter("Follow-ups of commits that failed by a mistake of the daemon"),
    "server_registrations_deferred": _counter("Registers that were told to come back, since too many came at once"),
    "server_registrations_refused": _counter("Registers, Updates and De-registers that were refused"),
    "server_gateway_devices_refused": _counter("Devices that a gateway named and that could not be shown"),
    "server_notifications_undecodable": _counter("Notifications whose content could not be read"),
    "server_notifications_reordered": _counter("Notifications that came behind a newer one, and were not told"),
    "server_observations_ended_by_device": _counter("Observations that a device ended with an error"),
    "server_observations_silent": _counter("Observations of which nothing came for more than twice their pmax"),
    "server_template_wishes_refused": _counter("Observations of templates beyond what one device may have"),
    "server_unexpected_responses": _counter("Responses that nobody waited for"),
    "server_sends_accepted": _counter("Sends whose values were taken"),
    "server_sends_refused": _counter("Sends that were refused, or could not be stored"),
    "history_removed": _counter("Values that were removed from the history, too old or too many"),
    "history_sweeps": _counter("How often the whole history was looked through for such"),
    "coap_received": _counter("CoAP datagrams that were received"),
    "coap_sent": _counter("CoAP datagrams that were sent"),
    "coap_malformed": _counter("Datagrams that are no CoAP message"),
    "coap_duplicates": _counter("Requests and responses that came again"),
    "coap_ignored": _counter("Acknowledgements, Resets and empty messages that belong to nothing"),
    "coap_refused": _counter("Requests with options that can't be served"),
    "coap_overloaded": _counter("Requests, of devices or to them, for which there was no room"),
    "coap_challenged": _counter("Requests that were answered with an Echo challenge, to verify where they come from"),
    "coap_incomplete": _counter("Notifications in blocks of which the rest could not be fetched"),
    "coap_abandoned": _counter("Requests of devices that were never answered"),
    "coap_retransmitted": _counter("Messages that were sent again"),
    "coap_timeouts": _counter("Messages and requests that nobody acknowledged or answered in time"),
    "coap_undelivered": _counter("Separate responses that nobody acknowledged"),
    "coap_bad_responses": _counter("Responses of devices with options that can't be used"),
    "coap_late": _counter("Responses of devices to what had ended"),
    "coap_notifications": _counter("Notifications of devices"),
    "coap_reordered": _counter("Notifications of devices that came behind a newer one"),
    "coap_resets_received": _counter("Resets of devices"),
    "coap_resets_sent": _counter("Resets that were sent"),
    "coap_resets_withheld": _counter("Resets that were not sent, because their peer got enough of them"),
    "coap_errors": _counter("Requests and responses that failed by a mistake of the daemon"),
    "tracing_running": _gauge("Traces that are running"),
    "tracing_messages_bytes": _gauge("Memory that the last messages of each device take"),
    "driver_unroutable": _counter("Datagrams for peers that no listener reaches any more"),
    "driver_errors": _counter("Batches of datagrams, timers and settlements that failed by a mistake of the daemon"),
    "udp_received": _counter("Datagrams that were read from the sockets"),
    "udp_sent": _counter("Datagrams that were given to the sockets"),
    "udp_dropped": _counter("Datagrams for which the sockets had no room"),
    "udp_send_errors": _counter("Datagrams that the system refused to send"),
    "udp_receive_errors": _counter("Errors that the system reported where a datagram was to be read"),
    "udp_unreachable": _counter("ICMP errors about peers that have gone"),
}
"""All metrics by name, in the order in which they are shown."""
