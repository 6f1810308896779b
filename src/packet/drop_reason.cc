#include "packet/drop_reason.h"

namespace cygnet {
namespace {

constexpr DropReasonInfo kInfo[] = {
    {"none", "not dropped", ""},
    {"in-too-short", "ESP packet too short for SPI and sequence number", "XfrmInHdrError"},
    {"in-bad-header", "outer IP header malformed", "XfrmInHdrError"},
    {"in-no-state", "no SA for this destination and SPI", "XfrmInNoStates"},
    {"in-acquire-state", "the SA is not established yet", "XfrmAcquireError"},
    {"in-state-invalid", "the SA is no longer valid", "XfrmInStateInvalid"},
    {"in-state-expired", "the SA's byte or packet limit is reached", "XfrmInStateExpired"},
    {"in-wrong-direction", "the SA is for output only", "XfrmInStateDirError"},
    {"in-truncated", "ESP packet too short for IV and ICV", "XfrmInStateProtoError"},
    {"in-replay-old", "sequence number behind the replay window", "XfrmInStateSeqError"},
    {"in-replay-duplicate", "sequence number seen before", "XfrmInStateSeqError"},
    {"in-replay-zero", "sequence number 0", "XfrmInStateSeqError"},
    {"in-auth-failed", "ICV wrong", "XfrmInStateProtoError"},
    {"in-bad-trailer", "pad length larger than the payload", "XfrmInStateProtoError"},
    {"in-dummy", "dummy packet (next header 59)", "XfrmInStateProtoError"},
    {"in-mode-mismatch", "next header does not fit the SA's mode", "XfrmInStateModeError"},
    {"in-encap-mismatch", "UDP encapsulation differs from the SA's", "XfrmInStateMismatch"},
    {"in-selector-mismatch", "inner flow outside the SA's selector", "XfrmInStateMismatch"},
    {"in-template-mismatch", "policy demands other protection", "XfrmInTmplMismatch"},
    {"in-no-policy", "came through a tunnel that no policy covers", "XfrmInNoPols"},
    {"in-policy-block", "blocked by policy", "XfrmInPolBlock"},
    {"in-crypto-error", "crypto engine failed", "XfrmInStateProtoError"},
    {"in-device-error", "device reported an error", "XfrmInBufferError"},
    {"in-device-stale", "device opened it for an SA that is gone", "XfrmInBufferError"},
    {"in-fragment-timeout", "the rest of the fragmented packet did not come in time", ""},
    {"in-fragment-overlap", "fragments overlap or do not fit together", ""},
    {"in-fragment-memory", "no room to wait for the rest of a fragmented packet", ""},
    {"late-beyond-window", "older than the replay window, so its sequence number was misjudged",
     "XfrmInStateProtoError"},
    {"in-nested", "more transforms than supported", "XfrmInBufferError"},
    {"out-bad-packet", "inner packet malformed", "XfrmOutError"},
    {"out-policy-block", "blocked by policy", "XfrmOutPolBlock"},
    {"out-no-state", "policy demands an SA that is not there", "XfrmOutNoStates"},
    {"out-state-expired", "the SA's byte or packet limit is reached", "XfrmOutStateExpired"},
    {"out-state-invalid", "the SA is no longer valid", "XfrmOutStateInvalid"},
    {"out-sequence", "the SA's sequence numbers are used up", "XfrmOutStateSeqError"},
    {"out-too-big", "larger than the path allows", ""},
    {"out-no-room", "buffer too small for the ESP overhead", "XfrmOutError"},
    {"out-crypto-error", "crypto engine failed", "XfrmOutStateProtoError"},
    {"out-mode-error", "packet does not fit the SA's mode", "XfrmOutStateModeError"},
    {"out-device-error", "device could not seal it", "XfrmOutStateProtoError"},
    {"out-fragment", "later fragment of a flow whose policy asks for ports", "XfrmOutError"},
    {"out-wrong-direction", "the SA is for input only", "XfrmOutStateDirError"},
    {"out-hold-full", "no room to wait for key management", "XfrmOutNoQueueSpace"},
    {"out-hold-timeout", "waited for key management in vain", "XfrmOutNoStates"},
    {"out-guard", "clear packet of a protected flow, stopped at the wire", "XfrmOutError"},
    {"out-not-sealed", "a device or engine said sealed and was not; stopped at the wire",
     "XfrmOutStateProtoError"},
    {"out-policy-changed", "decided before the policy changed", "XfrmOutPolDead"},
    {"port-full", "port took no more packets", ""},
    {"port-too-big", "larger than a frame of the port", ""},
    {"port-bad-frame", "frame too short or its checksum field out of bounds", ""},
    {"no-buffers", "packet pool empty", "XfrmInError"},
};
static_assert(std::size(kInfo) == kDropReasons);

constexpr std::string_view kXfrmStat[] = {"XfrmInError",
                                          "XfrmInBufferError",
                                          "XfrmInHdrError",
                                          "XfrmInNoStates",
                                          "XfrmInStateProtoError",
                                          "XfrmInStateModeError",
                                          "XfrmInStateSeqError",
                                          "XfrmInStateExpired",
                                          "XfrmInStateMismatch",
                                          "XfrmInStateInvalid",
                                          "XfrmInTmplMismatch",
                                          "XfrmInNoPols",
                                          "XfrmInPolBlock",
                                          "XfrmInPolError",
                                          "XfrmOutError",
                                          "XfrmOutBundleGenError",
                                          "XfrmOutBundleCheckError",
                                          "XfrmOutNoStates",
                                          "XfrmOutStateProtoError",
                                          "XfrmOutStateModeError",
                                          "XfrmOutStateSeqError",
                                          "XfrmOutStateExpired",
                                          "XfrmOutPolBlock",
                                          "XfrmOutPolDead",
                                          "XfrmOutPolError",
                                          "XfrmFwdHdrError",
                                          "XfrmOutStateInvalid",
                                          "XfrmAcquireError",
                                          "XfrmOutStateDirError",
                                          "XfrmInStateDirError",
                                          "XfrmInIptfsError",
                                          "XfrmOutNoQueueSpace"};
static_assert(std::size(kXfrmStat) == 32);

}  // namespace

const DropReasonInfo& Describe(DropReason reason) {
  return kInfo[static_cast<std::size_t>(reason)];
}

std::span<const std::string_view> XfrmStatNames() { return kXfrmStat; }

}  // namespace cygnet
