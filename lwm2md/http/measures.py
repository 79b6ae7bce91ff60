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
    "draining": _gauge("1 while the daemon is being drained"),
    "storage_failing": _gauge("1 while nothing can be stored"),
    "clock_jumps": _counter("Jumps of the system's clock, by the label direction: forward, backward"),
    "devices": _gauge("Devices by the label state: online, sleeping, not-responding, offline"),
    "deviating_devices": _gauge("Devices that depart from the specifications, by the label kind"),
    "deviations": _counter("What was passed over that devices did in spite of the specifications, by the label kind"),
    "security_refused": _counter("Devices that were refused, and handshakes that failed, by the label cause"),
    "security_inbox": _gauge("Devices in the inbox of those that were refused"),
    "security_waiting": _gauge("Registers that wait for a credential or the word of a plugin"),
    "credentials": _gauge("Credentials that were put through the API"),
    "credentials_lookups": _counter("Credentials that were looked up"),
    "credentials_misses": _counter("Credentials that were looked up and that there are not"),
    "credentials_unreadable": _counter("Credentials that can't be used: sealed with another key, or damaged"),
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
    "server_observations_silent": _counter(
        "Observations of which nothing came for more than twice their pmax, or the Max-Age that the device said"
    ),
    "server_template_wishes_refused": _counter("Observations of templates beyond what one device may have"),
    "server_unexpected_responses": _counter("Responses that nobody waited for"),
    "server_notifications_refused": _counter("Notifications that came from somebody else than the device"),
    "server_sends_accepted": _counter("Sends whose values were taken"),
    "server_sends_refused": _counter("Sends that were refused, or could not be stored"),
    "history_removed": _counter("Values that were removed from the history, too old or too many"),
    "history_sweeps": _counter("How often the whole history was looked through for such"),
    "backups_made": _counter("Backups that were made"),
    "backups_failed": _counter("Backups that came to nothing"),
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
    "plugin_running": _gauge("1 when the plugin runs, by the label plugin"),
    "plugin_calls": _counter("Calls of hooks and handlers, by the label plugin"),
    "plugin_failures": _counter("What went wrong in them, by the label plugin"),
    "plugin_timeouts": _counter("Calls that were not answered in time, by the label plugin"),
    "plugin_held": _counter("How often a plugin held up the reactor, by the label plugin"),
    "plugin_seconds": _counter("Time until calls were answered, by the label plugin"),
    "plugin_events": _counter("Events that were handled, by the label plugin"),
    "plugin_events_dropped": _counter("Events that were lost, by the label plugin"),
    "driver_unroutable": _counter("Datagrams for peers that no listener reaches any more"),
    "driver_errors": _counter("Batches of datagrams, timers and settlements that failed by a mistake of the daemon"),
    "dtls_sessions": _gauge("DTLS sessions that are alive"),
    "dtls_half_open": _gauge("Handshakes that are under way"),
    "dtls_received": _counter("Messages that came in DTLS records"),
    "dtls_sent": _counter("DTLS datagrams that were sent"),
    "dtls_dropped": _counter("Messages for devices that have no session"),
    "dtls_cookies_sent": _counter("Hellos without a valid cookie that were answered with one"),
    "dtls_hello_fragments": _counter("Fragments of hellos whose cookie was good"),
    "dtls_hellos_malformed": _counter("Hellos that are none, and fragments of those whose cookie was not good"),
    "dtls_hellos_repeated": _counter("Late copies of hellos that had their handshake"),
    "dtls_handshakes_begun": _counter("Handshakes that devices began"),
    "dtls_alerts_to_unknown": _counter("Alerts to addresses whose association is not known"),
    "dtls_errors": _counter("Batches of DTLS datagrams that failed by a mistake of the daemon"),
    "dtls_handshakes_established": _counter("Handshakes that ended with a session"),
    "dtls_handshakes_resumed": _counter("Those of them that took an earlier session up"),
    "dtls_handshakes_failed": _counter("Handshakes that failed, by a wrong key or certificate or otherwise"),
    "dtls_handshakes_timed_out": _counter("Handshakes whose peer went away"),
    "dtls_handshake_retransmissions": _counter("Flights that were sent again"),
    "dtls_last_flights_repeated": _counter("Last flights that were sent again because the peer repeated its own"),
    "dtls_unknown_associations": _counter("Datagrams of associations that are not known"),
    "dtls_whole_refused": _counter("Sessions with suites of CBC mode for which there was no room"),
    "dtls_overflowed": _counter("Records that came too early and for which there was no room"),
    "dtls_malformed": _counter("Datagrams and records that are no DTLS"),
    "dtls_bad_mac": _counter("Records that could not be authenticated"),
    "dtls_replayed": _counter("Records that came before, or too late"),
    "dtls_wrong_epoch": _counter("Records of another epoch"),
    "dtls_wrong_form": _counter("Records with a Connection ID where there should be none, or without"),
    "dtls_alerts": _counter("Alerts of devices"),
    "dtls_late_handshakes": _counter("Handshake messages of sessions that need none any more"),
    "dtls_opened": _counter("Records with application data that were opened"),
    "dtls_renegotiations": _counter("Renegotiations that were refused"),
    "dtls_sealed": _counter("Records that were sent to sessions"),
    "dtls_unknown_types": _counter("Records of types that are not known"),
    "dtls_unsent": _counter("Records for sessions whose address now belongs to another"),
    "dtls_sessions_alert": _counter("Sessions that ended by a fatal alert of the device"),
    "dtls_sessions_closed": _counter("Sessions that the device closed"),
    "dtls_sessions_ended": _counter("Sessions that were ended here"),
    "dtls_sessions_evicted": _counter("Sessions that ended because there were too many"),
    "dtls_sessions_exhausted": _counter("Sessions that ended because their record numbers were used up"),
    "dtls_sessions_idle": _counter("Sessions that ended because nothing was heard of them"),
    "dtls_sessions_replaced": _counter("Sessions whose place another took"),
    "dtls_sessions_revoked": _counter("Sessions that ended because their credential was revoked"),
    "dtls_sessions_displaced": _counter(
        "Sessions that lost their address to another, and go on by their Connection ID"
    ),
    "dtls_sessions_moved": _counter("Sessions that were heard from another address"),
    "dtls_refused_half_open": _counter("Handshakes refused because too many were under way"),
    "dtls_refused_half_open_source": _counter("Handshakes refused because too many were under way from one source"),
    "dtls_refused_rate": _counter("Handshakes refused because too many began"),
    "dtls_refused_rate_source": _counter("Handshakes refused because too many began from one source"),
    "dtls_refused_challenges": _counter("Hellos that were not looked at because there were too many"),
    "dtls_sessions_stored": _counter("Rows of sessions that were stored"),
    "dtls_sessions_unreadable": _counter(
        "Rows of sessions that could not be read: sealed with another key, or damaged"
    ),
    "udp_received": _counter("Datagrams that were read from the sockets"),
    "udp_sent": _counter("Datagrams that were given to the sockets"),
    "udp_dropped": _counter("Datagrams for which the sockets had no room"),
    "udp_send_errors": _counter("Datagrams that the system refused to send"),
    "udp_receive_errors": _counter("Errors that the system reported where a datagram was to be read"),
    "udp_unreachable": _counter("ICMP errors about peers that have gone"),
}
"""All metrics by name, in the order in which they are shown."""
