// Reports as JSON: what `cygnet -j` prints, and what the daemon answers on the operator socket.
//
// Names and meanings are stable, because scripts rely on them; new ones may be added. Times are
// wall-clock seconds since 1970, 0 = not yet; [x] marks fields that are left out if not set.
//
// SA           src, dst        text, outer addresses
//              spi             "0x00001000"
//              proto           "esp", "ah", "comp"
//              family          4 or 6, of the outer addresses
//              mode            "transport", "tunnel", "beet", "ro"
//              reqid, replay_window, esn (bool), [pcpu_num] (the CPU that it is for)
//              flags           array of iproute2's names: "esn", "align4", "dont-encap-dscp" …
//              [direction]     "in", "out", as the client set it (XFRMA_SA_DIR)
//              [aead], [cipher], [auth]
//                              name, icv_bits, key_bits (without the salt), [key] ("0x…" with the
//                              salt at its end; only if keys were requested)
//              [encap]         sport, dport
//              state           "larval", "valid", "dying", "expired", "dead"
//              usage           bytes, packets, add_time, use_time
//              last_used
//              stats           replay_window, replay, integrity_failed
//              replay          oseq, seq: including their high words
//              [path_mtu]      learned from ICMP, bytes of the outer packet
//              [lateness]      of an SA that may be inbound: array of from, accepted, rejected:
//                              packets that arrived after one with a number from … 2·from-1 higher
//                              had been authenticated; only non-zero. Rejected packets are not
//                              authenticated: anybody can forge them
//              [window_for_all]  the smallest power of two that would have accepted them all as
//                              replay window
//              limits          [soft_bytes] [hard_bytes] [soft_packets] [hard_packets]
//                              [soft_add_seconds] [hard_add_seconds] [soft_use_seconds]
//                              [hard_use_seconds]
//              selector        text; [mark], [if_id] as of a policy; [set_mark] (value, mask)
//              offload_requested  null, or ifindex, mode ("crypto", "packet"), dir ("in", "out"),
//                                 [device] (Cygnet's name of it)
//              placements      array, one per half of the SA that may be used: direction ("in",
//                              "out"), requested ("no", "crypto", "packet", "auto", "required"),
//                              requested_by ("client", "rule", "operator", "device", "": nobody),
//                              pinned, effective ("software", "look-aside", "crypto", "packet",
//                              "blocked"), device ("" if none), simulated (the device is a program:
//                              this host's CPU does the work), engine, reason (code, with its
//                              detail: "no-capability:esn"), explanation, since, history (array
//                              of time, requested, requested_by, effective, where, reason,
//                              explanation, [really]: earlier placements, oldest first, the last
//                              16), [really]: what the device does, if less than it claimed:
//                              "not-used: …", "not-held: …", "no-replay-check: …",
//                              [verified_one_of]: the CPU computes one of so many packets again,
//                              [not_verified]: why it does not, although verify is set,
//                              [counters_age]: seconds since the device was read, if it counts
//              drops           reason name: packets; only non-zero
// Policy       selector, dir ("in", "out", "fwd"), action ("allow", "block"), priority, index,
//              templates (array: src, dst, proto, mode, reqid, spi, level "required" or "use"),
//              usage, [mark] (value, mask: "0x…"), [if_id], [unmet] (true: no tunnel has these,
//              and it blocks all of its selector); if its client offloads it: [offload_requested]
// Device       name, wire, driver, ifindex, mtu, mac ("02:00:00:00:00:01")
//              identity        model, serial, firmware; "": not known; simulated (bool)
//              state           "up", "down", "link-down", "resetting", "removed", "failed"
//              failure         why it failed, if the device knows; ""
//              trusted, allow_modes (array), disabled (by the operator), loss ("keep", "kernel")
//              denied, denied_explanation   why the device gets no key at all: a reason code; ""
//              offload         capable, up, mode ("no", "crypto", "packet", "auto", "required"),
//                              slots_used, slots_limit, slots_high_water, outbound_used,
//                              inbound_used, direction_limit (for each of them), addresses_used,
//                              addresses_limit (0: none), addresses_high_water (receive
//                              addresses), rekey_reserve (slots of each direction), sealed,
//                              opened, auth_failed, passed_unknown, refusals, dropped_stale,
//                              returned (handed back unsealed), resets, capabilities (null, or
//                              crypto_offload, packet_offload, inbound, outbound, transport,
//                              tunnel, ipv4, ipv6, esn, udp_encap, algorithms[], key_bits[],
//                              icv_bits[], max_replay_window: as claimed less what is withdrawn)
//              self_test       of a device that offloads, the last one: ran, not_tested (why not;
//                              ""), packets, took_us, withdrawn[]: capability, text; evidence (file
//                              with the packets of these, or why there is none; "")
//              guard           the seal guard of its wire, since the start: frames_checked,
//                              clear_stopped, unsealed_stopped, engine_unsealed, changed_stopped
//              shadow          verify (one of so many packets; 0: none), caught (why its SAs left
//                              it until it is enabled again; ""), evidence (file; ""), and for
//                              "out" and "in": verified, wrong, unverified (dropped: the CPU could
//                              not compute them)
//              host_side       state ("present", "removed", "elsewhere"), explanation
//              fence           of its wire: state ("in-force", "none", "broken": the link is down),
//                              owned (nobody else can remove its tables), by_tc (tc filters are
//                              installed as well), restored (how often others removed it),
//                              explanation
//              held            array of dst, spi: the SAs whose keys the device holds now
//              held_known_by   "device", or "ledger": it has no records, and these were not erased
//              [driver_view]   array of lines: the SAs as the driver of its card shows them
//              [statistics]    counters under the names that the driver of its card gives them, as
//                              `ethtool -S` shows them: name and number
//              key_log         the device's own log: array of time, dst, spi, direction, taken,
//                              erased
//              host, wire_stats   rx_packets, rx_bytes, tx_packets, tx_bytes, rx_dropped,
//                              tx_copied (sent from a copy of the buffer); rx = from the host, from
//                              the wire
// Engine       name, help, kind ("cpu", "look-aside"), version, module (its name in a boundary
//              list), denied (reason code: it gets no key; ""), failure (why it
//              does no jobs; ""), priority (0: does not run here),
//              order (from 1; 0: not in use), algorithms (array of names), sa_halves (halves of SAs
//              that it serves), jobs, refused, not_done, sessions, session_limit (0: none),
//              in_flight
// Tunnel       name, if_id or mark ("0x…"), device ("": the first), [made_by] (a client,
//              "ip[4711]"; else the configuration), ifindex, mtu, carrier
//              ("always", "sa"), sas, policies, unprotected (packets that the host sent through it
//              and that were dropped because nothing protects them), rx_packets, rx_bytes,
//              tx_packets, tx_bytes; rx = from the host
// Mtu          src, dst, family, proto, dport: the query
//              verdict ("protected", "clear", "blocked", "no-sa", "not-ours"), explanation
//              device, wire_mtu, [tunnel, tunnel_mtu], [policy] (selector, priority, index)
//              sas             array, outermost first: src, dst, spi, mode, reqid, [path_mtu],
//                              outer_mtu, overhead (array of name, bytes; adds up to outer_mtu -
//                              inner_mtu), inner_mtu
//              inner_mtu, tcp_mss   0: nothing passes
// Why          src, dst, family, proto, sport, dport: the packet
//              verdict ("protected", "clear", "waits", "dropped", "not-ours"), drop (drop reason;
//              "waits": if nothing comes; ""), device, [tunnel], [inside], [policy] (selector,
//              priority, index)
//              sas             array, outermost first: src, dst, spi, reqid, mode, effective,
//              where,
//                              reason: as in SA
//              inner_mtu, tcp_mss   0: nothing passes
//              answers         verdict ("unknown", "accepted", "dropped"), drop, [policy]
//              steps           array of step ("way", "forward", "policy", "hop", "sa", "place",
//                              "limits", "numbers", "size", "answers"), ok, text
// Fips         mode ("auto", "on", "off"), enforced (bool: in force), list_file ("": none)
//              rows            array of kind ("mode", "list", "device", "engine", "algorithm",
//                              "self-test"), name, inside (bool: allowed while FIPS mode is in
//                              force), identity (as the device or engine reports it), certificate
//                              and expires ("2027-01-31") of its entry on the list, reason (code,
//                              "" when inside), explanation
// Move         moved (halves of SAs that run elsewhere now), stayed, blocked (of both: those that
//              may run nowhere), took_us: the answer to commands that may move SAs
// Ledger       also has all times in milliseconds: time_ms, from_ms, until_ms, since_ms
//              kind "placement": time, src, dst, spi, proto, reqid, direction, requested,
//              requested_by, effective (as above, and "removed": the SA is gone), where, reason,
//              explanation, simulated, [really]: as in SA
//              kind "key": src, dst, spi, proto, reqid, direction, holder, holder_kind ("device",
//              "engine"), identity, from, until (0: still held), erased (confirmed by the holder),
//              note (how it ended otherwise)
//              kind "summary", last: since, dropped, file, write_error
// Order        of an operator, in force: kind ("device", "engine": disabled; "placement"), [name];
// of
//              a placement: [spi], [dst], [reqid], mode, device ("": any), pinned, ends_with_sa;
//              since, [uid], pid (0: unknown) of who ordered it
// Explain      device, rows (array of direction, requirement, ok, reason, explanation), verdicts
//              (array of direction, offloaded, effective, where, reason, explanation)
// Reload       applied, needs_restart (arrays of keys: "daemon.log_level", "device nic0.trusted"),
//              moved, stayed, blocked, took_us: as in Move
// Doctor       check, ok (bool), text, advice ("" when ok)
// Stored       restart_file ("": none), restart_damage (why it was incomplete; "": whole, or
//              settled since), restart_error (why changes are refused now; ""), lost_sas (of
//              earlier daemons, not reported to any client yet), ledger_file ("": in memory only),
//              ledger_error (why no key is handed out now; ""), restart_mishaps, ledger_mishaps
//              (what others did to the file or its lock since the start; ""), numbers_file ("": the
//              numbers of SAs end with the daemon), numbers_error (why it gives no numbers now;
//              ""), numbers_loss (why it began anew at this start; ""), audit_waiting, audit_lost,
//              audit_suppressed (records), ledger_found (what was wrong with it at the start; ""),
//              ledger_key (public, 64 hexadecimal digits; "": its heads are not signed),
//              ledger_key_error (why not; ""), ledger_records (number of its last record),
//              ledger_head (hash of its chain up to that record)
// Cluster      name, node, share ("numbers", "sas"), inbound ("strict", "checkpoint"), store_away
//              (bool), store_away_since, store_fault (why it gives nothing now; ""), lease (bool),
//              era, went_back (why SAs of an older era get no numbers; ""), refused_entries
//              peers           array of name, address, heard (bool), silent_ms
//              groups          array of name, addresses (array), prefer, state ("active", "waking",
//                              "moving", "refused", "standby", "nobody"), owner ("": nobody),
//                              epoch, since, sas, waiting (SAs without their first numbers),
//                              gained, lost (by this node, since its start), [last]: the last time
//                              that this node got it: time, reason, silence_us, transaction_us,
//                              numbers_us, sas
// Stat         xfrm (name: n, all of /proc/net/xfrm_stat), drops (reason name: n, all),
//              acquires_refused (packets that needed an SA when the larval states were at their
//              limit), uptime_seconds, workers, engine, version (of the daemon), worker_loads
//              (array, one per worker: busy_us in turns that moved packets, packets received;
//              both since the start)
//
// Event        event (its kind, EventFeed::kKinds, or "lost"), time_ms, warning (bool), text
//              "sa": action ("added", "updated", "deleted", "soft-limit", "hard-limit", "migrated",
//              "mapping", "acquire", "flushed"), [src], [dst], [spi], [proto], [reqid], [mode]
//              "placement", "key": as in Ledger, without kind
//              others: the fields of the audit record: [device], [state], [reason], [packets],
//              [command], [peer_uid], [peer_pid] …, as text
//              "lost": count of events that came here and were not read in time
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "control/report.h"
#include "daemon/audit/audit.h"
#include "datapath/worker_load.h"
#include "requests/control_event.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

