// What "cygnet help" and "cygnet OBJECT help" print.
#include <string>
#include <string_view>

#include "cli/arguments.h"

namespace cygnet {
namespace {

struct Section {
  std::string_view object;
  std::string_view text;
};

constexpr Section kSections[] = {
    {"sa", R"(  sa [list] [spi SPI] [dst ADDRESS] [src ADDRESS] [reqid NUMBER] [--show-keys]
        SAs, with the placement of each half, its reason and its history
)"},
    {"policy", R"(  policy [list]
        policies
)"},
    {"dev", R"(  dev [list] [[dev] NAME] [-s]
        devices: identity, state, capabilities, held keys and traffic;
        -s: also the statistics of its driver and its own key log
)"},
    {"stat", R"(  stat [-a]
        drop counters: the kernel's XfrmIn.../XfrmOut... and Cygnet's own; -a: also zeros
  stat sa [spi SPI] [dst ADDRESS] [src ADDRESS] [reqid NUMBER]
        drop counters of each SA
)"},
    {"engine", R"(  engine [list]
        crypto engines: capabilities, order of use and counters
)"},
    {"tunnel", R"(  tunnel [list]
        tunnel interfaces: if_id or mark, their policies and SAs, and their counters
)"},
    {"mtu", R"(  mtu explain ADDRESS [src ADDRESS] [proto NAME|NUMBER] [dport PORT]
        the largest packet to ADDRESS, and the share of the policy and the SAs in the wire's MTU
)"},
    {"fips", R"(  fips [show]
        FIPS mode and each of its decisions: devices, engines, algorithms
  fips mode auto|on|off
        changes the mode until the daemon ends; SAs move immediately
  fips reload
        reads the boundary list again; SAs move immediately
)"},
    {"doctor", R"(  doctor
        what on this host conflicts with Cygnet, and what to do; exit status 3: a check failed
  doctor --fips
        like fips show; exit status 3: FIPS mode is in force and denies a device or engine
)"},
    {"reload", R"(  reload
        reads the configuration again, like SIGHUP; names the changes that need a restart
)"},
    {"ledger", R"(  ledger [dev NAME | holder NAME] [spi SPI] [dst ADDRESS] [current]
        placements of each SA over time, and when each device or engine held each key;
        current: only keys that are held now
  ledger verify [FILE ...] [--key KEY] [--head HASH@RECORD]
        checks the chain of a ledger's files, also of a copy elsewhere without cygnetd; KEY: the
        public key that must have signed, HASH@RECORD: a head that the audit trail has; without
        FILE: the files of the daemon; exit status 3: the ledger is not what cygnetd wrote
  ledger report [FILE ...] [--from TIME] [--to TIME] [dev NAME | holder NAME] [spi SPI]
          [dst ADDRESS] [--key KEY] [--head HASH@RECORD]
        who held which key in a time (UTC), how each was erased, and what is not known, from the
        ledgers of one or more hosts; exit status 3: as of verify
  ledger key
        the public key that signs the heads of this host's ledger
)"},
    {"stored", R"(  stored [show]
        files of the daemon: whether they are complete and can be written, and how many audit
        records wait or were lost; exit status 3: a problem exists
  stored accept
        accepts an incomplete restart file as complete: its defaults apply again, and packets
        that no policy selects may pass
)"},
    {"cluster", R"(  cluster [show]
        groups that several nodes hold: who owns each, since when, the last take-over by this node
        with its figures, the store and the other nodes; exit status 3: the store gives nothing
  cluster move group NAME to NODE
        gives a group of this node to another one, whose SAs go on with the next numbers
)"},
    {"offload",
     R"(  offload explain dev NAME aead NAME [KEYBITS [ICVBITS]] | enc NAME [KEYBITS] auth NAME [ICVBITS]
          [mode transport|tunnel|beet] [encap espinudp] [replay-window N] [esn] [tfc]
          [family inet|inet6] [dir in|out] [offload MODE]
        whether the device would accept such an SA now, by requirement; exit status 3: no
  offload enable|disable dev NAME
        disable moves all SAs away from the device immediately; enable moves them back
)"},
    {"placement",
     R"(  placement set [spi SPI] [dst ADDRESS] [reqid NUMBER] mode MODE [dev NAME] [pin]
        overrides where matching SAs run; takes precedence over rules and clients;
        MODE: no, crypto, packet, auto, required
  placement unset [spi SPI] [dst ADDRESS] [reqid NUMBER]
        removes the override that was set with the same values
)"},
    {"metrics", R"(  metrics
        metrics in the text format of Prometheus
)"},
    {"capture",
     R"(  capture dev NAME [side host|wire|guard] [write FILE|-] [snaplen BYTES] [count PACKETS]
          [--with-keys]
        frames of a device, as pcapng (default: to standard output): packets in clear at the
        host-side interface and frames on the wire, linked by packet ids, and what was dropped;
        side: frames at one side only; guard: frames that the seal guard stopped, the latest
        ones and new ones; an existing FILE is overwritten
        --with-keys: also the keys of the SAs seen, into the folder FILE.keys, for Wireshark
)"},
    {"extcap", R"(  extcap OPTION ...
        the devices as interfaces of Wireshark, which runs this through its extcap folder
)"},
    {"sim", R"(  sim dev NAME FAULT ...
        makes a software NIC fail: "reset", "link-down", ...
)"},
    {"exec", R"(  exec -- COMMAND [ARGUMENT ...]
        runs an XFRM client so that it talks to cygnetd instead of the kernel
)"},
    {"conformance", R"(  conformance --driver FILE | --engine FILE [-j] [--option KEY=VALUE] ...
        tests a driver or engine by others against its contract; "conformance --help" tells more
)"},
    {"web", R"(  web [--address ADDRESS] [--port PORT] [--history FILE] ...
        serves a page to look at, and the metrics: http://127.0.0.1:9470/; "web --help" tells more
)"},
    {"version", "  version\n"},
    {"help", "  help\n"},
};

constexpr std::string_view kUsage =
    "Usage: cygnet [-j | --json] OBJECT [COMMAND] [KEYWORD VALUE ...]\n\n";

constexpr std::string_view kNotes = R"(
OBJECT and COMMAND may be shortened. -j prints JSON. "cygnet OBJECT help" describes one object.
Exit status: 0 success, 1 wrong usage, 2 failure, 3 the answer is no (offload explain, doctor,
stored, cluster, ledger verify, ledger report). exec returns the status of its command, or 125 to
127; conformance: 1 a promise is broken, 2 the plug-in cannot be opened.
)";

}  // namespace

std::string HelpText(std::string_view object) {
  std::string text(kUsage);
  for (const Section& section : kSections) {
    if (object.empty() || object == section.object) text += section.text;
  }
  return text.append(kNotes);
}

}  // namespace cygnet
