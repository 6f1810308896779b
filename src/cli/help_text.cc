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
        the SAs, and where their cryptography runs, why, and where it ran before
)"},
    {"policy", R"(  policy [list]
        the policies
)"},
    {"dev", R"(  dev [list] [[dev] NAME] [-s]
        the devices: who they are, their state, what they may and can do, what keys they hold, what
        passed them; -s: the keys they were given, by their own log
)"},
    {"stat", R"(  stat [-a]
        what went wrong, by the kernel's names (XfrmIn…, XfrmOut…) and by finer ones; -a zeros too
  stat sa [spi SPI] [dst ADDRESS] [src ADDRESS] [reqid NUMBER]
        what went wrong with each SA
)"},
    {"engine", R"(  engine [list]
        the crypto engines: what they can do, in which order they are asked, what they did
)"},
    {"mtu", R"(  mtu explain ADDRESS [src ADDRESS] [proto NAME|NUMBER] [dport PORT]
        how large a packet to there may be, and what the policy and the SAs take of the wire's MTU
)"},
    {"fips", R"(  fips [show]
        FIPS mode and each decision it makes: devices, engines, algorithms
  fips mode auto|on|off
        changes the mode until the daemon ends; SAs move at once
  fips reload
        reads the boundary list again; SAs move at once
)"},
    {"doctor", R"(  doctor
        what of this host works against Cygnet, and what to do about it; exit status 3: something
  doctor --fips
        as fips show; exit status 3 when FIPS mode is in force and denies a device or engine
)"},
    {"reload", R"(  reload
        reads the configuration again, as SIGHUP does; names what needs a restart
)"},
    {"ledger", R"(  ledger [dev NAME | holder NAME] [spi SPI] [dst ADDRESS] [current]
        where each SA ran over time; which device or engine was given which key, from when to when
)"},
    {"stored", R"(  stored [show]
        the files that the daemon keeps: whether they are whole and can be written, and how many audit
        records wait or were lost; exit status 3: not all is well
  stored accept
        takes what could be read of an incomplete restart file for all there was: the defaults of
        before hold again, and what no policy protects may pass
)"},
    {"offload",
     R"(  offload explain dev NAME aead NAME [KEYBITS [ICVBITS]] | enc NAME [KEYBITS] auth NAME [ICVBITS]
          [mode transport|tunnel|beet] [encap espinudp] [replay-window N] [esn] [tfc]
          [family inet|inet6] [dir in|out] [offload MODE]
        whether the device would take such an SA now, requirement by requirement; exit status 3: no
  offload enable|disable dev NAME
        gives a device its SAs back, or moves all of them away from it at once
)"},
    {"placement",
     R"(  placement set [spi SPI] [dst ADDRESS] [reqid NUMBER] mode MODE [dev NAME] [pin]
        overrides where matching SAs run; takes precedence over rules and clients;
        MODE: no, crypto, packet, auto, required
  placement unset [spi SPI] [dst ADDRESS] [reqid NUMBER]
        removes the override that was set with the same values
)"},
    {"metrics", R"(  metrics
        numbers for a monitoring system, in Prometheus' text format
)"},
    {"capture",
     R"(  capture dev NAME side host|wire|guard [write FILE|-] [snaplen BYTES] [count PACKETS]
        the frames at one side of a device, as pcapng (default: to standard output);
        guard: the last ones that were stopped at the wire unsealed, then those to come
)"},
    {"sim", R"(  sim dev NAME FAULT ...
        makes a software NIC fail: "reset", "link-down", …
)"},
    {"exec", R"(  exec -- COMMAND [ARGUMENT ...]
        runs an XFRM client so that it talks to cygnetd in place of the kernel
)"},
    {"version", "  version\n"},
    {"help", "  help\n"},
};

constexpr std::string_view kUsage =
    "Usage: cygnet [-j | --json] OBJECT [COMMAND] [KEYWORD VALUE ...]\n\n";

constexpr std::string_view kNotes = R"(
OBJECT and COMMAND may be shortened. -j prints JSON. "cygnet OBJECT help" is about one object.
Exit status: 0 done, 1 wrong usage, 2 it did not work, 3 the answer is no (offload explain,
doctor); of exec: the command's, or 125 to 127.
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