enum class KeyVisibility : uint8_t { kHidden, kShown };

Json ToJson(const SaReport& report, KeyVisibility keys);
// What names an SA and what changes while it lives. Placements: direction, effective, device,
// engine, reason, since.
Json ToBriefJson(const SaReport& report);
// What is needed to read an SA's packets: its identity and algorithms, with the keys.
Json KeysOf(const SaSpec& spec);
Json ToJson(const PolicyReport& report);
Json ToJson(const DeviceReport& report);
Json ToJson(const DeviceStatistic& statistic);
Json ToJson(const StatReport& report);
Json ToJson(const EngineReport& report);
Json ToJson(const MtuReport& report);
Json ToJson(const WhyReport& report);
Json ToJson(const TunnelReport& report);
Json ToJson(const FipsReport& report);
Json ToJson(const PlacementEntry& entry);
Json ToJson(const KeyEntry& entry);
Json ToJson(const LedgerReport& report);  // the summary; each entry is an item of its own
Json ToJson(const ExplainReport& report);
Json ToJson(const OperatorOrder& order);
Json ToJson(const MoveReport& report);
Json ToJson(const ReloadReport& report);
Json ToJson(const DoctorRow& row);
Json ToJson(const StoredReport& report);
Json ToJson(const ClusterReport& report);

bool IsAboutSas(const ControlEvent& event);
// Events, without their kind and time.
Json EventJson(const ControlEvent& event);  // REQUIRES: IsAboutSas(event).
Json EventJson(const PlacementEntry& entry, const std::string& text);
Json EventJson(const KeyEntry& entry, const std::string& text);
Json EventJson(const AuditRecord& record);
Json LostJson(uint64_t count, uint64_t time_ms);

Json ToJson(const WorkerLoad::Sums& load);

// As one line. Invalid UTF-8 is replaced.
std::string ToText(const Json& json);

}  // namespace cygnet
